"""Altered copies of a supernet and borrowed statistics, which the notebooks compare with."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor

from labkit.space import Arch
from labkit.supernet.batch_norm import BatchNormStats
from labkit.supernet.supernet import Supernet


@torch.no_grad()
def without_transforms(supernet: Supernet) -> Supernet:
    """A copy whose small kernels are the plain centers of the large ones."""
    copy = deepcopy(supernet)
    for name, parameter in copy.named_parameters():
        if ".transforms." in name:
            parameter.copy_(torch.eye(len(parameter)))
    return copy


def project_weight(supernet: Supernet, block: str) -> Tensor:
    """(C_out, M) the projection of a block, from its middle channels to its output."""
    return supernet.blocks[block].project.get_submodule("0").weight[:, :, 0, 0]


@torch.no_grad()
def reorder_channels(supernet: Supernet, order: Callable[[Tensor], Tensor]) -> Supernet:
    """A copy with the middle channels of each block in another order.

    At full width it computes the same as before. `order` maps a block's projection (C_out, M) to a
    permutation (M,).
    """
    copy = deepcopy(supernet)
    for name, block in copy.blocks.items():
        permutation = order(project_weight(copy, name))
        along_rows = [
            p
            for part in (block.expand, block.depthwise)
            if part is not None
            for key, p in part.named_parameters()
            if ".transforms." not in key
        ]
        along_columns = [block.project.get_submodule("0").weight]
        if block.se is not None:
            along_rows += [block.se.fc2.weight, block.se.fc2.bias]
            along_columns.append(block.se.fc1.weight)
        for parameter in along_rows:
            parameter.copy_(parameter[permutation])
        for parameter in along_columns:
            parameter.copy_(parameter[:, permutation])
    return copy


@torch.no_grad()
def borrow_stats(supernet: Supernet, arch: Arch, lender: BatchNormStats) -> BatchNormStats:
    """The statistics of a larger arch, cut to the channels of `arch`, which is not recalibrated."""
    subnet = supernet.extract(arch, _AnyStats())
    return BatchNormStats(
        {
            name: (lender[name][0][: module.num_features], lender[name][1][: module.num_features])
            for name, module in subnet.named_modules()
            if isinstance(module, torch.nn.BatchNorm2d)
        }
    )


class _AnyStats(BatchNormStats):
    """Fits every arch, to learn which statistics one needs."""

    def of(self, name: str, channels: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(channels), torch.ones(channels)
