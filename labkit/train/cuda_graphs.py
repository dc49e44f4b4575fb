"""Steps that are launched as a CUDA graph.

On a GPU, a small network's step is the time that its hundreds of kernels take to be launched one by
one. A CUDA graph launches them together. It is one fixed sequence of kernels, so only a network of
one arch has one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from labkit.runtime.distributed import World
from labkit.space import Arch
from labkit.supernet.batch_norm import BatchStatistics
from labkit.supernet.supernet import Supernet
from labkit.train.config import AUTOCAST, TrainConfig


class _OneArch(nn.Module):
    """A network of images alone: what can be recorded."""

    def __init__(self, network: Supernet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images, self.network.only)


def can_replay(config: TrainConfig, ranks: World) -> bool:
    """Whether every step of a run launches the same kernels: one arch, one GPU, one precision."""
    return (
        config.only is not None
        and ranks.device.type == "cuda"
        and ranks.alone
        and config.precision not in AUTOCAST
        and not config.recompute
    )


def replayed(network: Supernet, batch: int) -> Callable[..., Tensor]:
    """`network`, which holds one arch on a GPU, with its two passes recorded for `batch` images.

    The function returned is called as the network is in training, for its arch and by the batch's
    statistics, and gives the same logits (batch, classes) and gradients. The logits are overwritten
    by the next call.
    """
    side = network.only.resolution
    weights = network.classifier.weight
    sample = torch.randn(
        batch, network.space.in_channels, side, side, device=weights.device, dtype=weights.dtype
    )
    graph = torch.cuda.make_graphed_callables(_OneArch(network), (sample,), allow_unused_input=True)

    def forward(
        images: Tensor, arch: Arch, stats: BatchStatistics | None = None, recompute: bool = False
    ) -> Tensor:
        by_batch = stats is None or type(stats) is BatchStatistics
        if arch != network.only or len(images) != batch or not by_batch or recompute:
            raise ValueError(
                f"recorded for {batch} images and {network.only} by the batch's statistics; got "
                f"{len(images)} images, {arch}, {stats}, recompute={recompute}"
            )
        return graph(images)

    return forward
