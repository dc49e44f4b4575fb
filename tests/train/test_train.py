import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from spaces_for_tests import WIDE, make_it_bite

from labkit.data import datasets as data
from labkit.data.augmentation import batch_of, plan_epoch
from labkit.data.datasets import Split
from labkit.runtime.distributed import World
from labkit.space import Arch
from labkit.space.binding import space_fields
from labkit.space.presets import FMNIST, get_space, spaces
from labkit.storage import tensor_file as checkpoint
from labkit.supernet import weights_file as pretrained
from labkit.supernet.subnet import Subnet
from labkit.supernet.supernet import Supernet
from labkit.train import RECIPES, Recipe, TrainConfig, loop, train
from labkit.train.config import arch_text, learning_rate, quick_precision
from labkit.train.cuda_graphs import can_replay
from labkit.train.loop import record_of
from labkit.train.step import training_step
from labkit.train.train_state import TrainState

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
        resumed, expected = weights(tmp_path / "cut" / file), weights(tmp_path / "whole" / file)
        assert resumed.keys() == expected.keys()
        for name in resumed:
            assert torch.equal(resumed[name], expected[name]), name
    rows = list(csv.DictReader(open(tmp_path / "cut" / "curve.csv")))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    supernet, record = pretrained.load(tmp_path / "whole" / "supernet.safetensors")
    assert (
        record["config"]["steps_per_epoch"] == 3
        and record["cpu_hours"] >= 0
        and len(record["curve"]) == 2
    )


def test_what_a_run_refuses(tmp_path):
    train(replace(TINY, epochs=1, steps_per_epoch=1), tmp_path, progress=False)
    with pytest.raises(FileExistsError, match="--resume"):
        train(TINY, tmp_path, progress=False)
    with pytest.raises(checkpoint.CheckpointError, match="epochs=1, this run has 2"):
        train(replace(TINY, steps_per_epoch=1), tmp_path, resume=True, progress=False)
    with pytest.raises(ValueError, match="batch 60000 is larger than the 50000 images of an epoch"):
        train(replace(TINY, batch=60_000), tmp_path / "other", progress=False)
    for broken, message in (
        (dict(recipe="naive"), "unknown recipe 'naive', known: sandwich"),
        (dict(learning_rate=float("nan")), "learning_rate must be positive, got nan"),
        (dict(epochs=0), "epochs must be positive, got 0"),
        (dict(space="cifar"), "unknown space 'cifar'"),
    ):
        with pytest.raises(ValueError, match=message):
            TrainConfig(**broken)


def test_an_unwritable_folder_is_an_error_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "training_step", lambda *_, **__: pytest.fail("a step was taken"))
    blocked = tmp_path / "file"
    blocked.write_text("a file where a folder should be")
    with pytest.raises(OSError, match=str(blocked)):
        train(TINY, blocked / "run", progress=False)


@pytest.mark.parametrize("share", [0.0, 0.4])
@pytest.mark.parametrize("space", [FMNIST, WIDE], ids=lambda space: space.name)
def test_sandwich_step_is_label_loss_of_the_largest_and_distillation_of_the_rest(space, share):
    recipe = replace(RECIPES["sandwich"], label_share=share)
    supernet, side, classes = (
        make_it_bite(Supernet(space)),
        space.resolutions[-1],
        space.num_classes,
    )
    images, labels = torch.randn(4, 1, side, side), torch.tensor([0, 1, 2, 3])
    archs = RECIPES["sandwich"].archs(space, np.random.default_rng(0))
    assert archs[:2] == [space.largest(), space.smallest()] and len(archs) == 3
    training_step(supernet, recipe, archs, images, labels, 0.1)
    got = {name: p.grad.clone() for name, p in supernet.named_parameters() if p.grad is not None}
    supernet.zero_grad()

    # The same by definition: one sum of losses, cross entropy written out.
    teacher = supernet(images, archs[0])
    smooth = torch.full((4, classes), 0.1 / classes)
    smooth[range(4), labels] += 0.9
    total = -(smooth * F.log_softmax(teacher, 1)).sum(1).mean()
    target = F.softmax(teacher, 1).detach()
    for arch in archs[1:]:
        logits = supernet(data.resize(images, arch.resolution), arch)
        log_shares = F.log_softmax(logits, 1)
        total = total - (1 - share) * (target * log_shares).sum(1).mean()
        total = total - share * log_shares[range(4), labels].mean()
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
    assert all(torch.equal(x, y) for x, y in zip(a[:3], b)) and not torch.equal(
        a.order, other.order
    )
    assert sorted(a.order.tolist()) == list(range(100))


