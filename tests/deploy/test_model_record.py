"""How to feed a model: read as it was written, and the same preparation as in training."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from deploy_for_tests import compact, tiny_data, tiny_record
from PIL import Image

from labkit.data import datasets
from labkit.data.record import ImageForm
from labkit.deploy.model_record import IntegerScale, ModelRecord, model_record, write_model
from labkit.space.presets import FMNIST
from labkit.storage.errors import LabError


def test_it_is_read_as_it_was_written(tmp_path):
    for record in (tiny_record(), tiny_record(in_scale=IntegerScale(0.02, -3), supernet=None)):
        assert ModelRecord.from_text(record.to_text(), tmp_path) == record
        path = tmp_path / "model.bin"
        write_model(path, lambda temporary: temporary.write_bytes(b"weights"), record)
        assert compact((tmp_path / "model.bin.json").read_text()) == record.to_text()
    value = json.loads(tiny_record(in_scale=IntegerScale(0.02, -3)).to_text())
    entry = value["input"]
    assert entry["type"] == "int8" and entry["scale"] == 0.02 and entry["zero_point"] == -3
    assert value["arch"]["resolution"] == 12 and entry["shape"] == [1, 1, 12, 12]
    assert entry["picture"] == {"channels": 1, "side": 28, "fit": "crop"}
    assert value["output"]["type"] == "float32" and "scale" not in value["output"]
    assert value["accuracy"]["images"] == 300 and value["accuracy"]["split"] == "test"


@pytest.mark.parametrize(
    "place, field, value, message",
    [
        ((), "schema", "labkit-model-9", "field schema: want labkit-model-1"),
        ((), "arch", {"resolution": 20}, "field arch: "),
        ((), "precision", "int4", "field precision: want one of float32, float16, int8"),
        (("input",), "std", [0], "field input.std: want 1 positive numbers"),
        (("input",), "mean", [0.1, 0.2, 0.3], "field input.std: want 1 positive numbers"),
        (("input",), "layout", "CHWN", "field input.layout: want one of NCHW"),
        (("input",), "shape", [1, 1, 20, 20], "field input.shape: want NCHW of 1 x 12 pixels"),
        (("input",), "type", "int4", "field input.type: want one of float32, int8"),
        (("input",), "zero_point", 1000, "field input.zero_point: want an int from -128 to 127"),
        (("input",), "zero_point", -129, "field input.zero_point: want an int from -128 to 127"),
        (("input",), "zero_point", 3.0, "field input.zero_point: want int"),
        (("output",), "classes", [], "field output.classes: want names"),
        (("accuracy",), "percent", "high", "field accuracy.percent: want a number"),
    ],
)
def test_a_field_that_is_wrong_is_named(place, field, value, message):
    record = tiny_record(in_scale=IntegerScale(0.02, -3)).to_json()
    part = record
    for name in place:
        part = part[name]
    part[field] = value
    with pytest.raises(LabError, match=f"^m.onnx: {message}"):
        ModelRecord.from_text(json.dumps(record), "m.onnx")


def test_a_model_without_a_record_is_refused():
    with pytest.raises(LabError, match="m.onnx does not say how to feed it"):
        ModelRecord.from_text(None, "m.onnx")
    with pytest.raises(LabError, match="m.onnx is not valid JSON"):
        ModelRecord.from_text("{", "m.onnx")


def test_a_space_of_other_classes_is_refused():
    with pytest.raises(LabError, match="10 classes, the data set names 2: dark, bright"):
        model_record(
            FMNIST,
            FMNIST.smallest(),
            tiny_data(),
            layout="NCHW",
            precision="float32",
            percent=50,
            images=1,
            split="test",
            runtime="ONNX Runtime",
            supernet=None,
        )


def test_pictures_are_prepared_as_in_training(tmp_path, monkeypatch):
    """A folder of color photographs of several sizes, one upright by its EXIF tag only."""
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    rng, files = np.random.default_rng(0), []
    for i in range(12):
        path = tmp_path / "photos" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (40 + 7 * i, 60, 3), dtype=np.uint8)
        exif = Image.Exif()
        exif[0x0112] = 6 if i == 3 else 1
        Image.fromarray(pixels).save(path, exif=exif)
        files.append(path)
    dataset = datasets.load(tmp_path / "photos", ImageForm(3, 32, "crop"))
    record = tiny_record(dataset=dataset)
    expected = torch.cat([split.images[:] for split in dataset.splits.values()])
    expected = datasets.resize(datasets.normalize(expected, dataset), 12)
    prepared = torch.cat([record.prepared(Image.open(path)) for path in files])
    assert prepared.shape == expected.shape == (12, 3, 12, 12)
    order = [int((expected - image).abs().flatten(1).amax(1).argmin()) for image in prepared]
    assert sorted(order) == list(range(12))  # each is one of them
    torch.testing.assert_close(prepared, expected[order], rtol=0, atol=0)
