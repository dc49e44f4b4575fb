"""What is left when a run dies, and that it goes on from there."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from pictures_for_tests import write_pictures

from labkit.data.record import DataError
from labkit.space import SearchSpace, Stage
from labkit.space.presets import FMNIST, spaces
from labkit.storage import tensor_file as checkpoint
from labkit.storage.atomic_write import one_at_a_time
from labkit.storage.tensor_file import CheckpointError
from labkit.train import TrainConfig, resumable_run, train
from labkit.train.step import training_step

TINY = TrainConfig(epochs=1, steps_per_epoch=6, batch=8)

# A child that trains and, while it writes its checkpoint of step 4, is killed with half of it on
# disk.
KILLED_WHILE_WRITING = """
import os, signal, sys
import torch
import labkit.train.loop
from pathlib import Path
from labkit.train import TrainConfig, resumable_run, train
torch.set_num_threads(1)
labkit.train.loop.CURVE_IMAGES = 100
write_bytes = Path.write_bytes
def half(path, content):
    if rb'step\\": 4' in content:
        write_bytes(path, content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    return write_bytes(path, content)
Path.write_bytes = half
config = TrainConfig(epochs=1, steps_per_epoch=6, batch=8)
train(config, sys.argv[1], progress=False, checkpoint_every=2)
"""

# A child whose files may not grow beyond a limit once it has trained three steps: a disk that fills
# up.
DISK_FULL = """
import resource, sys
import torch
import labkit.train.loop
from labkit.train import TrainConfig, resumable_run, train
torch.set_num_threads(1)
labkit.train.loop.CURVE_IMAGES = 100
step, steps = labkit.train.loop.training_step, 0
def filling(*args, **options):
    global steps
    steps += 1
    if steps == 4:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    return step(*args, **options)
labkit.train.loop.training_step = filling
config = TrainConfig(epochs=1, steps_per_epoch=6, batch=8)
try:
    train(config, sys.argv[1], progress=False, checkpoint_every=2)
except OSError as error:
    sys.exit(f"STOPPED {error}")
"""


@pytest.fixture(autouse=True)
def few_images_in_curves(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr("labkit.train.loop.CURVE_IMAGES", 100)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The tensors of an uninterrupted run."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("labkit.train.loop.CURVE_IMAGES", 100)
        train(TINY, out, progress=False)
    return checkpoint.read(out / "checkpoint.safetensors")[0]


def child(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def assert_resumes_to(uninterrupted, out):
    train(TINY, out, resume=True, progress=False)
    resumed = checkpoint.read(out / "checkpoint.safetensors")[0]
    assert resumed.keys() == uninterrupted.keys() and all(
        torch.equal(resumed[name], uninterrupted[name]) for name in uninterrupted
    )
    assert sorted(path.name for path in out.iterdir()) == [
        "checkpoint.safetensors",
        "curve.csv",
        "supernet.safetensors",
    ]


def test_killed_while_a_checkpoint_is_written(tmp_path, uninterrupted):
    dead = child(KILLED_WHILE_WRITING, tmp_path)
    assert dead.returncode == -signal.SIGKILL, dead.stderr
    stray = [
        path for path in tmp_path.iterdir() if path.name.startswith(".checkpoint.safetensors.")
    ]
    assert len(stray) == 1  # the half that was written; the checkpoint itself is the one before
    with pytest.raises(checkpoint.CheckpointError):
        checkpoint.read(stray[0])
    assert checkpoint.read(tmp_path / "checkpoint.safetensors")[1]["step"] == 2
    assert_resumes_to(uninterrupted, tmp_path)


def test_a_disk_that_fills_up_stops_the_run_with_the_last_checkpoint_whole(tmp_path, uninterrupted):
    stopped = child(DISK_FULL, tmp_path)
    assert stopped.returncode == 1 and "STOPPED stopped after step 4" in stopped.stderr, (
        stopped.stderr
    )
    assert "go on with --resume" in stopped.stderr
    assert checkpoint.read(tmp_path / "checkpoint.safetensors")[1]["step"] == 2
    assert_resumes_to(uninterrupted, tmp_path)


OWN = SearchSpace(
    name="mine",
    resolutions=(8, 12),
    in_channels=3,
    num_classes=2,
    stem_width=8,
    stages=(Stage(8, 2, (1, 2), kernels=(3,), expands=(2, 3)),),
)


@pytest.fixture(name="own")
def a_run_with_own_images(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    images = write_pictures(tmp_path / "photos", classes=2, per_class=20)
    return TrainConfig(space=OWN, dataset=str(images), epochs=2, batch=8)


def test_a_run_does_not_go_on_with_other_images(own, tmp_path):
    images, out = Path(own.dataset), tmp_path / "run"
    train(replace(own, epochs=1), out, progress=False)
    first = next((images / "class1").iterdir())
    first.unlink()
    with pytest.raises(CheckpointError, match="the images in .*photos are not those that .*--out"):
        train(replace(own, epochs=1), out, resume=True, progress=False)
    shutil.rmtree(images)
    write_pictures(images, classes=2, per_class=20)
    train(replace(own, epochs=1), out, resume=True, progress=False)  # the same ones once more


def test_a_run_that_has_ended_keeps_its_weights_as_they_are(own, tmp_path):
    """Pairs and a predictor may have been made from that very file."""
    out = tmp_path / "run"
    train(own, out, progress=False)
    weights = (out / "supernet.safetensors").read_bytes()
    train(own, out, resume=True, progress=False)
    assert (out / "supernet.safetensors").read_bytes() == weights
    (out / "supernet.safetensors").unlink()  # as where it was killed before they were written
    train(own, out, resume=True, progress=False)
    assert checkpoint.read(out / "supernet.safetensors")[1]["config"]["epochs"] == 2


def test_two_runs_do_not_share_a_folder(own, tmp_path):
    out = tmp_path / "run"
    train(replace(own, epochs=1), out, progress=False)
    with (
        one_at_a_time(out),
        pytest.raises(BlockingIOError, match="another process writes into .*run; wait"),
    ):
        train(replace(own, epochs=1), out, resume=True, progress=False)
    train(replace(own, epochs=1), out, resume=True, progress=False)


def test_a_curve_that_is_none_is_named(own, tmp_path):
    train(replace(own, epochs=1), tmp_path / "run", progress=False)
    path = tmp_path / "run" / "checkpoint.safetensors"
    tensors, header = checkpoint.read(path)
    for curve in ([1], [{"epoch": 1}, {}]):
        checkpoint.save(path, tensors, {**header, "curve": curve})
        with pytest.raises(CheckpointError, match="header field 'curve' is not what labkit writes"):
            train(replace(own, epochs=1), tmp_path / "run", resume=True, progress=False)


def test_a_run_does_not_write_among_its_images(own):
    out = Path(own.dataset) / "runs"
    with pytest.raises(DataError, match="runs lies in the folder of images .*--out DIR"):
        train(own, out, progress=False)
    assert not out.exists()


def test_no_room_for_a_checkpoint_is_an_error_before_training(tmp_path, monkeypatch):
    def trains(*args, **options):
        raise AssertionError("training began")

    monkeypatch.setattr("labkit.train.loop.training_step", trains)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="checkpoint.safetensors"):
            train(TINY, tmp_path, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_before_newer_options_resumes(tmp_path, uninterrupted):
    """It lacks fields, which then mean what the code did at that time."""
    first = (
        "space",
        "dataset",
        "recipe",
        "epochs",
        "steps_per_epoch",
        "batch",
        "learning_rate",
        "momentum",
        "weight_decay",
        "warmup_epochs",
        "label_smoothing",
        "ema_decay",
        "seed",
    )

    countdown = iter(range(3))

    def dies(*args, **options):
        next(countdown)  # StopIteration at the fourth step
        return training_step(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("labkit.train.loop.training_step", dies)
        with pytest.raises(StopIteration):
            train(TINY, tmp_path, progress=False, checkpoint_every=1)
    path = tmp_path / "checkpoint.safetensors"
    tensors, header = checkpoint.read(path)
    assert header["step"] == 3
    config = {field: value for field, value in header["config"].items() if field in first}
    checkpoint.save(
        path,
        tensors,
        {
            "schema": "labkit-checkpoint-1",
            "config": config,
            **{field: header[field] for field in ("step", "cpu_seconds", "wall_seconds", "curve")},
        },
    )
    assert_resumes_to(uninterrupted, tmp_path)


def test_killed_between_the_last_checkpoint_and_the_curve(tmp_path, uninterrupted):
    train(TINY, tmp_path, progress=False)
    for name in ("curve.csv", "supernet.safetensors"):
        (tmp_path / name).unlink()
    assert_resumes_to(uninterrupted, tmp_path)  # which looks for both


def test_a_checkpoint_with_an_option_that_is_not_known_is_refused(tmp_path):
    train(replace(TINY, steps_per_epoch=1), tmp_path, progress=False)
    path = tmp_path / "checkpoint.safetensors"
    tensors, header = checkpoint.read(path)
    for change, message in (
        ({"config": {**asdict(TINY), "steps_per_epoch": 1, "mixup": 0.2}}, "mixup=0.2"),
        ({"schema": "labkit-checkpoint-9"}, "labkit-checkpoint-9"),
        ({"step": "1"}, "field step: want int, got '1'"),
        ({"step": 99}, "step 99 is not one of this run's 1"),
        ({"step": -3}, "step -3 is not one of this run's 1"),
        ({"scaler": {"x": 1}}, "field 'scaler' is not what labkit writes"),
        ({"curve": None}, "field curve: want list, got None"),
    ):
        checkpoint.save(path, tensors, {**header, **change})
        with pytest.raises(checkpoint.CheckpointError, match=message):
            train(replace(TINY, steps_per_epoch=1), tmp_path, resume=True, progress=False)


def test_a_checkpoint_of_another_version_of_the_space_is_refused(tmp_path, monkeypatch):
    """Its tensors have the same shapes, and would be trained on as another network's."""
    train(replace(TINY, steps_per_epoch=1), tmp_path, progress=False)
    monkeypatch.setitem(spaces, "fmnist", replace(FMNIST, bn_eps=1e-3))
    with pytest.raises(
        CheckpointError, match=f"made with space_sha256='{FMNIST.digest}', this run"
    ):
        train(replace(TINY, steps_per_epoch=1), tmp_path, progress=False, resume=True)


def test_the_bar_counts_the_images_of_every_step(tmp_path, monkeypatch, capsys):
    bars = []

    class Bar(resumable_run.tqdm):
        def close(self):
            bars.append((self.n, self.total, self.unit, self.unit_scale))
            super().close()

    monkeypatch.setattr(resumable_run, "tqdm", Bar)
    train(replace(TINY, epochs=2, steps_per_epoch=2), tmp_path)
    assert bars[0] == (32, 32, "image", False)
    assert "epoch 2/2: loss" in capsys.readouterr().err


def test_a_run_that_shows_no_progress_is_silent_and_knows_its_speed(tmp_path, capfd):
    train(replace(TINY, epochs=2, steps_per_epoch=2), tmp_path, progress=False)
    assert capfd.readouterr() == ("", "")
    rows = (tmp_path / "curve.csv").read_text().splitlines()
    column = rows[0].split(",").index("images_per_second")
    assert all(int(row.split(",")[column]) > 0 for row in rows[1:])


def test_a_run_by_the_clock_names_no_last_epoch(tmp_path, capsys):
    shares = iter([0, 0.2, 0.4, 0.6, 1])
    train(replace(TINY, epochs=3, steps_per_epoch=2), tmp_path, clock=lambda: next(shares))
    text = capsys.readouterr().err
    assert "epoch 1: loss" in text and "epoch 2: loss" in text