@pytest.mark.parametrize("padding", [0, 2, 4])
def test_batches_are_shifted_and_flipped_copies_with_their_own_label(padding):
    images = torch.arange(1, 5 * 28 * 28 + 1).view(5, 1, 28, 28) % 250 + 1
    split = Split(images.to(torch.uint8), torch.arange(5))
    epoch = plan_epoch(5, 0, 0, padding=padding)
    indices = torch.tensor([3, 1, 4])
    batch, labels = batch_of(split, epoch, indices, padding=padding)
    assert labels.tolist() == [3, 1, 4] and batch.shape == (3, 1, 28, 28)
    for image, i in zip(batch, indices):
        original = F.pad(split.images[i], (padding,) * 4)
        row, column = epoch.shift[i].tolist()
        crop = original[:, row : row + 28, column : column + 28]
        assert torch.equal(image, crop.flip(-1) if epoch.flip[i] else crop)


def test_learning_rate_warms_up_and_ends_at_zero():
    config = TrainConfig(epochs=10, learning_rate=0.2, warmup_epochs=1)
    rates = [learning_rate(config, step, 50) for step in range(500)]
    assert rates[0] < rates[25] < rates[49] and abs(max(rates) - 0.2) < 1e-6
    assert all(a >= b for a, b in zip(rates[50:], rates[51:])) and rates[-1] < 1e-4


def test_checkpoints_are_validated(tmp_path):
    path = tmp_path / "w.safetensors"
    pretrained.save(path, Supernet(FMNIST), {"config": {}})
    intact = path.read_bytes()
    for content in (
        intact[: len(intact) // 2],
        b"",
        b"{}",
        b"\x80\x04N.",
    ):  # cut short, empty, text, a pickle
        path.write_bytes(content)
        with pytest.raises(checkpoint.CheckpointError, match="w.safetensors is not a whole"):
            pretrained.load(path)
    with pytest.raises(checkpoint.CheckpointError, match="does not exist.*labkit train"):
        pretrained.load(tmp_path / "absent.safetensors")
    tensors = dict(Supernet(FMNIST).named_parameters())
    header = {"schema": pretrained.SCHEMA, **space_fields(FMNIST)}
    for change, message in (
        (lambda t: t.pop("classifier.bias"), "'classifier.bias' is missing"),
        (lambda t: t.update(extra=torch.zeros(1)), "'extra' is not part"),
        (lambda t: t.update({"classifier.bias": torch.zeros(11)}), r"shape \(11,\).*wants \(10,\)"),
    ):
        broken = dict(tensors)
        change(broken)
        checkpoint.save(path, broken, header)
        with pytest.raises(checkpoint.CheckpointError, match=message):
            pretrained.load(path)
    checkpoint.save(path, tensors, {**header, "space": "moon"})
    with pytest.raises(checkpoint.CheckpointError, match="was made for space 'moon'"):
        pretrained.load(path)
    del header["space_definition"]
    checkpoint.save(path, tensors, {**header, "space": "moon"})
    with pytest.raises(checkpoint.CheckpointError, match="unknown space 'moon'"):
        pretrained.load(path)
    checkpoint.save(path, tensors, {**header, "schema": "labkit-supernet-9"})
    with pytest.raises(checkpoint.CheckpointError, match="labkit-supernet-9"):
        pretrained.load(path)
    for foreign, message in (
        (None, "was not written by labkit"),
        ({"header": "[]"}, "its header is not an object"),
        ({"header": "{"}, "is not a whole labkit safetensors file"),
    ):
        save_file(tensors, path, metadata=foreign)
        with pytest.raises(checkpoint.CheckpointError, match=message):
            pretrained.load(path)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    checkpoint.save(path, {"a": torch.ones(3)}, {"n": 1})

    def fails(file, content):
        file.write_text("half of it")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(Path, "write_bytes", fails)
        checkpoint.save(path, {"a": torch.zeros(3)}, {"n": 2})
    tensors, header = checkpoint.read(path)
    assert header == {"n": 1} and tensors["a"].tolist() == [1, 1, 1]
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]
    assert json.dumps(header)


