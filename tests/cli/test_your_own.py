"""The ten commands of docs/your-own.md, as they stand there, on a small set of generated photos."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest
from pictures_for_tests import write_pictures

import labkit

PAGE = Path(labkit.__file__).parents[1] / "docs" / "your-own.md"


def commands() -> list[str]:
    (block,) = re.findall(r"```sh\n(labkit space new .*?)```", PAGE.read_text("utf-8"), re.S)
    return block.strip().split("\n")


def test_the_page_has_ten_commands():
    assert len(commands()) == 10 and all(line.startswith("labkit ") for line in commands())


@pytest.mark.slow
def test_the_ten_commands_lead_from_photos_to_five_networks(tmp_path):
    write_pictures(tmp_path / "photos", classes=3, per_class=40, suffix=".jpg")
    (tmp_path / "photos" / "class1" / "damaged.jpg").write_bytes(b"no picture")
    variables = {"LABKIT_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    for line in commands():
        done = subprocess.run(
            line.replace("labkit", f"{sys.executable} -m labkit", 1),
            shell=True,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=1800,
            env={**os.environ, **variables},
        )
        assert done.returncode == 0, f"{line}\n{done.stderr[-3000:]}"
        if " train " in line:
            assert "1 of 121 images in" in done.stderr and "class1/damaged.jpg" in done.stderr
    trained = labkit.load(tmp_path / "runs" / "photos")
    assert trained.missing() == {} and trained.space.num_classes == 3
    best = labkit.Arch.from_json(json.loads((tmp_path / "best.json").read_text())["arch"])
    trained.space.validate(best)
    session = onnxruntime.InferenceSession(
        str(tmp_path / "photos.onnx"), providers=["CPUExecutionProvider"]
    )
    assert session.get_inputs()[0].shape[1:] == [3, best.resolution, best.resolution]
    report = json.loads((tmp_path / "results" / "photos" / "specialize.json").read_text())
    devices = [device["name"] for device in report["devices"]]
    assert len(devices) == 5 and "measured" in report["accuracy_is"]
    for device in devices:
        assert (tmp_path / "results" / "photos" / f"{device}.onnx").stat().st_size > 10_000
    for file in ("space.png", "front.png", "kit.zip"):
        assert (tmp_path / file).stat().st_size > 1000
