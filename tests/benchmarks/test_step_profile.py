"""What the profile of a step counts, against the network's own operators."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from spaces_for_tests import WIDE

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import step_profile  # noqa: E402

from labkit.space.network import operators  # noqa: E402
from labkit.supernet.supernet import Supernet  # noqa: E402
from labkit.tables.costs import macs_table  # noqa: E402


@pytest.fixture
def roofline():
    """1,000 multiply-adds a second; 100 bytes a second up to 2^14 of them, then less and less."""
    machine = step_profile.Roofline.__new__(step_profile.Roofline)
    machine.macs_a_second = 1000.0
    machine.bytes_a_second = np.linspace(100, 10, len(machine.SIZES))
    return machine


def test_a_call_is_bound_by_its_arithmetic_or_by_its_bytes(roofline):
    assert roofline.bound(5000, 100) == 5.0  # the bytes take 1 second
    assert roofline.bound(500, 300) == 3.0
    assert roofline.bound(0, 2**28) == pytest.approx(2**28 / 10)
    middle = int(np.sqrt(float(roofline.SIZES[0] * roofline.SIZES[1])))  # on a logarithmic scale
    rate = (roofline.bytes_a_second[0] + roofline.bytes_a_second[1]) / 2
    assert roofline.bound(0, middle) == pytest.approx(middle / rate)


@pytest.mark.parametrize("arch", WIDE.decode(WIDE.sample(np.random.default_rng(0), 3)), ids=str)
def test_a_step_takes_three_times_the_multiply_adds_of_its_arch(roofline, arch):
    """Forward, gradient of the inputs, gradient of the weights; the images need no gradient."""
    supernet, batch = Supernet(WIDE), 4
    images = torch.randn(batch, WIDE.in_channels, arch.resolution, arch.resolution)
    counts = step_profile.Operators(roofline)
    with counts:
        supernet(images, arch).sum().backward()
    macs = macs_table(WIDE)(WIDE.encode([arch]))[0]
    stem = operators(WIDE, arch)[0].macs
    assert sum(counts.macs.values()) == batch * (3 * macs - stem) + transforms(supernet, arch)
    forward = {
        kind: sum(op.macs for op in operators(WIDE, arch) if op.kind == kind)
        for kind in ("dense", "pointwise", "depthwise")
    }
    for kind, count in forward.items():
        assert counts.macs[f"{kind} convolution"] == batch * count
    convolutions = {kind for kind in counts.macs if "convolution" in kind}
    assert convolutions == {f"{k} convolution{g}" for k in forward for g in ("", ", gradient")}
    # The map that leaves the stem is normalized once: read, written, with statistics and weights.
    assert counts.bytes["batch norm"] > 0 and counts.bound["activation"] > 0


def transforms(supernet: Supernet, arch) -> int:
    """Multiply-adds of the kernel transforms, (C, k^2) times (k^2, k^2), and of both gradients."""
    total = 0
    for s, blocks in enumerate(arch.stages):
        for i, block in enumerate(blocks):
            conv = supernet.blocks[f"stage{s}_block{i}"].depthwise.get_submodule("0")
            channels = [
                op.out_channels
                for op in operators(supernet.space, arch)
                if op.part == f"blocks.stage{s}_block{i}" and op.kind == "depthwise"
            ]
            total += sum(
                3 * channels[0] * k**4 for k in conv.kernels if k < 5 and block.kernel == k
            )
    return total


def test_the_page_sums_up_what_takes_little_time():
    kinds = ("batch norm", "activation", "loss", "copies")
    rows = [
        {"kind": kind, "ms": ms, "calls": 2, "macs": 1e9, "bytes": 5e8, "bound_ms": ms / 4}
        for kind, ms in zip(kinds, (150.0, 48.0, 1.0, 1.0))
    ]
    space = {"space": "made up", "recipe": "sandwich", "batch": 8, "step_ms": 210.0, "rows": rows}
    text = step_profile.text(
        {
            "device": "cpu",
            "precision": "float32",
            "macs_a_second": 2e10,
            "bytes_a_second": {"16384": 5e10, "268435456": 1e10},
            "spaces": [space],
        }
    )
    assert "20 GMAC/s" in text and "10 to 50 GB/s" in text and "210 ms a step" in text
    assert "| batch norm | 2 | 150.0 | 75 % | 1.00 | 0.50 | 37.5 | 4.0 |" in text
    assert "| all others | 4 | 2.0 | 1 % | 2.00 | 1.00 | 0.5 | 4.0 |" in text
    assert "| all operators | 8 | 200.0 | 100 % | 4.00 | 2.00 | 50.0 | 4.0 |" in text