def test_erased_rectangles_belong_to_samples_and_are_as_large_as_they_say():
    plain, erasing = plan_epoch(4000, 5, 1), plan_epoch(4000, 5, 1, erase=0.4)
    assert all(torch.equal(a, b) for a, b in zip(plain[:3], erasing[:3])) and plain.boxes is None
    top, left, height, width = erasing.boxes.T
    erased = height > 0
    assert 0.37 < erased.float().mean() < 0.43
    area = (height * width)[erased]
    assert (
        0.019 < area.min() and area.max() < 0.331 and 0.14 < area.mean() < 0.19
    )  # uniform from 0.02 to 0.33
    assert ((top + height <= 1.0001) & (left + width <= 1.0001) & (top >= 0) & (left >= 0)).all()

    split = Split(
        torch.full((4000, 2, 28, 28), 250, dtype=torch.uint8), torch.zeros(4000, dtype=torch.long)
    )
    indices = torch.tensor([3, 1999, 7, 5])
    before, _ = batch_of(split, plain, indices)
    after, _ = batch_of(split, erasing, indices, fill=(0.2, 0.4))
    for i, old, new in zip(indices, before, after):
        expected = old.clone()
        if erased[i]:
            row, column, high, wide = (round(28 * value) for value in erasing.boxes[i].tolist())
            expected[0, row : row + high, column : column + wide] = 51
            expected[1, row : row + high, column : column + wide] = 102
        assert torch.equal(new, expected)
    assert erased[indices].any()


def test_one_arch_alone_learns_and_its_weights_can_be_read_again(tmp_path):
    arch = FMNIST.decode(FMNIST.sample(np.random.default_rng(2), 1))[0]
    config = replace(TINY, recipe="alone", arch=arch_text(arch), epochs=1)
    trained = train(config, tmp_path, progress=False)
    again, record = pretrained.load(tmp_path / "supernet.safetensors")
    assert again.only == arch and Arch.from_json(record["config"]["arch"]) == arch
    assert record["curve"][0].keys() >= {"alone"} and "largest" not in record["curve"][0]
    x = torch.randn(2, 1, arch.resolution, arch.resolution)
    with torch.no_grad():
        torch.testing.assert_close(again(x, arch), trained(x, arch))
    assert config.resolved_recipe.archs(FMNIST, np.random.default_rng(0)) == [arch]


def test_an_outside_teacher_teaches_and_is_part_of_the_checkpoint(tmp_path, monkeypatch):
    from labkit.storage.provenance import sha256

    pretrained.save(
        tmp_path / "teacher.safetensors", make_it_bite(Supernet(FMNIST)), {"config": {}}
    )
    config = replace(
        TINY,
        recipe="alone",
        arch=arch_text(FMNIST.smallest()),
        epochs=1,
        teacher=str(tmp_path / "teacher.safetensors"),
    )
    teachers = []
    monkeypatch.setattr(
        "labkit.train.loop.training_step",
        lambda *args, **options: (
            teachers.append(options["teacher"]) or training_step(*args, **options)
        ),
    )
    train(config, tmp_path / "run", progress=False)
    teacher = pretrained.load(tmp_path / "teacher.safetensors")[0]
    assert len(teachers) == 3 and all(
        torch.equal(p, q) for p, q in zip(teachers[0].parameters(), teacher.parameters())
    )
    assert "teacher.classifier.weight" in weights(tmp_path / "run" / "checkpoint.safetensors")
    record = pretrained.load(tmp_path / "run" / "supernet.safetensors")[1]
    assert record["teacher_sha256"] == sha256(tmp_path / "teacher.safetensors")


