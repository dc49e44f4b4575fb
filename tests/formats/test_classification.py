"""Image files through deployed models: the same class in every format, and what is refused."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from deploy_for_tests import tiny_data
from networks_for_tests import train_briefly
from PIL import Image

from labkit.data.datasets import normalize, resize
from labkit.formats.classification import classify
from labkit.formats.table import FORMATS, format_of
from labkit.space.presets import FMNIST
from labkit.storage.errors import LabError
from labkit.supernet.subnet import Subnet

SPACE = replace(FMNIST, num_classes=2)
PACKAGES = {
    ".onnx": ("onnxruntime",),
    ".tflite": ("litert_torch", "ai_edge_quantizer", "tflite_micro"),
    ".pte": ("executorch",),
    "": ("litert_torch", "ai_edge_quantizer", "tflite_micro"),
}


@pytest.fixture(scope="module")
def subnet() -> Subnet:
    """It tells the dark images of `tiny_data` from the bright ones."""
    torch.manual_seed(0)
    data = tiny_data()
    images, labels = data.splits["train"].images[:128], data.splits["train"].labels[:128]
    inputs = resize(normalize(images, data), SPACE.smallest().resolution)
    return train_briefly(Subnet(SPACE, SPACE.smallest()), inputs, labels)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> list[Path]:
    """A dark and a bright photograph, in color as JPEG, in gray as PNG, on their side as WebP."""
    folder, paths = tmp_path_factory.mktemp("photos"), []
    rng = np.random.default_rng(0)
    for name, base in (("dark", 0), ("bright", 100)):
        noise = rng.integers(0, 100, (30, 40, 3)).astype(np.uint8) + np.uint8(base)
        picture = Image.fromarray(noise).resize((4000, 3000), Image.Resampling.NEAREST)
        for file, saved in (
            ("photo.jpg", picture),
            ("gray.png", picture.convert("L").resize((50, 200))),
            ("alpha.webp", picture.convert("RGBA").resize((33, 20))),
        ):
            paths.append(folder / f"{name}-{file}")
            saved.save(paths[-1])
    return paths


@pytest.mark.parametrize("suffix", PACKAGES)
def test_every_format_sees_the_same(tmp_path, subnet, photos, suffix):
    missing = [name for name in PACKAGES[suffix] if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; run `make test-mcu test-phone`")
    path = tmp_path / f"model{suffix}"
    options = {"images": 20} if "images" in FORMATS[suffix].options else {"int8": True}
    if suffix == "":
        options["board"] = "none"
    FORMATS[suffix].module.deploy(SPACE, subnet, tiny_data(), path, **options)
    models = [path, *tmp_path.glob("*.int8.onnx")]
    for model in models:
        results = classify(model, photos)
        assert [Path(result.image) for result in results] == photos
        assert [result.name for result in results] == ["dark"] * 3 + ["bright"] * 3, model
        for result in results:
            assert sum(result.probabilities.values()) == pytest.approx(1)
            assert result.probabilities[result.name] == max(result.probabilities.values()) > 0.5


@pytest.fixture(scope="module")
def model(tmp_path_factory, subnet) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    FORMATS[".onnx"].module.deploy(SPACE, subnet, tiny_data(), path)
    return path


def test_logits_are_those_of_the_prepared_image(model, subnet, photos):
    record, _ = FORMATS[".onnx"].module.open_model(model)
    with torch.no_grad():
        expected = subnet(record.prepared(Image.open(photos[0]))).softmax(1)[0]
    (result,) = classify(model, photos[:1])
    assert result.probabilities["dark"] == pytest.approx(float(expected[0]), abs=1e-5)


def test_what_is_no_image_is_named(model, tmp_path, photos):
    for name, content in (("notes.txt", b"text"), ("cut.jpg", photos[0].read_bytes()[:2000])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(LabError, match=f"{name} is no image that can be read"):
            classify(model, [photos[0], tmp_path / name])
    with pytest.raises(LabError, match="missing.png is no image that can be read"):
        classify(model, [tmp_path / "missing.png"])


def test_a_model_of_somebody_else_is_named(tmp_path, model, photos):
    import onnx

    foreign = onnx.load(model)
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(LabError, match="foreign.onnx does not say how to feed it"):
        classify(tmp_path / "foreign.onnx", photos)
    (tmp_path / "damaged.onnx").write_bytes(model.read_bytes()[:1000])
    with pytest.raises(LabError, match="damaged.onnx cannot be run"):
        classify(tmp_path / "damaged.onnx", photos)
    with pytest.raises(LabError, match="gone.onnx does not exist"):
        classify(tmp_path / "gone.onnx", photos)
    (tmp_path / "empty").mkdir()
    with pytest.raises(LabError, match="network.json is missing"):
        classify(tmp_path / "empty", photos)


def test_a_record_of_other_classes_is_named(tmp_path, model, photos):
    import onnx

    edited = onnx.load(model)
    for entry in edited.metadata_props:
        if "dark" in entry.value:
            entry.value = entry.value.replace('"dark","bright"', '"dark"')
    onnx.save(edited, tmp_path / "edited.onnx")
    with pytest.raises(LabError, match="edited.onnx has 2 outputs, and its record names 1 classes"):
        classify(tmp_path / "edited.onnx", photos[:1])


def test_a_model_with_damaged_weights_is_named(tmp_path, model, photos):
    import onnx

    damaged = onnx.load(model)
    weights = damaged.graph.initializer[0]
    broken = np.full_like(onnx.numpy_helper.to_array(weights), np.nan)
    weights.CopyFrom(onnx.numpy_helper.from_array(broken, weights.name))
    onnx.save(damaged, tmp_path / "nan.onnx")
    with pytest.raises(LabError, match="nan.onnx is damaged: its logits are NaN"):
        classify(tmp_path / "nan.onnx", photos)


def test_a_model_that_fails_on_an_image_is_named(monkeypatch, model, photos):
    record, _ = FORMATS[".onnx"].module.open_model(model)

    def run(images):
        raise RuntimeError("kernel 7")

    monkeypatch.setattr(FORMATS[".onnx"].module, "open_model", lambda path: (record, run))
    with pytest.raises(LabError, match=r"model.onnx cannot be run \(kernel 7\)"):
        classify(model, photos)


def test_an_unknown_format_lists_the_known_ones():
    with pytest.raises(LabError, match=r"model.onnx \(ONNX\), model.tflite \(LiteRT\)"):
        format_of(Path("model.keras"))
    with pytest.raises(LabError, match=r"'fw.v2'; .* firmware/ .* whose folder's name has no dot$"):
        format_of(Path("fw.v2"))
