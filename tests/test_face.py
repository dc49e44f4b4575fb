"""The face of the package: the names that a notebook needs, each imported when it is first used."""

import pkgutil
import subprocess
import sys

import pytest

import labkit


def test_the_face_shows_every_name():
    assert 30 <= len(labkit.__all__) <= 45
    for name in labkit.__all__:
        assert getattr(labkit, name) is not None and name in dir(labkit)


def test_no_name_of_the_face_hides_a_package():
    """`import labkit.search` sets the attribute `search` of `labkit`, whatever was there before."""
    packages = {module.name for module in pkgutil.iter_modules(labkit.__path__)}
    assert not packages & set(labkit.__all__)


def test_a_name_that_is_not_there_is_an_error_that_lists_the_names():
    with pytest.raises(AttributeError, match="labkit has no 'sursupernet'; its face shows Arch, "):
        labkit.sursupernet  # noqa: B018


def test_searching_through_the_face_imports_neither_torch_nor_a_runtime():
    program = """
import sys, numpy as np, labkit
space = labkit.get_space("fmnist")
costs = labkit.DeviceCosts(space, labkit.get_device("pi4"), progress=False)
budgets = costs.budgets(latency_ms=4.5)
genes = space.sample(np.random.default_rng(0), 60)
score = labkit.fit_separable(space, genes, 80 + 1e-6 * costs.macs(genes),
                             rng=np.random.default_rng(0))
best = labkit.search_subnet(space, score, budgets, method="exact")
result = labkit.evolve(space, score, budgets, rng=np.random.default_rng(0), generations=5)
assert result.accuracy <= best.accuracy
print(sorted(set(sys.modules) & {"torch", "torchvision", "onnx", "onnxruntime", "matplotlib"}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
