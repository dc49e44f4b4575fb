"""What only a GPU can show: skipped where there is none. In float64, a CPU says what a GPU has to
compute.

Nearly: torch's CUDA kernels of hard swish and hard sigmoid divide by 3 and by 6 with constants in
single precision.
"""

import pytest
import torch
from processes_for_tests import torchrun

from labkit.data import datasets as data
from labkit.space.presets import get_space
from labkit.storage import tensor_file as checkpoint
from labkit.supernet import weights_file as pretrained
from labkit.supernet.evaluation import Evaluator
from labkit.supernet.folder import load
from labkit.supernet.supernet import Supernet
from labkit.train import RECIPES, TrainConfig, train
from labkit.train.config import arch_text
from labkit.train.cuda_graphs import replayed
from labkit.train.step import training_step
from labkit.train.train_state import TrainState

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
SMALL = {"batch": 16, "seed": 3}
AS_A_CPU = 1e-6  # what those constants make of weights in five steps, ten times over


@pytest.fixture
def short_curves(monkeypatch):
    monkeypatch.setattr("labkit.train.loop.CURVE_IMAGES", 100)


def trained(config, out, device="cuda", **options):
    train(config, out, progress=False, device=device, **options)
    return checkpoint.read(out / "checkpoint.safetensors")


def assert_same_weights(actual, expected, within):
    assert actual[1]["step"] == expected[1]["step"] and actual[0].keys() == expected[0].keys()
    for name, tensor in expected[0].items():
        assert (actual[0][name] - tensor).abs().max() < within, name


class Killed(Exception):
    pass


def killed_after_an_epoch(config, out):
    def dies(*_):
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("labkit.train.train_state.write_curve", dies)
        with pytest.raises(Killed):
            trained(config, out)


@pytest.mark.parametrize(
    "recipe, steps", [("sandwich", 5), ("single-path", 5), ("alone", 5), ("progressive", 14)]
)
def test_a_gpu_ends_with_the_weights_of_a_cpu(tmp_path, monkeypatch, short_curves, recipe, steps):
    arch = arch_text(get_space("fmnist").smallest()) if recipe == "alone" else None
    config = TrainConfig(
        recipe=recipe,
        epochs=1,
        steps_per_epoch=steps,
        precision="float64",
        erase=0.5,
        arch=arch,
        **SMALL,
    )
    recorded = []
    monkeypatch.setattr(
        "labkit.train.loop.replayed",
        lambda *arguments: recorded.append(arguments) or replayed(*arguments),
    )
    gpu = trained(config, tmp_path / "gpu")
    assert len(recorded) == (recipe == "alone")
    cpu = trained(config, tmp_path / "cpu", "cpu")
    assert_same_weights(gpu, cpu, AS_A_CPU)
    untrained = TrainState(config).supernet.named_parameters()
    assert (
        max((cpu[0][f"weights.{name}"] - p).abs().max() for name, p in untrained) > 1000 * AS_A_CPU
    )
    assert gpu[1]["gpu_seconds"] > 0 == gpu[1]["cpu_seconds"]
    network, record = pretrained.load(tmp_path / "gpu" / "supernet.safetensors")
    assert record["gpu_hours"] >= 0 and record["machine"]["gpu"] and "cpu_hours" not in record
    assert next(network.parameters()).device.type == "cpu"


def test_processes_that_talk_through_nccl_end_with_the_weights_of_one_that_does_not(tmp_path):
    ranks = min(
        2, torch.cuda.device_count()
    )  # nccl gives every process a GPU of its own; one alone talks to itself
    options = {"epochs": 1, "steps_per_epoch": 5, "precision": "float64", "erase": 0.5, **SMALL}
    options["sampling"] = "log-macs"
    process = torchrun("cuda", tmp_path / "nccl", options, ranks=ranks, NCCL_DEBUG="INFO")
    assert process.returncode == 0, process.stderr[-3000:]
    assert "NCCL INFO" in process.stdout + process.stderr  # the collectives did go through it
    assert_same_weights(
        checkpoint.read(tmp_path / "nccl" / "checkpoint.safetensors"),
        trained(TrainConfig(**options), tmp_path / "alone"),
        1e-9,
    )


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns_what_single_precision_learns(tmp_path, short_curves, precision):
    options = {"epochs": 3, "steps_per_epoch": 20, "batch": 32, "learning_rate": 0.1}
    half = trained(TrainConfig(precision=precision, **options), tmp_path / "half")
    single = trained(TrainConfig(**options), tmp_path / "single")
    assert all(tensor.dtype == torch.float32 for tensor in half[0].values())
    actual, expected = ([row["loss"] for row in run[1]["curve"]] for run in (half, single))
    assert actual[-1] < actual[0] - 0.3 and actual == pytest.approx(expected, abs=0.15)
    moved = max((half[0][name] - tensor).abs().max() for name, tensor in single[0].items())
    assert moved > 1e-5  # it did compute in another precision


def test_float16_scales_its_losses_and_a_resumed_run_knows_how_far(tmp_path, short_curves):
    config = TrainConfig(epochs=2, steps_per_epoch=10, precision="float16", **SMALL)
    uninterrupted = trained(config, tmp_path / "whole")
    assert (
        uninterrupted[1]["scaler"]["scale"] > 1
        and uninterrupted[1]["scaler"]["_growth_tracker"] > 0
    )
    killed_after_an_epoch(config, tmp_path / "parts")
    assert checkpoint.read(tmp_path / "parts" / "checkpoint.safetensors")[1]["step"] == 10
    parts = trained(config, tmp_path / "parts", resume=True)
    assert parts[1]["scaler"] == uninterrupted[1]["scaler"] and parts[1]["step"] == 20


@pytest.mark.parametrize("recipe", ["progressive", "alone"])
def test_a_resumed_run_on_a_gpu_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path, short_curves, recipe
):
    arch = arch_text(get_space("fmnist").smallest()) if recipe == "alone" else None
    config = TrainConfig(
        recipe=recipe, epochs=2, steps_per_epoch=7, precision="float64", arch=arch, **SMALL
    )
    uninterrupted = trained(config, tmp_path / "whole")
    killed_after_an_epoch(config, tmp_path / "parts")
    assert_same_weights(trained(config, tmp_path / "parts", resume=True), uninterrupted, 1e-9)


def test_a_gpu_judges_subnets_as_a_cpu_does():
    dataset = data.load("fashion-mnist")
    supernet = load("fmnist").supernet
    space = supernet.space
    archs = [space.smallest(), space.largest(), space.largest()]
    cpu = Evaluator(supernet, dataset, "val", images=1000).accuracies(archs)
    judge = Evaluator(supernet.to("cuda"), dataset, "val", images=1000)
    gpu = judge.accuracies(archs)
    assert gpu == [judge.accuracy(arch) for arch in archs]
    assert all(
        abs(a - b) <= 0.2 for a, b in zip(gpu, cpu)
    )  # two images, whose best classes nearly tie


def test_a_steps_peak_memory_on_the_gpu_does_not_grow_with_the_number_of_archs():
    supernet = Supernet(get_space("fmnist")).to("cuda")
    space = supernet.space
    images = torch.randn(256, space.in_channels, 28, 28, device="cuda")
    labels = torch.randint(0, space.num_classes, (256,), device="cuda")

    def peak(archs):
        supernet.zero_grad()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        training_step(supernet, RECIPES["sandwich"], archs, images, labels, 0.1)
        return torch.cuda.max_memory_allocated() - before

    peak([space.smallest()])
    alone, eight = peak([space.largest()]), peak([space.largest()] * 8)
    assert alone > 10e6 and eight <= 1.15 * alone