def test_a_teacher_that_changes_or_is_lost_during_a_run(tmp_path, monkeypatch):
    path = tmp_path / "teacher.safetensors"
    config = replace(TINY, epochs=1, teacher=str(path))
    pretrained.save(path, make_it_bite(Supernet(FMNIST)), {"config": {}})
    monkeypatch.setattr(
        "labkit.train.loop.training_step",
        lambda *args, **options: path.unlink(missing_ok=True) or training_step(*args, **options),
    )
    train(config, tmp_path / "lost", progress=False)  # it was read when the run began
    assert "teacher_sha256" in pretrained.load(tmp_path / "lost" / "supernet.safetensors")[1]
    pretrained.save(path, make_it_bite(Supernet(FMNIST)), {"config": {}, "another": True})
    with pytest.raises(
        checkpoint.CheckpointError, match="teacher.safetensors is not the teacher that .* was made"
    ):
        train(config, tmp_path / "lost", resume=True, progress=False)


def test_a_run_can_begin_with_trained_weights(tmp_path, monkeypatch):
    first, path = make_it_bite(Supernet(FMNIST)), tmp_path / "first.safetensors"
    pretrained.save(path, first, {"config": {}, "curve": [1], "cpu_hours": 2.0, "wall_hours": 3.0})
    config = replace(TINY, epochs=1, initial=str(path), random_archs=3)
    archs, begun = [], []

    def watched(network, recipe, step_archs, *args, **options):
        archs.append(step_archs)
        begun.append({name: p.detach().clone() for name, p in network.named_parameters()})
        path.unlink(missing_ok=True)  # it was read when the run began
        return training_step(network, recipe, step_archs, *args, **options)

    monkeypatch.setattr("labkit.train.loop.training_step", watched)
    train(config, tmp_path / "run", progress=False, checkpoint_every=1)
    assert all(torch.equal(p, begun[0][name]) for name, p in first.named_parameters())
    assert [len(step) for step in archs] == [5, 5, 5]  # the ends, and three at random
    record = pretrained.load(tmp_path / "run" / "supernet.safetensors")[1]
    assert (
        2.0 <= record["cpu_hours"] < 2.1 and 3.0 <= record["wall_hours"] < 3.1
    )  # what both runs took
    assert (
        record["initial"].keys() >= {"sha256", "config", "cpu_hours"}
        and "curve" not in record["initial"]
    )
    train(config, tmp_path / "run", resume=True, progress=False)
    assert (
        pretrained.load(tmp_path / "run" / "supernet.safetensors")[1]["initial"]
        == record["initial"]
    )


def test_wider_archs_are_trained_around_what_narrower_ones_have_learned(tmp_path, monkeypatch):
    """Every arch that is narrower than all trained ones computes what it did, to the last bit."""
    first, path = make_it_bite(Supernet(FMNIST)), tmp_path / "first.safetensors"
    pretrained.save(path, first, {"config": {}})
    config = replace(TINY, epochs=1, initial=str(path), random_archs=3, widths="0.5,0.75")
    steps = []

    def watched(network, recipe, archs, *args, **options):
        steps.append(archs)
        return training_step(network, recipe, archs, *args, **options)

    monkeypatch.setattr("labkit.train.loop.training_step", watched)
    second = train(config, tmp_path / "run", progress=False)
    assert steps and {arch.width for archs in steps for arch in archs} <= {0.5, 0.75}
    largest, smallest = FMNIST.largest(), FMNIST.smallest()
    for archs in steps:
        assert archs[:2] == [replace(largest, width=0.75), replace(smallest, width=0.5)]
    trained = dict(pretrained.load(tmp_path / "run" / "supernet.safetensors")[0].named_parameters())
    assert all(torch.equal(p, trained[name]) for name, p in second.named_parameters())

    genes = FMNIST.sample(np.random.default_rng(0), 40)
    for arch in [largest, smallest, *FMNIST.decode(genes)]:
        images = torch.randn(4, 1, arch.resolution, arch.resolution)
        for width in FMNIST.widths:
            arch = replace(arch, width=width)
            same = torch.equal(first(images, arch), second(images, arch))
            assert same == (width == 0.25), arch


