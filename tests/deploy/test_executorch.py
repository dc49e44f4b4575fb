"""Programs of ExecuTorch, where it is installed."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import torch
from deploy_for_tests import compact, tiny_data
from networks_for_tests import shake

from labkit.deploy.executorch.deployment import deploy, open_model
from labkit.space.presets import FMNIST
from labkit.storage.errors import LabError, MissingPackage
from labkit.supernet.subnet import Subnet

INSTALLED = importlib.util.find_spec("executorch") is not None
SPACE = replace(FMNIST, num_classes=2)
SIDE = SPACE.smallest().resolution


def subnet() -> Subnet:
    torch.manual_seed(0)
    return shake(Subnet(SPACE, SPACE.smallest()), 0, torch.randn(16, 1, SIDE, SIDE))


@pytest.mark.skipif(not INSTALLED, reason="executorch is not installed; run `make test-phone`")
def test_a_program_computes_what_torch_does_and_carries_its_record(tmp_path, capfd):
    trained, path = subnet(), tmp_path / "m.pte"
    done = deploy(SPACE, trained, tiny_data(), path, images=70, supernet="5" * 64)
    assert capfd.readouterr().out == ""  # standard output belongs to --json
    assert done.max_difference < 1e-4 and done.file_accuracy == done.accuracy
    assert done.file_bytes == path.stat().st_size and done.latency_ms > 0
    record, run = open_model(path)
    assert record.to_text() == compact((tmp_path / "m.pte.json").read_text())
    assert record.input.shape == (1, 1, SIDE, SIDE) and record.accuracy.runtime == "ExecuTorch"
    images = torch.randn(5, 1, SIDE, SIDE)
    with torch.no_grad():
        expected = trained(images).numpy()
    assert expected.std(0).min() > 1e-3
    np.testing.assert_allclose(run(images), expected, atol=1e-4)


@pytest.mark.skipif(INSTALLED, reason="executorch is installed")
def test_without_the_package_the_error_names_the_extra(tmp_path):
    with pytest.raises(MissingPackage, match=r"pip install -e '.\[phone\]'"):
        deploy(SPACE, subnet(), tiny_data(), tmp_path / "m.pte")


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(LabError, match="name it like model.pte"):
        deploy(SPACE, subnet(), tiny_data(), tmp_path / "m.onnx")
