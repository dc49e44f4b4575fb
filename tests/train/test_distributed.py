from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from processes_for_tests import torchrun
from spaces_for_tests import WIDE

from labkit.adopt.space_template import write_space
from labkit.runtime.distributed import World
from labkit.storage import tensor_file as checkpoint
from labkit.supernet.batch_norm import DistributedStatistics
from labkit.train import TrainConfig, train

CPU = torch.device("cpu")


@pytest.fixture
def group():
    """A group of one process: the whole path, without others."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize(
    "dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 1e-4), (torch.bfloat16, 0.03)]
)
def test_joint_batch_norm_is_torchs_where_the_joint_batch_is_the_only_one(group, dtype, tolerance):
    torch.manual_seed(0)
    x = (3 * torch.randn(4, 6, 5, 5) + 1).to(dtype).to(memory_format=torch.channels_last)
    x.requires_grad_()
    wide = torch.promote_types(dtype, torch.float32)
    weight, bias = (torch.randn(6, dtype=wide, requires_grad=True) for _ in range(2))
    joint = DistributedStatistics().normalize("here", x, weight, bias, 1e-3)
    expected = F.batch_norm(x, None, None, weight, bias, training=True, eps=1e-3)
    pull = torch.randn_like(joint)
    for a, b in zip(
        (joint, *torch.autograd.grad(joint, (x, weight, bias), pull)),
        (expected, *torch.autograd.grad(expected, (x, weight, bias), pull)),
    ):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_ranks_split_a_batch_without_overlap():
    samples = torch.arange(12)
    parts = [World(rank, 3, CPU).part(samples).tolist() for rank in range(3)]
    assert [len(part) for part in parts] == [4, 4, 4] and sum(parts, []) == list(range(12))


def test_two_processes_end_with_the_weights_of_one_with_the_joint_batch(tmp_path):
    space = tmp_path / "wide.toml"
    write_space(space, replace(WIDE, num_classes=10))
    options = {"epochs": 1, "steps_per_epoch": 5, "batch": 8, "erase": 0.5, "seed": 3}
    options.update(precision="float64", sampling="log-macs", space=str(space))
    process = torchrun("cpu", tmp_path / "two", options, ranks=2)
    assert process.returncode == 0, process.stderr[-3000:]
    config = TrainConfig(**options)
    train(config, tmp_path / "one", progress=False, device="cpu")
    two, one = (
        checkpoint.read(tmp_path / name / "checkpoint.safetensors") for name in ("two", "one")
    )
    assert two[1]["step"] == one[1]["step"] == 5 and two[0].keys() == one[0].keys()
    for name, tensor in one[0].items():
        assert tensor.dtype == torch.float64
        assert (two[0][name] - tensor).abs().max() < 1e-9, name
    moved = max(
        (one[0][f"weights.{n}"] - p).abs().max() for n, p in start(config).named_parameters()
    )
    assert moved > 1e-3  # five steps away from where both began


def start(config):
    from labkit.train.train_state import TrainState

    return TrainState(config).supernet


def test_a_batch_that_does_not_divide_is_refused(tmp_path, monkeypatch):
    from contextlib import contextmanager

    @contextmanager
    def three(device):
        yield World(0, 3, CPU)

    monkeypatch.setattr("labkit.train.loop.world", three)
    with pytest.raises(
        ValueError, match="batch 128 does not divide into 3 processes.*a multiple of 3"
    ):
        train(TrainConfig(), tmp_path, progress=False)
    assert not list(tmp_path.iterdir())


def test_a_gpu_that_is_not_there_is_named(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match="torch sees no GPU"):
        train(TrainConfig(), tmp_path, device="cuda")