def test_narrow_archs_are_trained_without_touching_what_only_wider_ones_use(tmp_path):
    first, path = make_it_bite(Supernet(FMNIST)), tmp_path / "first.safetensors"
    pretrained.save(path, first, {"config": {}})
    config = replace(TINY, epochs=1, initial=str(path), widths="0.25", weight_decay=0.0)
    second = dict(train(config, tmp_path / "run", progress=False).named_parameters())
    narrow = dict(Subnet(FMNIST, replace(FMNIST.largest(), width=0.25)).named_parameters())
    for name, weight in first.named_parameters():
        changed = weight != second[name]
        if "transforms" not in name:
            changed[tuple(slice(size) for size in narrow[name].shape)] = False
            assert not changed.any(), name
    assert not torch.equal(second["classifier.weight"], first.classifier.weight)


def test_fine_tuning_begins_with_what_the_supernet_holds_of_the_arch(tmp_path, monkeypatch):
    """Before its first step the network computes what the supernet computes for the arch; by name,
    folder and file alike."""
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    monkeypatch.setitem(spaces, WIDE.name, WIDE)
    folder = tmp_path / "supernets" / "wide"
    supernet = make_it_bite(Supernet(WIDE))
    path = folder / "supernet.safetensors"
    pretrained.save(path, supernet, {"config": {}, "cpu_hours": 5.0})
    for arch in WIDE.decode(WIDE.sample(np.random.default_rng(0), 4)):
        images = torch.randn(5, WIDE.in_channels, arch.resolution, arch.resolution)
        expected = supernet(images, arch)
        for initial in ("wide", str(folder), str(path)):
            state = TrainState(
                TrainConfig(space="wide", recipe="alone", arch=arch_text(arch), initial=initial)
            )
            assert not torch.allclose(state.supernet(images, arch), expected, atol=1e-2)
            state.start()
            for network in (state.supernet, state.average):
                assert torch.allclose(network(images, arch), expected, atol=1e-4)
            # Of its own hours none has passed; those of the supernet are in its record.
            assert state.seconds["cpu"] == 0 and state.initial["cpu_hours"] == 5.0


def test_another_subnet_is_no_beginning_but_the_same_one_is(tmp_path):
    path, (one, other) = tmp_path / "one.safetensors", (FMNIST.smallest(), FMNIST.largest())
    pretrained.save(path, make_it_bite(Supernet(FMNIST, one)), {"cpu_hours": 5.0})
    config = replace(TINY, recipe="alone", arch=arch_text(one), initial=str(path))
    state = TrainState(config)
    state.start()
    assert state.seconds["cpu"] == 5 * 3600  # the same network goes on
    with pytest.raises(checkpoint.CheckpointError, match="holds one subnet .* 12px .* trains one"):
        TrainState(replace(config, arch=arch_text(other))).start()
    pretrained.save(path, Supernet(get_space("cifar10")), {})
    with pytest.raises(
        checkpoint.CheckpointError, match="'cifar10' .*, this run trains one subnet"
    ):
        TrainState(config).start()
    with pytest.raises(ValueError, match="unknown supernet 'nothing'"):
        TrainState(replace(config, initial="nothing")).start()


@pytest.mark.parametrize(
    "network, message",
    [
        (
            lambda: Supernet(get_space("cifar10")),
            "a supernet of space 'cifar10' .*, this run trains a supernet of",
        ),
        (
            lambda: Supernet(FMNIST, FMNIST.smallest()),
            "holds one subnet of space 'fmnist' .*, 12px x0.25 k3e2.*trains a supernet",
        ),
    ],
)
def test_weights_of_something_else_are_no_beginning(tmp_path, network, message):
    pretrained.save(tmp_path / "first.safetensors", network(), {})
    with pytest.raises(checkpoint.CheckpointError, match=message):
        train(
            replace(TINY, initial=str(tmp_path / "first.safetensors")),
            tmp_path / "run",
            progress=False,
        )
    assert not (tmp_path / "run").exists()


