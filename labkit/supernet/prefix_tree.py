"""Many subnets at once, computing what they have in common once.

What enters a block, and that block's batch-norm statistics, depend only on the images and the
blocks before. Archs of one global choice (resolution and width) therefore form a tree: those whose
first blocks are the same share the way from the root to where they part. Each stretch between two
forks runs batch by batch, so that activations stay in the cache; only at a fork are they stored,
for the branches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from labkit.space import Arch, Block, block_name
from labkit.supernet.batch_norm import BatchNormStats, Recorder
from labkit.supernet.supernet import Supernet

Path = tuple[tuple[str, Block], ...]  # an arch's blocks by name, in order


@dataclass
class Stretch:
    """Blocks that the same archs share, and the stretches that go on from there."""

    blocks: Path
    ends: list[int]  # archs that end here
    branches: list[Stretch]
    # of these blocks, and of the head if an arch ends here
    stats: BatchNormStats = field(default_factory=BatchNormStats)


def global_choice(arch: Arch) -> tuple[int, float]:
    """What archs of one tree have in common."""
    return arch.resolution, arch.width


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
    start = depth
    while True:
        ends = [i for i in members if len(paths[i]) == depth]
        onward: dict[tuple[str, Block], list[int]] = defaultdict(list)
        for i in members:
            if len(paths[i]) > depth:
                onward[paths[i][depth]].append(i)
        if ends or len(onward) != 1:
            branches = [_stretch(paths, below, depth) for below in onward.values()]
            return Stretch(paths[members[0]][start:depth], ends, branches)
        depth += 1


class TreeWalk:
    """Runs images through all archs of a tree, which have one width.

    Buffers for the activations at forks are used again and again.
    """

    def __init__(self, supernet: Supernet, batch: int, width: float = 1.0) -> None:
        self.supernet, self.batch, self.width = supernet, batch, width
        self._buffers: dict[int, Tensor] = {}  # by depth in the tree, flat

    def calibrate(self, stretch: Stretch, inputs: Tensor, depth: int = 0) -> None:
        """Set the statistics of a stretch and of all that follow it.

        They are those that `labkit.supernet.evaluation.recalibrate` finds for one arch. `inputs`
        are images at the root of the tree, where `depth` is 0.
        """
        recorder = Recorder()
        outputs, _ = self._run(stretch, inputs, recorder, depth)
        stretch.stats = recorder.stats
        for branch in stretch.branches:
            self.calibrate(branch, outputs, depth + 1)

    def logits(
        self, stretch: Stretch, inputs: Tensor, depth: int = 0
    ) -> Iterator[tuple[int, Tensor]]:
        """The position of each arch and its logits (N, classes); `calibrate` comes first."""
        outputs, logits = self._run(stretch, inputs, stretch.stats, depth)
        for i in stretch.ends:
            yield i, torch.cat(logits)
        for branch in stretch.branches:
            yield from self.logits(branch, outputs, depth + 1)

    def _run(
        self, stretch: Stretch, inputs: Tensor, stats: Recorder | BatchNormStats, depth: int
    ) -> tuple[Tensor | None, list[Tensor]]:
        """What enters the branches (N, C, H, W), and the logits of each batch if archs end."""
        outputs, logits = None, []
        for start in range(0, len(inputs), self.batch):
            x = inputs[start : start + self.batch]
            if isinstance(stats, Recorder):
                stats.next_batch()
            if depth == 0:
                x = self.supernet.begin(x, stats, self.width)
            for name, block in stretch.blocks:
                x = self.supernet.run_block(x, name, block, stats, self.width)
            if stretch.branches:
                if outputs is None:
                    outputs = self._buffer(depth, len(inputs), x)
                outputs[start : start + len(x)].copy_(x)
            if stretch.ends:
                logits.append(self.supernet.finish(x, stats, self.width))
        return outputs, logits

    def _buffer(self, depth: int, count: int, like: Tensor) -> Tensor:
        """Room for the activations (count, C, H, W) of all images, channels last."""
        _, c, h, w = like.shape
        size = count * c * h * w
        buffer = self._buffers.get(depth)
        if buffer is None or len(buffer) < size:
            buffer = self._buffers[depth] = like.new_empty(size)
        return buffer[:size].view(count, h, w, c).permute(0, 3, 1, 2)
