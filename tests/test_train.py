import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from spaces_for_tests import make_it_bite

from labkit import checkpoint, data, pretrained
from labkit.data import Split
from labkit.spaces import FMNIST
from labkit.supernet import Supernet
from labkit.train import RECIPES, Recipe, TrainConfig, train
from labkit.train.config import learning_rate
from labkit.train.epochs import batch_of, plan_epoch
from labkit.train.loop import training_step

TINY = TrainConfig(epochs=2, steps_per_epoch=3, batch=8)


@pytest.fixture(autouse=True)
def few_images_in_curves(monkeypatch):
    monkeypatch.setattr("labkit.train.loop.CURVE_IMAGES", 100)


def weights(path):
    return checkpoint.read(path)[0]


def test_an_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    train(TINY, tmp_path / "whole", progress=False)

    class Killed(Exception):
        pass

    steps = 0

    def dies(*args, **options):
        nonlocal steps
        steps += 1
        if steps == 5:
            raise Killed
        return training_step(*args, **options)

    monkeypatch.setattr("labkit.train.loop.training_step", dies)
    with pytest.raises(Killed):
        train(TINY, tmp_path / "cut", progress=False, checkpoint_every=2)
    monkeypatch.undo()
    monkeypatch.setattr("labkit.train.loop.CURVE_IMAGES", 100)
    assert checkpoint.read(tmp_path / "cut" / "checkpoint.safetensors")[1]["step"] == 4
    train(TINY, tmp_path / "cut", resume=True, progress=False)
    for file in ("checkpoint.safetensors", "supernet.safetensors"):
        ours, theirs = weights(tmp_path / "cut" / file), weights(tmp_path / "whole" / file)
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert torch.equal(ours[name], theirs[name]), name
    rows = list(csv.DictReader(open(tmp_path / "cut" / "curve.csv")))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    supernet, record = pretrained.load(tmp_path / "whole" / "supernet.safetensors")
    assert record["config"]["steps_per_epoch"] == 3 and record["cpu_hours"] >= 0 and len(record["curve"]) == 2


def test_what_a_run_refuses(tmp_path):
    train(replace(TINY, epochs=1, steps_per_epoch=1), tmp_path, progress=False)
    with pytest.raises(FileExistsError, match="--resume"):
        train(TINY, tmp_path, progress=False)
    with pytest.raises(checkpoint.CheckpointError, match="epochs=1, this run has 2"):
        train(replace(TINY, steps_per_epoch=1), tmp_path, resume=True, progress=False)
    with pytest.raises(ValueError, match="batch 60000 is larger than the 50000 training images"):
        train(replace(TINY, batch=60_000), tmp_path / "other", progress=False)
    for broken, message in ((dict(recipe="naive"), "unknown recipe 'naive', known: sandwich"),
                            (dict(learning_rate=float("nan")), "learning_rate must be positive, got nan"),
                            (dict(epochs=0), "epochs must be positive, got 0"),
                            (dict(space="cifar"), "unknown space 'cifar'")):
        with pytest.raises(ValueError, match=message):
            TrainConfig(**broken)