def test_weights_that_are_no_numbers_are_not_kept(tmp_path, monkeypatch):
    """The loss that is watched is the first arch's: another one's must not get into a checkpoint
    either.
    """
    steps = []

    def diverges(supernet, *args, **options):
        loss = training_step(supernet, *args, **options)
        steps.append(loss)
        if len(steps) == 6:
            supernet.classifier.bias.grad.fill_(float("nan"))
        return loss

    monkeypatch.setattr("labkit.train.loop.training_step", diverges)
    with pytest.raises(
        FloatingPointError,
        match="weights are no longer numbers after step 6; lower the learning rate",
    ):
        train(TINY, tmp_path, progress=False, checkpoint_every=10)
    tensors, header = checkpoint.read(tmp_path / "checkpoint.safetensors")
    assert header["step"] == 3 and all(tensor.isfinite().all() for tensor in tensors.values())
    assert not (tmp_path / "supernet.safetensors").exists()


def test_weights_with_a_value_that_is_no_number_are_refused(tmp_path):
    path = tmp_path / "supernet.safetensors"
    pretrained.save(path, Supernet(FMNIST), {"config": {}})
    tensors, header = checkpoint.read(path)
    for bad in (torch.full((10,), float("nan")), torch.zeros(10, dtype=torch.int32)):
        checkpoint.save(path, {**tensors, "classifier.bias": bad}, header)
        with pytest.raises(
            checkpoint.CheckpointError, match="tensor 'classifier.bias' .* no finite numbers"
        ):
            pretrained.load(path)


@pytest.mark.parametrize(
    "network, message",
    [
        (
            lambda: Supernet(get_space("ofa-mbv3")),
            "has 3 image channels and 1000 classes, 'fmnist' has 1 and 10",
        ),
        (lambda: Supernet(FMNIST, FMNIST.smallest()), "one subnet that was trained alone"),
    ],
)
def test_a_teacher_that_cannot_teach_is_refused_before_training(tmp_path, network, message):
    pretrained.save(tmp_path / "teacher.safetensors", network(), {})
    config = replace(TINY, teacher=str(tmp_path / "teacher.safetensors"))
    with pytest.raises(checkpoint.CheckpointError, match=message):
        train(config, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(seed=2**32), "seed must be from 0 to 4294967295, got 4294967296"),
        (dict(steps_per_epoch=-1), "steps_per_epoch must be positive, got -1"),
        (dict(steps_per_epoch=2.5), "steps_per_epoch must be whole, got 2.5"),
        (dict(epochs=1.5), "epochs must be whole, got 1.5"),
        (dict(label_smoothing=2), r"label_smoothing must be in \[0, 1\), got 2"),
        (dict(momentum=1.0), r"momentum must be in \[0, 1\), got 1.0"),
        (dict(weight_decay=-1), "weight_decay must be at least 0, got -1"),
        (dict(warmup_epochs=float("nan")), "warmup_epochs must be at least 0, got nan"),
        (dict(recipe="alone"), "recipe 'alone' trains one arch: say which"),
        (
            dict(arch=arch_text(FMNIST.smallest())),
            "recipe 'sandwich' trains many archs; leave out arch",
        ),
        (
            dict(recipe="alone", arch='{"resolution": 21, "stages": []}'),
            "resolution 21 is not in space 'fmnist'",
        ),
        (dict(recipe="progressive", teacher="x"), "makes its own teacher"),
        (
            dict(recipe="progressive", random_archs=2),
            "recipe 'progressive' does not draw archs by number",
        ),
        (dict(random_archs=0), "random_archs must be positive, got 0"),
        (dict(phase_schedules=True), "recipe 'sandwich' has no phases"),
        (dict(erase=1.5), "erase is a share of the images, from 0 to 1, got 1.5"),
        (dict(precision="int8"), "unknown precision 'int8', known: float32"),
        (dict(sampling="macs"), "unknown sampling 'macs', known: choices, log-macs"),
        (dict(label_share=-0.1), "label_share is a share of a loss, from 0 to 1, got -0.1"),
        (dict(crop_padding=-1), "crop_padding"),
        (dict(recipe="single-path", label_share=0.5), "leave out label_share"),
        (dict(recipe="progressive", sampling="log-macs"), "leave out sampling"),
        (dict(recipe="progressive", widths="0.5"), "leave out widths"),
        (dict(widths="0.3"), "unknown width '0.3', known in 'fmnist': 0.25, 0.5, 0.75, 1"),
    ],
)
def test_options_that_contradict_each_other(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**changes)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_keeps_weights_whole_and_comes_close(precision):
    """On a CPU: the same calls as on a GPU."""
    torch.manual_seed(0)
    images, labels = torch.randn(8, 1, 20, 20), torch.arange(8)
    arch, gradients = FMNIST.smallest(), []
    for autocast in (None, getattr(torch, precision)):
        torch.manual_seed(1)
        supernet = make_it_bite(Supernet(FMNIST))
        scaler = torch.amp.GradScaler("cpu", enabled=autocast == torch.float16, init_scale=256.0)
        training_step(
            supernet,
            RECIPES["single-path"],
            [arch],
            images,
            labels,
            0.1,
            autocast=autocast,
            scaler=scaler,
        )
        assert all(p.dtype == torch.float32 for p in supernet.parameters())
        gradients.append(supernet.classifier.weight.grad / scaler.get_scale())
    assert F.cosine_similarity(gradients[0].flatten(), gradients[1].flatten(), 0) > 0.95
    assert not torch.equal(*gradients)


