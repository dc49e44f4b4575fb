import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from spaces_for_tests import ONE_WIDTH, WIDE, small_spaces

from labkit.space import mid_channels, se_channels
from labkit.space.presets import spaces
from labkit.supernet.subnet import Subnet
from labkit.tables.costs import (
    AdditiveTable,
    MaxTable,
    activation_table,
    block_table_mask,
    macs_table,
    params_table,
)

SPACES = {**spaces, "wide": WIDE}


def random_genes(space, n, seed=0):
    ends = space.encode([space.smallest(), space.largest()])
    return np.concatenate([ends, space.sample(np.random.default_rng(seed), n - 2)])


@pytest.mark.parametrize(
    "name, archs",
    [
        ("fmnist", 10),
        ("wide", 20),
        ("ofa-mbv3", 4),
        pytest.param("fmnist", 50, marks=pytest.mark.slow),
        pytest.param("ofa-mbv3-w1.2", 10, marks=pytest.mark.slow),
        pytest.param("ofa-mbv3", 50, marks=pytest.mark.slow),
    ],
)
def test_macs_and_parameters_equal_fvcore_and_torch(name, archs):
    fvcore = pytest.importorskip("fvcore.nn", reason="fvcore is in the extra `dev`")
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    space = SPACES[name]
    genes = random_genes(space, archs)
    for arch, macs, params in zip(
        space.decode(genes), macs_table(space)(genes), params_table(space)(genes)
    ):
        subnet = Subnet(space, arch).eval()
        image = torch.zeros(1, space.in_channels, arch.resolution, arch.resolution)
        counted = (
            fvcore.FlopCountAnalysis(subnet, image).unsupported_ops_warnings(False).by_operator()
        )
        assert macs == counted["conv"] + counted["linear"]
        assert params == sum(p.numel() for p in subnet.parameters())


def peak_by_simulation(space, arch):
    """Walk the extracted network operator by operator and add up the tensors that are alive."""
    subnet = Subnet(space, arch).eval()
    peak = 0

    def alive(*counts):
        nonlocal peak
        peak = max(peak, sum(counts))

    def conv(layer, x, kept=0):
        y = layer(x)
        alive(kept, x[0].numel(), y[0].numel())
        return y

    def block(layer, x):
        kept = x[0].numel() if layer.has_shortcut else 0
        y = x
        if hasattr(layer, "expand"):
            y = conv(layer.expand, y)  # its input is what the shortcut keeps
        # Without an expansion the depthwise convolution reads the kept tensor itself.
        y = conv(layer.depthwise, y, kept if y is not x else 0)
        if hasattr(layer, "se"):
            alive(kept, y[0].numel(), y.shape[1], layer.se.fc1.out_channels)
            y = layer.se(y)
        y = conv(layer.project, y, kept)
        return x + y if layer.has_shortcut else y

    with torch.no_grad():
        x = conv(subnet.stem, torch.zeros(1, space.in_channels, arch.resolution, arch.resolution))
        if hasattr(subnet, "first"):
            x = block(subnet.first, x)
        for layer in subnet.blocks:
            x = block(layer, x)
        if hasattr(subnet, "final"):
            x = conv(subnet.final, x)
        x = conv(subnet.pool, x)
        if hasattr(subnet, "feature"):
            x = conv(subnet.feature, x)
        conv(subnet.classifier, x.flatten(1))
    return peak


@pytest.mark.parametrize("name, archs", [("fmnist", 30), ("wide", 20), ("ofa-mbv3", 4)])
def test_activation_memory_equals_a_walk_through_the_network(name, archs):
    space = SPACES[name]
    genes = random_genes(space, archs)
    for arch, peak in zip(space.decode(genes), activation_table(space, bytes_per_value=4)(genes)):
        assert peak == 4 * peak_by_simulation(space, arch)


def test_one_block_by_hand():
    space = ONE_WIDTH
    arch = space.smallest()  # 20 px, which the stem keeps
    macs = 9 * 8 * 400
    side, width = 20, 8
    for blocks, (out_width, stride, se) in zip(
        arch.stages, ((16, 2, False), (32, 2, True), (64, 2, True))
    ):
        for i, (kernel, expand) in enumerate(blocks):
            middle = mid_channels(width, expand)
            out = -(-side // (stride if i == 0 else 1))
            macs += (
                width * middle * side**2 + middle * kernel**2 * out**2 + middle * out_width * out**2
            )
            macs += 2 * middle * se_channels(middle) if se else 0
            side, width = out, out_width
    macs += 64 * 192 * side**2 + 192 * 10
    assert macs_table(space)(space.encode([arch]))[0] == macs


@given(small_spaces)
@settings(max_examples=25, deadline=None)
def test_tables_add_and_maximize_over_the_blocks_that_are_there(space):
    rng = np.random.default_rng(0)
    shape = SimpleNamespace(
        base=rng.random(len(space.global_choices)), blocks=rng.random(block_table_mask(space).shape)
    )
    archs = list(space.enumerate())[::7]
    genes = space.encode(archs)
    entries = []
    for row in genes:
        own = []
        for b, (block, column) in enumerate(zip(space.blocks, space.kernel_columns)):
            depth = space.stages[block.stage].depths[row[space.depth_columns[block.stage]]]
            if block.index < depth:
                own.append(shape.blocks[row[0], b, row[column], row[column + 1]])
        entries.append((shape.base[row[0]], own))
    sums = AdditiveTable(space, shape.base, shape.blocks)
    np.testing.assert_allclose(sums(genes), [base + sum(own) for base, own in entries])
    np.testing.assert_allclose(
        MaxTable(space, shape.base, shape.blocks)(genes), [max(base, *own) for base, own in entries]
    )
    calibrated = sums.scaled(2.0, intercept=0.5, per_block=0.25)
    np.testing.assert_allclose(
        calibrated(genes), [0.5 + 2 * (base + sum(own)) + 0.25 * len(own) for base, own in entries]
    )


def test_incomplete_tables_are_refused():
    space = ONE_WIDTH
    table = macs_table(space)
    broken = table.blocks.copy()
    broken[1, 3, 2, 0] = np.nan
    with pytest.raises(ValueError, match="missing or not finite"):
        AdditiveTable(space, table.base, broken)
    with pytest.raises(ValueError, match="base \\(3,\\)"):
        AdditiveTable(space, table.base[:2], table.blocks)