def test_an_unwritable_folder_is_an_error_before_training(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("a file where a folder should be")
    with pytest.raises(OSError):
        train(TINY, blocked / "run", progress=False)


def test_sandwich_step_is_label_loss_of_the_largest_and_distillation_of_the_rest():
    supernet = make_it_bite(Supernet(FMNIST))
    images, labels = torch.randn(4, 1, 28, 28), torch.tensor([1, 2, 3, 4])
    archs = RECIPES["sandwich"].archs(FMNIST, np.random.default_rng(0))
    assert archs[:2] == [FMNIST.largest(), FMNIST.smallest()] and len(archs) == 3
    training_step(supernet, RECIPES["sandwich"], archs, images, labels, 0.1)
    got = {name: p.grad.clone() for name, p in supernet.named_parameters() if p.grad is not None}
    supernet.zero_grad()

    # The same by definition: one sum of losses, cross entropy written out.
    teacher = supernet(images, archs[0])
    smooth = torch.full((4, 10), 0.01)
    smooth[range(4), labels] += 0.9
    total = -(smooth * F.log_softmax(teacher, 1)).sum(1).mean()
    target = F.softmax(teacher, 1).detach()
    for arch in archs[1:]:
        logits = supernet(data.resize(images, arch.resolution), arch)
        total = total - (target * F.log_softmax(logits, 1)).sum(1).mean()
    total.backward()
    for name, parameter in supernet.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(got[name], parameter.grad, rtol=1e-3, atol=1e-5, msg=name)


def test_recipes_sample_what_they_say():
    single = RECIPES["single-path"].archs(FMNIST, np.random.default_rng(0))
    assert len(single) == 1 and single[0] not in (FMNIST.largest(), FMNIST.smallest())
    with pytest.raises(ValueError, match="needs the largest arch"):
        Recipe("odd", sandwich=False, random_archs=1, distill=True)


def test_epochs_are_a_function_of_seed_and_number():
    a, b, other = plan_epoch(100, 1, 2), plan_epoch(100, 1, 2), plan_epoch(100, 1, 3)
    assert all(torch.equal(x, y) for x, y in zip(a[:3], b)) and not torch.equal(a.order, other.order)
    assert sorted(a.order.tolist()) == list(range(100))


def test_batches_are_shifted_and_flipped_copies_with_their_own_label():
    images = torch.arange(1, 5 * 28 * 28 + 1).view(5, 1, 28, 28) % 250 + 1
    split = Split(images.to(torch.uint8), torch.arange(5))
    epoch = plan_epoch(5, 0, 0)
    indices = torch.tensor([3, 1, 4])
    batch, labels = batch_of(split, epoch, indices)
    assert labels.tolist() == [3, 1, 4] and batch.shape == (3, 1, 28, 28)
    for image, i in zip(batch, indices):
        original = F.pad(split.images[i], (2, 2, 2, 2))
        row, column = epoch.shift[i].tolist()
        crop = original[:, row:row + 28, column:column + 28]
        assert torch.equal(image, crop.flip(-1) if epoch.flip[i] else crop)


def test_learning_rate_warms_up_and_ends_at_zero():
    config = TrainConfig(epochs=10, learning_rate=0.2, warmup_epochs=1)
    rates = [learning_rate(config, step, 50) for step in range(500)]
    assert rates[0] < rates[25] < rates[49] and abs(max(rates) - 0.2) < 1e-6
    assert all(a >= b for a, b in zip(rates[50:], rates[51:])) and rates[-1] < 1e-4


def test_checkpoints_are_validated(tmp_path):
    path = tmp_path / "w.safetensors"
    pretrained.save(path, Supernet(FMNIST), {"config": {}})
    whole = path.read_bytes()
    for content in (whole[:len(whole) // 2], b"", b"{}", b"\x80\x04N."):  # cut short, empty, text, a pickle
        path.write_bytes(content)
        with pytest.raises(checkpoint.CheckpointError, match="w.safetensors is not a whole"):
            pretrained.load(path)
    with pytest.raises(checkpoint.CheckpointError, match="does not exist"):
        pretrained.load(tmp_path / "absent.safetensors")
    tensors = dict(Supernet(FMNIST).named_parameters())
    header = {"schema": pretrained.SCHEMA, "space": "fmnist"}
    for change, message in ((lambda t: t.pop("classifier.bias"), "'classifier.bias' is missing"),
                            (lambda t: t.update(extra=torch.zeros(1)), "'extra' is not part"),
                            (lambda t: t.update({"classifier.bias": torch.zeros(11)}),
                             r"shape \(11,\).*wants \(10,\)")):
        broken = dict(tensors)
        change(broken)
        checkpoint.save(path, broken, header)
        with pytest.raises(checkpoint.CheckpointError, match=message):
            pretrained.load(path)
    checkpoint.save(path, tensors, {**header, "space": "moon"})
    with pytest.raises(checkpoint.CheckpointError, match="unknown space 'moon'"):
        pretrained.load(path)
    checkpoint.save(path, tensors, {**header, "schema": "labkit-supernet-9"})
    with pytest.raises(checkpoint.CheckpointError, match="labkit-supernet-9"):
        pretrained.load(path)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    checkpoint.save(path, {"a": torch.ones(3)}, {"n": 1})

    def fails(tensors, file, metadata):
        file.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("labkit.checkpoint.save_file", fails)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(path, {"a": torch.zeros(3)}, {"n": 2})
    tensors, header = checkpoint.read(path)
    assert header == {"n": 1} and tensors["a"].tolist() == [1, 1, 1]
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]
    assert json.dumps(header)
