"""nbval with the plugin: limits, deaths, replies and floods of output."""

import json
import subprocess
import sys

from grading_for_tests import notebook

RUN = """
import json, sys, pytest
from labkit.course.execution.nbval_plugin import CellRules
rules = CellRules(lambda item: 3.0 if "while True" in item.cell.source else 200.0)
options = ["-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env", "-q"]
pytest.main([*options, *sys.argv[2:]], plugins=[rules])
json.dump(rules.results, open(sys.argv[1], "w"))
"""


def test_the_plugin_mends_what_nbval_leaves_out(tmp_path):
    books = {
        "death": ["x = 1", "import os; os._exit(0)", "y = 2"],
        "endless": [
            "x = 1",
            "while True:\n  try:\n    while True: pass\n  except BaseException: pass",
            "y = 2",
        ],
        "quiet": ["get_ipython().showtraceback = lambda *a, **k: None", "1 / 0", "x = 1"],
        "raises": ["# NBVAL_RAISES_EXCEPTION\n1 / 0", "# NBVAL_RAISES_EXCEPTION\nx = 1"],
        "flood": [
            "for _ in range(30):\n    print('x' * 10 ** 6)",
            "import warnings; warnings.warn('fine')",
        ],
    }
    for name, sources in books.items():
        text = json.dumps(notebook([("code", source) for source in sources]))
        (tmp_path / f"{name}.ipynb").write_text(text)
    subprocess.run(
        [sys.executable, "-c", RUN, "out.json", *(f"{name}.ipynb" for name in books)],
        cwd=tmp_path,
        capture_output=True,
        timeout=900,
        check=True,
    )
    cells = {}
    for cell in json.loads((tmp_path / "out.json").read_text()):
        cells.setdefault(cell["notebook"], []).append(cell)
    assert {name: [cell["ok"] for cell in of] for name, of in cells.items()} == {
        "death": [True, False, False],
        "endless": [True, False, False],
        "quiet": [True, False, True],
        "raises": [True, False],
        "flood": [True, True],
    }
    assert cells["death"][1]["how"] == "died" and cells["death"][1]["seconds"] < 100
    assert cells["endless"][1]["how"] == "timeout" and cells["endless"][1]["seconds"] < 100
