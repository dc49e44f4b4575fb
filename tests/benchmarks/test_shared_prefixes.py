"""Samples of archs that share their first blocks, and how much work that saves."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spaces_for_tests import WIDE

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from shared_prefixes import sample_families, work  # noqa: E402

from labkit.space.presets import FMNIST  # noqa: E402
from labkit.tables.costs import macs_table  # noqa: E402


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
