from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spaces_for_tests import WIDE, make_it_bite, small_spaces

from labkit.space.presets import FMNIST
from labkit.supernet.evaluation import recalibrate
from labkit.supernet.prefix_tree import TreeWalk, path_of, sample_families, tree_of, work
from labkit.supernet.supernet import Supernet
from labkit.tables.costs import macs_table


def stretches(tree):
    yield tree
    for branch in tree.branches:
        yield from stretches(branch)


@given(small_spaces, st.integers(0, 99), st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_each_prefix_is_in_the_tree_once_and_each_arch_ends_once(space, seed, n):
    paths = [path_of(arch) for arch in space.decode(space.sample(np.random.default_rng(seed), n))]
    tree = tree_of(paths)
    prefixes = {path[:length] for path in paths for length in range(1, len(path) + 1)}
    assert sum(len(stretch.blocks) for stretch in stretches(tree)) == len(prefixes)
    assert sorted(i for stretch in stretches(tree) for i in stretch.ends) == list(range(n))

    def follow(stretch, before):
        path = before + stretch.blocks
        assert all(paths[i] == path for i in stretch.ends)
        assert len(stretch.branches) != 1 or stretch.ends  # no fork without a choice
        for branch in stretch.branches:
            follow(branch, path)

    follow(tree, ())


def test_statistics_and_logits_are_those_of_one_arch_at_a_time():
    supernet, generator = make_it_bite(Supernet(FMNIST)), torch.Generator().manual_seed(0)
    rng = np.random.default_rng(0)
    genes = FMNIST.sample(rng, 1).repeat(6, 0)
    genes[1:] = FMNIST.mutate(rng, genes[1:], rate=0.2, resolution_rate=0.0)
    archs = FMNIST.decode(genes)
    side = archs[0].resolution
    calibration, images = (torch.randn(n, 1, side, side, generator=generator) for n in (30, 25))
    blocks = sum(len(path_of(arch)) for arch in archs)
    with torch.inference_mode():
        tree, walk, found = (
            tree_of([path_of(arch) for arch in archs]),
            TreeWalk(supernet, 10, archs[0].width),
            {},
        )
        calls = []
        hooks = [
            block.register_forward_hook(lambda *_: calls.append(1))
            for block in supernet.blocks.values()
        ]
        walk.calibrate(tree, calibration)
        for hook in hooks:
            hook.remove()
        assert (
            len(calls) == 3 * sum(len(stretch.blocks) for stretch in stretches(tree)) < 3 * blocks
        )
        for chunk in images.split(15):  # the second chunk is a smaller one
            for i, logits in walk.logits(tree, chunk):
                found.setdefault(i, []).append(logits)
        for i, arch in enumerate(archs):
            stats = recalibrate(supernet, arch, calibration.split(10))
            alone = torch.cat(
                [supernet(batch, arch, stats) for batch in (*images[:15].split(10), images[15:])]
            )
            torch.testing.assert_close(torch.cat(found[i]), alone, rtol=1e-4, atol=1e-4)


def test_families_share_all_but_the_last_stage():
    genes = sample_families(FMNIST, np.random.default_rng(0), 22, 5)
    FMNIST.check_genes(genes)
    last = FMNIST.depth_columns[-1]
    assert len(genes) == 22 and len(np.unique(genes[:, :last], axis=0)) == 5
    assert len(np.unique(genes, axis=0)) > 20
    assert (genes[0, :last] == genes[4, :last]).all() and (genes[4, :last] != genes[5, :last]).any()
    many = sample_families(FMNIST, np.random.default_rng(1), 6000, 2)
    plain = FMNIST.sample(np.random.default_rng(2), 6000)
    error = plain.std(0) * np.sqrt(1 / 3000 + 1 / 6000)  # genes of a family are not independent
    assert (np.abs(many.mean(0) - plain.mean(0)) < 4 * error).all(), "each gene's own distribution"


def test_work_by_counting():
    """Two archs that part in their last block: by hand, from the cost of each arch."""
    archs = FMNIST.decode(FMNIST.sample(np.random.default_rng(3), 1)) * 2
    blocks = archs[1].stages[-1]
    other = blocks[-1]._replace(kernel=3 if blocks[-1].kernel != 3 else 5)
    archs[1] = replace(archs[1], stages=(*archs[1].stages[:-1], (*blocks[:-1], other)))
    genes = FMNIST.encode(archs)
    macs = macs_table(FMNIST)
    apart, shared = work(FMNIST, genes)
    assert apart == macs(genes).sum()
    short = [replace(arch, stages=(*arch.stages[:-1], arch.stages[-1][:-1])) for arch in archs]
    table, r = macs, genes[0, 0]
    last = len(blocks) - 1
    column = [
        b for b, shape in enumerate(FMNIST.blocks) if (shape.stage, shape.index) == (2, last)
    ][0]
    stage = FMNIST.stages[2]
    costs = [
        table.blocks[r, column, stage.kernels.index(b.kernel), stage.expands.index(b.expand)]
        for b in (blocks[-1], other)
    ]
    trunk = apart / 2 - np.mean(costs) - table.base[r]
    assert shared == pytest.approx(trunk + sum(costs) + 2 * table.base[r])
    assert work(FMNIST, np.concatenate([genes, genes]))[1] == pytest.approx(
        shared + 2 * table.base[r]
    )
    assert short[0] == short[1]


def test_work_is_not_shared_between_widths():
    genes = WIDE.sample(np.random.default_rng(0), 1).repeat(3, 0)
    genes[:, 0] = [0, 1, 2]
    apart, shared = work(WIDE, genes)
    assert apart == shared == macs_table(WIDE)(genes).sum()
