"""Many subnets at once, computing what they have in common once.

What enters a block, and that block's batch-norm statistics, depend only on the images and the
blocks before. Archs of one resolution therefore form a tree: those whose first blocks are the same
share the way from the root to where they part. Each stretch between two forks runs batch by batch,
so that activations stay in the cache; only at a fork are they kept, for the branches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from labkit.space import Arch, Block, SearchSpace, block_name
from labkit.supernet.batch_norm import BatchNormStats, Recorder
from labkit.supernet.supernet import Supernet
from labkit.tables.costs import macs_table

Path = tuple[tuple[str, Block], ...]  # an arch's blocks by name, in order


@dataclass
class Stretch:
    """Blocks that the same archs share, and the stretches that go on from there."""

    blocks: Path
    ends: list[int]  # archs that end here
    branches: list[Stretch]
    stats: BatchNormStats = field(
        default_factory=BatchNormStats
    )  # of these blocks, and of the head if an arch ends


def path_of(arch: Arch) -> Path:
    return tuple(
        (block_name(s, i), block)
        for s, blocks in enumerate(arch.stages)
        for i, block in enumerate(blocks)
    )


def tree_of(paths: Sequence[Path]) -> Stretch:
    """The tree of some paths; `ends` are their positions."""
    return _stretch(paths, list(range(len(paths))), 0)


def _stretch(paths: Sequence[Path], members: list[int], depth: int) -> Stretch:
    begin = depth
    while True:
        ends = [i for i in members if len(paths[i]) == depth]
        onward: dict[tuple[str, Block], list[int]] = defaultdict(list)
        for i in members:
            if len(paths[i]) > depth:
                onward[paths[i][depth]].append(i)
        if ends or len(onward) != 1:
            branches = [_stretch(paths, below, depth) for below in onward.values()]
            return Stretch(paths[members[0]][begin:depth], ends, branches)
        depth += 1


class Walk:
    """Runs images through all archs of a tree. Buffers for the activations at forks are used again
    and again.
    """

    def __init__(self, supernet: Supernet, batch: int) -> None:
        self.supernet, self.batch = supernet, batch
        self._buffers: dict[int, Tensor] = {}  # by depth in the tree, flat

    def calibrate(self, tree: Stretch, images: Tensor) -> None:
        """Set the statistics of every stretch, as `labkit.supernet.evaluation.recalibrate` does for
        one arch.
        """
        self._calibrate(tree, images, 0, root=True)

    def _calibrate(self, stretch: Stretch, inputs: Tensor, depth: int, root: bool = False) -> None:
        recorder, kept = Recorder(), None
        for begin in range(0, len(inputs), self.batch):
            recorder.next_batch()
            x = self._through(stretch, inputs[begin : begin + self.batch], recorder, root)
            if stretch.branches:
                kept = self._keep(depth, kept, x, begin, len(inputs))
            if stretch.ends:
                self.supernet.finish(x, recorder)
        stretch.stats = recorder.stats
        for branch in stretch.branches:
            self._calibrate(branch, kept, depth + 1)

    def logits(self, tree: Stretch, images: Tensor, report: Callable[[int, Tensor], None]) -> None:
        """Call `report` with each arch's position and its logits (N, classes); `calibrate` comes
        first.
        """
        self._logits(tree, images, 0, report, root=True)

    def _logits(
        self,
        stretch: Stretch,
        inputs: Tensor,
        depth: int,
        report: Callable[[int, Tensor], None],
        root: bool = False,
    ) -> None:
        kept, logits = None, []
        for begin in range(0, len(inputs), self.batch):
            x = self._through(stretch, inputs[begin : begin + self.batch], stretch.stats, root)
            if stretch.branches:
                kept = self._keep(depth, kept, x, begin, len(inputs))
            if stretch.ends:
                logits.append(self.supernet.finish(x, stretch.stats))
        for i in stretch.ends:
            report(i, torch.cat(logits))
        for branch in stretch.branches:
            self._logits(branch, kept, depth + 1, report)

    def _through(
        self, stretch: Stretch, x: Tensor, stats: Recorder | BatchNormStats, root: bool
    ) -> Tensor:
        if root:
            x = self.supernet.begin(x, stats)
        for name, block in stretch.blocks:
            x = self.supernet.blocks[name](x, stats, block)
        return x

    def _keep(self, depth: int, kept: Tensor | None, x: Tensor, begin: int, total: int) -> Tensor:
        """Copy a batch's activations (B, C, H, W) to its place among those of all `total` images,
        channels last.
        """
        if kept is None:
            _, c, h, w = x.shape
            size = total * c * h * w
            buffer = self._buffers.get(depth)
            if buffer is None or len(buffer) < size:
                buffer = self._buffers[depth] = torch.empty(size, dtype=x.dtype, device=x.device)
            kept = buffer[:size].view(total, h, w, c).permute(0, 3, 1, 2)
        kept[begin : begin + len(x)].copy_(x)
        return kept


def sample_families(
    space: SearchSpace, rng: np.random.Generator, count: int, size: int
) -> np.ndarray:
    """(count, G) random archs in families of `size` that differ only in their last stage, and so
    share the others.

    Each arch by itself is as likely as from `SearchSpace.sample`, so that averages over archs are
    unbiased; but the archs of a family are not independent: of the earlier stages there are only
    count / size different ones.
    """
    families = -(-count // size)
    genes = space.sample(rng, families).repeat(size, 0)[:count]
    last = space.depth_columns[-1]
    genes[:, last:] = space.sample(rng, count)[:, last:]
    return genes


def work(space: SearchSpace, genes: np.ndarray) -> tuple[float, float]:
    """MACs of an image through all archs (N, G), one at a time and with shared prefixes.

    What comes before and after the elastic blocks counts as not shared: a few percent, that only
    its first part is.
    """
    table = macs_table(space)
    column = {(shape.stage, shape.index): b for b, shape in enumerate(space.blocks)}
    seen, shared = set(), 0.0
    for arch, row in zip(space.decode(genes), genes):
        path = path_of(arch)
        shared += table.base[row[0]]
        steps = [
            (s, i, block) for s, blocks in enumerate(arch.stages) for i, block in enumerate(blocks)
        ]
        for length, (s, i, (kernel, expand)) in enumerate(steps, 1):
            if (arch.resolution, path[:length]) not in seen:
                seen.add((arch.resolution, path[:length]))
                stage = space.stages[s]
                shared += table.blocks[
                    row[0], column[s, i], stage.kernels.index(kernel), stage.expands.index(expand)
                ]
    return float(table(genes).sum()), float(shared)