@pytest.mark.parametrize(
    "gpu, computes_in_bfloat16, device, recipe, precision",
    [
        (False, False, None, "sandwich", "float32"),
        (True, True, "cpu", "sandwich", "float32"),
        (True, True, None, "sandwich", "bfloat16"),
        (True, False, "cuda", "sandwich", "float16"),
        (True, True, None, "alone", "float32"),
    ],
)
def test_the_precision_that_a_device_is_quick_in(
    monkeypatch, gpu, computes_in_bfloat16, device, recipe, precision
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation=True: computes_in_bfloat16 or including_emulation,
    )
    assert quick_precision(device, recipe) == precision


def test_only_one_arch_in_one_precision_on_one_gpu_is_replayed():
    gpu = World(0, 1, torch.device("cuda"))
    alone = TrainConfig(recipe="alone", arch=arch_text(FMNIST.smallest()))
    assert can_replay(alone, gpu) and can_replay(replace(alone, precision="float64"), gpu)
    assert not can_replay(alone, World(0, 1, torch.device("cpu")))
    for other in (
        TrainConfig(),
        replace(alone, precision="float16"),
        replace(alone, recompute=True),
    ):
        assert not can_replay(other, gpu)


def test_a_loss_that_is_no_number_is_not_hidden_by_the_next_archs():
    supernet = make_it_bite(Supernet(FMNIST))
    with torch.no_grad():
        supernet.blocks["stage2_block0"].expand.get_submodule("1").bias[-1] = float(
            "nan"
        )  # of the widest blocks only
    loss = training_step(
        supernet,
        RECIPES["sandwich-labels"],
        [FMNIST.largest(), FMNIST.smallest()],
        torch.randn(4, 1, 28, 28),
        torch.arange(4),
        0.1,
    )
    assert math.isnan(loss)


def test_hours_of_cpus_and_of_gpus_are_counted_apart():
    state = TrainState(TINY)
    state.seconds = {"cpu": 3600.0, "gpu": 0.0, "wall": 1800.0}
    on_cpu = record_of(TINY, state, World(0, 2, torch.device("cpu")))
    assert on_cpu["cpu_hours"] == 1 and "gpu_hours" not in on_cpu and "gpu" not in on_cpu["machine"]
    state.seconds["gpu"] = 7200.0
    both = record_of(TINY, state, World(0, 2, torch.device("cpu")))
    assert (both["cpu_hours"], both["gpu_hours"], both["wall_hours"]) == (1, 2, 0.5)


