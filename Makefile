# make demo, make test: all the set-up a fresh machine needs is Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# With LIGHT=1 torch comes without CUDA, where this index can be reached: 1.3 GB instead of 5.8 GB.
CPU_INDEX := https://download.pytorch.org/whl/cpu

.PHONY: demo test test-all test-browser browser colab mcu test-mcu test-firmware test-phone lab artifacts figures lint format clean

demo: $(STAMP)
	$(BIN)/labkit demo

# One worker a core, and one thread a worker: torch's threads would wait for each other.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m "not slow"

test-all: browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

# Notebooks 00 and 04 and the explorer's page in a real browser; screenshots are left in results/browser/.
test-browser: browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 0 -rs tests/course/notebooks/test_browser.py \
	  tests/course/explorer/test_html_page.py

# What that test needs, as far as it can be had here; where it cannot, the test is skipped and says why.
browser: $(STAMP)
	@$(BIN)/python -c 'import selenium' 2>/dev/null || $(BIN)/python -m pip install --quiet -e '.[browser]' \
	  || echo 'selenium could not be installed; the browser test will be skipped'
	@command -v chromedriver >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get install -y -qq chromium chromium-driver; } \
	  || echo 'Chromium is missing and could not be installed: sudo apt install chromium chromium-driver'

# Conversion for microcontrollers. Its packages want other versions than Jupyter does, so they get an environment of
# their own, on top of .venv; where they cannot be had, the tests that need them are skipped and say why.
MCU := .venv-mcu
MCU_PYTHON = $$(test -x $(MCU)/bin/python && echo $(MCU) || echo $(VENV))/bin/python
MCU_PYTEST = OMP_NUM_THREADS=1 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 $(MCU_PYTHON) -m pytest -rs
mcu: $(STAMP)
	@test -f $(MCU)/.installed || { \
	  $(BIN)/python -m venv $(MCU) \
	  && echo "import site; site.addsitedir('$$($(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")')" \
	    > "$$($(MCU)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/base.pth" \
	  && timeout 180 $(MCU)/bin/python -m pip install --quiet litert-torch ai-edge-quantizer tflite-micro \
	  && touch $(MCU)/.installed; } \
	  || { rm -rf $(MCU); echo 'the packages of the extra `mcu` could not be installed; their tests will be skipped'; }

# Colab's own packages in an environment of their own (5.3 GB), for tests/course/notebooks/test_colab.py.
COLAB := .venv-colab
PYTHON_OF_COLAB ?= python3.13
colab:
	@test -f $(COLAB)/.installed || { \
	  $(PYTHON_OF_COLAB) -m venv $(COLAB) \
	  && $(COLAB)/bin/python -m pip install --quiet -r tests/support/colab-packages.txt \
	  && touch $(COLAB)/.installed; } \
	  || { rm -rf $(COLAB); echo "Colab's packages could not be installed; their tests will be skipped"; }

# A subnet in TensorFlow Lite Micro's interpreter, and the memory that it takes there.
test-mcu: mcu
	$(MCU_PYTEST) tests/deploy/test_litert.py tests/formats tests/tables/test_arena.py

# A subnet as a C library: equal to that interpreter, built for microcontrollers and run on emulated ones.
test-firmware: mcu
	@{ command -v arm-none-eabi-gcc && command -v qemu-system-arm; } >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && timeout 120 apt-get update -qq \
	    && timeout 300 apt-get install -y -qq --no-install-recommends gcc-arm-none-eabi qemu-system-arm; } \
	  || echo 'missing and not installed: sudo apt install gcc-arm-none-eabi qemu-system-arm'
	$(MCU_PYTEST) -m "not slow" tests/firmware/test_deployment.py tests/firmware/test_library.py
	$(MCU_PYTEST) tests/firmware/test_emulated_board.py

# A subnet for ExecuTorch, and for Core ML, which can be converted to everywhere and runs on macOS.
test-phone: $(STAMP)
	@$(BIN)/python -c 'import executorch, coremltools' 2>/dev/null \
	  || timeout 600 $(BIN)/python -m pip install --quiet -e '.[phone]' \
	  || echo 'the packages of the extra `phone` could not be installed; their tests will be skipped'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rs tests/deploy/test_executorch.py tests/deploy/test_coreml.py tests/formats

lab: $(STAMP)
	$(BIN)/jupyter lab notebooks

# Everything that is derived from the trained weights: pairs, predictor, the notebooks' outputs, the README's picture.
# The page has no `host`, which would be the machine of whoever made it.
SHOWN := epyc-1core pi4 jetson-nano pixel1 stm32h743 stm32f746 mcu-64k
artifacts: mcu
	$(BIN)/labkit measure --supernet fmnist
	$(BIN)/python -m labkit.course.release.student_notebooks --run
	$(BIN)/labkit demo
	cp results/pareto.png docs/pareto.png
	$(MCU_PYTHON) -m labkit specialize --out results/specialize
	cp results/specialize/specialize.png docs/specialize.png
	$(BIN)/labkit export-explorer docs/explorer.html $(addprefix --device ,$(SHOWN))

# Figures that change with the weights of fmnist, on the pages below benchmarks/ and in docs/: hours, of one core.
# What was measured on cifar10, and networks that were trained alone, is taken over from the earlier report.
EARLIER = --add-to benchmarks/results/$(1).json
PUBLISH := OMP_NUM_THREADS=1 $(BIN)/python benchmarks/publish.py
figures: mcu
	$(PUBLISH) measured_search $(call EARLIER,measured_search)
	$(PUBLISH) predictor_quality $(call EARLIER,predictor_quality)
	$(PUBLISH) thompson --runs 20 --supernet fmnist --device epyc-1core --budgets 1 $(call EARLIER,thompson)
	$(PUBLISH) exact_front
	$(PUBLISH) stand_alone --rates 0.25 --precision bfloat16 --earlier benchmarks/results/stand_alone.json --report-only
	$(PUBLISH) fine_tuning --rates 0.03 0.1 0.3 --precision bfloat16
	$(BIN)/python benchmarks/darts_comparison.py space --threads 1
	$(BIN)/python benchmarks/quantization_drop.py
	$(MCU_PYTHON) benchmarks/quantization_drop.py --format tflite --images 2000
	$(MCU_PYTHON) benchmarks/mcu_accuracy.py

# How the code is written and who may import whom; `make format` mends the first.
lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The environment is made again when the list of dependencies changes. Where Debian's python3-venv is missing, or a
# first run was stopped, a python without pip may be there.
$(STAMP): pyproject.toml
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@test -z '$(LIGHT)' || $(BIN)/python -c "import torch" 2>/dev/null \
	  || ! $(BIN)/python -c "from urllib.request import urlopen; urlopen('$(CPU_INDEX)/torch/', timeout=20)" 2>/dev/null \
	  || $(BIN)/python -m pip install --quiet torch torchvision --index-url $(CPU_INDEX)
	$(BIN)/python -m pip install --quiet --upgrade-strategy only-if-needed -e '.[all]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) $(MCU) $(COLAB) results build *.egg-info
