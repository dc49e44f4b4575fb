"""Packages for Core ML, where coremltools is installed; they run on macOS only."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace

import pytest
import torch
from deploy_for_tests import tiny_data
from networks_for_tests import shake

from labkit.deploy.coreml.deployment import deploy, open_model
from labkit.space.presets import FMNIST
from labkit.storage.errors import LabError, MissingPackage
from labkit.supernet.subnet import Subnet

INSTALLED = importlib.util.find_spec("coremltools") is not None
needs_coreml = pytest.mark.skipif(
    not INSTALLED, reason="coremltools is not installed; run `make test-phone`"
)
SPACE = replace(FMNIST, num_classes=2)
SIDE = SPACE.smallest().resolution


def subnet() -> Subnet:
    torch.manual_seed(0)
    return shake(Subnet(SPACE, SPACE.smallest()), 0, torch.randn(16, 1, SIDE, SIDE))


@needs_coreml
@pytest.mark.parametrize("precision, width", [("float32", 4), ("float16", 2)])
def test_a_package_has_the_weights_and_its_record(tmp_path, precision, width):
    import coremltools as ct

    trained, path = subnet(), tmp_path / "m.mlpackage"
    done = deploy(SPACE, trained, tiny_data(), path, images=20, precision=precision)
    spec = ct.models.MLModel(str(path), skip_model_load=True).get_spec()
    assert [entry.name for entry in spec.description.input] == ["input"]
    assert list(spec.description.input[0].type.multiArrayType.shape) == [1, 1, SIDE, SIDE]
    assert [entry.name for entry in spec.description.output] == ["output"]
    record = json.loads(spec.description.metadata.userDefined["labkit"])
    assert record == json.loads((tmp_path / "m.mlpackage.json").read_text())
    # Batch norms are folded, so about one number in ten is gone; tensors are aligned to 64 bytes.
    numbers = sum(parameter.numel() for parameter in trained.parameters())
    (weights,) = path.rglob("weight.bin")
    assert 0.8 * width * numbers < weights.stat().st_size < 1.3 * width * numbers
    assert done.file_bytes == sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    if sys.platform != "darwin":
        assert record["accuracy"]["runtime"] == "PyTorch" and done.file_accuracy is None
        assert "not verified" in done.lines()[0]
        with pytest.raises(LabError, match="macOS and iOS only"):
            open_model(path)


@needs_coreml
def test_an_older_package_is_replaced_and_nothing_else(tmp_path):
    path = tmp_path / "m.mlpackage"
    path.mkdir()
    (path / "thesis.tex").write_text("years of work")
    with pytest.raises(LabError, match="labkit did not write it"):
        deploy(SPACE, subnet(), tiny_data(), path, images=20)
    assert [file.name for file in path.iterdir()] == ["thesis.tex"]
    (tmp_path / "m.mlpackage.json").write_text("{}")
    deploy(SPACE, subnet(), tiny_data(), path, images=20)
    assert not (path / "thesis.tex").exists() and (path / "Manifest.json").is_file()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.mlpackage", "m.mlpackage.json"]


@pytest.mark.skipif(INSTALLED, reason="coremltools is installed")
def test_without_the_package_the_error_names_the_extra(tmp_path):
    with pytest.raises(MissingPackage, match=r"pip install -e '.\[phone\]'"):
        deploy(SPACE, subnet(), tiny_data(), tmp_path / "m.mlpackage")


def test_what_core_ml_cannot_have_is_refused(tmp_path):
    with pytest.raises(LabError, match="name it like model.mlpackage"):
        deploy(SPACE, subnet(), tiny_data(), tmp_path / "m.onnx")
    with pytest.raises(ValueError, match="float32 or float16, not int8"):
        deploy(SPACE, subnet(), tiny_data(), tmp_path / "m.mlpackage", precision="int8")