def test_what_a_run_left_without_its_checkpoint_is_not_written_over(tmp_path):
    (tmp_path / "supernet.safetensors").write_text("trained for days")
    for resume in (False, True):
        with pytest.raises(
            FileExistsError, match="holds supernet.safetensors of a run whose checkpoint is gone"
        ):
            train(TINY, tmp_path, resume=resume, progress=False)
    assert (tmp_path / "supernet.safetensors").read_text() == "trained for days"
    assert len(list(tmp_path.iterdir())) == 1


def test_each_phase_has_its_own_schedule():
    config = TrainConfig(recipe="progressive", phase_schedules=True, epochs=10, learning_rate=0.26)
    rates = np.array([learning_rate(config, step, 100) for step in range(1000)])
    # OFA, appendix B: 2.6 for the full network, 0.96 for elastic kernels, 0.08 and 0.24 for depth
    # and for width.
    for (begin, end), peak in zip(
        ((0, 300), (300, 400), (400, 550), (550, 650), (650, 750), (750, 850), (850, 1000)),
        (0.26, 0.096, 0.096, 0.008, 0.024, 0.008, 0.024),
    ):
        part = rates[begin:end]
        top = part.argmax()
        assert part.max() == pytest.approx(peak, rel=0.02) and top <= 0.34 * (end - begin)
        assert (np.diff(part[: top + 1]) >= 0).all() and (np.diff(part[top:]) <= 0).all()
        assert part[-1] < 0.002 * peak
    one = TrainConfig(recipe="progressive", epochs=10, learning_rate=0.26)
    assert learning_rate(one, 600, 100) == learning_rate(
        TrainConfig(epochs=10, learning_rate=0.26), 600, 100
    )


def rates_by_the_clock(monkeypatch, out, shares, **options) -> list[float]:
    """The learning rates of a run whose clock shows `shares`, one before each step; it is
    interrupted where these end before the time.
    """
    rates, update, remaining = [], TrainState.update, list(shares)

    def clock() -> float:
        if not remaining:
            raise KeyboardInterrupt
        return remaining.pop(0)

    with monkeypatch.context() as patch:
        patch.setattr(TrainState, "update", lambda *args: (rates.append(args[1]), update(*args)))
        train(TINY, out, progress=False, clock=clock, **options)
    return rates


@pytest.mark.parametrize("shares", [[0.0, 0.3, 0.6, 1.2], np.linspace(0, 1, 16).tolist()])
def test_with_a_clock_training_ends_in_time_however_fast_it_is(tmp_path, monkeypatch, shares):
    rates = rates_by_the_clock(monkeypatch, tmp_path, shares)
    assert rates == [learning_rate(TINY, 6 * share, 3) for share in shares[:-1]]
    assert max(rates) <= TINY.learning_rate and rates[-1] < max(rates)
    _, record = pretrained.load(tmp_path / "supernet.safetensors")
    assert record["config"]["epochs"] == len(rates) // 3
    assert len(record["curve"]) == len(rates) // 3
    assert checkpoint.read(tmp_path / "checkpoint.safetensors")[1]["step"] == len(rates)


def test_a_run_by_the_clock_goes_on_where_the_time_is(tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        rates_by_the_clock(monkeypatch, tmp_path, np.linspace(0, 0.5, 9), checkpoint_every=2)
    rates = rates_by_the_clock(monkeypatch, tmp_path, [0.7, 0.8, 1.0], resume=True)
    assert rates == [learning_rate(TINY, 6 * share, 3) for share in (0.7, 0.8)]
    step = checkpoint.read(tmp_path / "checkpoint.safetensors")[1]["step"]
    assert step == 8 + 2  # more than the plan's six
    assert rates_by_the_clock(monkeypatch, tmp_path / "late", [1.5]) == []


def test_phases_are_of_steps_not_of_time(tmp_path):
    config = replace(TINY, recipe="progressive")
    with pytest.raises(ValueError, match="'progressive' has phases of so many steps"):
        train(config, tmp_path, progress=False, clock=lambda: 0.0)
