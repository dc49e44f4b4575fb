"""Progressive shrinking: which choices are open when, and the channel sorting before widths shrink.

Source: OFA (arXiv 1908.09791, section 3.3): train the largest network first, then let subnets vary
in one dimension after the other, taught by the network as it was at full size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from labkit.space import SearchSpace
from labkit.supernet.supernet import Supernet

ALL_CHOICES = 127  # as many as a gene can have


@dataclass(frozen=True)
class Phase:
    """A part of a run: how many of the largest choices of each dimension are open."""

    name: str
    share: float  # of the run's steps
    resolutions: int = 1
    kernels: int = 1
    depths: int = 1
    expands: int = 1
    widths: int = 1
    archs: int = 1  # in each step
    rate: float = 1.0  # peak learning rate over the first phase's, if each has a schedule

    def restrict(self, space: SearchSpace) -> SearchSpace:
        """The space of the open choices; its archs are archs of `space`."""
        stages = tuple(
            replace(
                stage,
                depths=stage.depths[-self.depths :],
                kernels=stage.kernels[-self.kernels :],
                expands=stage.expands[-self.expands :],
            )
            for stage in space.stages
        )
        resolutions, widths = space.resolutions[-self.resolutions :], space.widths[-self.widths :]
        return replace(space, resolutions=resolutions, widths=widths, stages=stages)


# Depth and expand ratio open in two halves, with 2 and 4 archs a step whose gradients add up, as in
# OFA. Width multipliers, which OFA does not have, open with the expand ratios: until then only the
# largest is trained. Rates: its appendix B trains the full network at 2.6 and the elastic phases at
# 0.96, then 0.08 and 0.24 twice.
PROGRESSIVE = (
    Phase("full", 0.3),
    Phase("resolution", 0.1, ALL_CHOICES, rate=0.96 / 2.6),
    Phase("kernel", 0.15, ALL_CHOICES, ALL_CHOICES, rate=0.96 / 2.6),
    Phase("depth, half", 0.1, ALL_CHOICES, ALL_CHOICES, 2, archs=2, rate=0.08 / 2.6),
    Phase("depth", 0.1, ALL_CHOICES, ALL_CHOICES, ALL_CHOICES, archs=2, rate=0.24 / 2.6),
    Phase("expand, half", 0.1, *[ALL_CHOICES] * 3, 2, 2, archs=4, rate=0.08 / 2.6),
    Phase("expand", 0.15, *[ALL_CHOICES] * 5, archs=4, rate=0.24 / 2.6),
)


def first_steps(phases: tuple[Phase, ...], total: int) -> list[int]:
    """The step at which each phase begins, of `total`."""
    shares = [phase.share for phase in phases]
    return [round(total * sum(shares[:i]) / sum(shares)) for i in range(len(phases))]


Orders = dict[str, list[tuple[int, Tensor]]]


@torch.no_grad()
def channel_orders(supernet: Supernet) -> Orders:
    """For each parameter the dimensions to reorder, most important channels first, and the order.

    A channel's importance is the L1 norm of the weights that read it, as in OFA: those of the
    projection, and of the second layer of a squeeze-excite for its bottleneck.
    """
    orders: Orders = {}
    for block_name, block in supernet.blocks.items():
        if block.expand is None:
            continue
        middle = by_importance(block.project.get_submodule("0").weight)
        places = [("project.0.weight", 1, middle)]
        for name, _ in block.named_parameters():
            if name.startswith(("expand.", "depthwise.")) and "transforms" not in name:
                places.append((name, 0, middle))
        if block.se is not None:
            bottleneck = by_importance(block.se.fc2.weight)
            places += [("se.fc1.weight", 1, middle), ("se.fc1.weight", 0, bottleneck)]
            places += [("se.fc2.weight", 0, middle), ("se.fc2.weight", 1, bottleneck)]
            places += [("se.fc2.bias", 0, middle), ("se.fc1.bias", 0, bottleneck)]
        for name, dimension, order in places:
            orders.setdefault(f"blocks.{block_name}.{name}", []).append((dimension, order))
    return orders


def by_importance(weight: Tensor) -> Tensor:
    """Input channels of a convolution (out, in, k, k), the largest L1 norm first."""
    return weight.abs().sum((0, 2, 3)).argsort(descending=True, stable=True)


@torch.no_grad()
def sort_channels(tensors: Mapping[str, Tensor], orders: Orders) -> None:
    """Reorder, in place, tensors with the names of parameters: weights, averages or momenta.

    The largest subnet computes the same function with reordered weights.
    """
    for name, dimensions in orders.items():
        for dimension, order in dimensions:
            tensors[name].copy_(tensors[name].index_select(dimension, order))
