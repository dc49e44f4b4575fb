"""Altered copies of a supernet and borrowed statistics, which the notebooks compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from functools import partial

import torch
from torch import Tensor

from labkit.space import Arch
from labkit.supernet.batch_norm import BatchNormStats, BatchStatistics
from labkit.supernet.elastic import ElasticDepthwise
from labkit.supernet.supernet import Supernet


@torch.no_grad()
def without_transforms(supernet: Supernet) -> Supernet:
    """A copy whose small kernels are the plain centers of the large ones."""
    copy = deepcopy(supernet)
    for name, parameter in copy.named_parameters():
        if ".transforms." in name:
            parameter.copy_(torch.eye(len(parameter)))
    return copy


def with_small_kernels(
    supernet: Supernet, small_kernel: Callable[[Tensor, Tensor, int], Tensor]
) -> Supernet:
    """A copy whose smaller kernels are what `small_kernel` makes of a larger kernel (C, 1, K, K), a
    transform and a size.
    """
    copy = deepcopy(supernet)
    for module in copy.modules():
        if isinstance(module, ElasticDepthwise):
            module.active = partial(_active, module, small_kernel)
    return copy


def _active(
    layer: ElasticDepthwise, small_kernel: Callable, channels: int, kernel: int
) -> Tensor:  # (channels, 1, kernel, kernel)
    weight = layer.weight[:channels]
    for large, small in zip(layer.kernels, layer.kernels[1:]):
        if kernel < large:
            weight = small_kernel(weight, layer.transforms[f"{large}to{small}"], small)
    return weight


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


@torch.no_grad()
def stats_by(
    supernet: Supernet,
    arch: Arch,
    batches: Iterable[Tensor],
    batch_norm_stats: Callable[[list[Tensor]], tuple[Tensor, Tensor]],
) -> BatchNormStats:
    """The statistics of `arch`, each batch norm's by `batch_norm_stats` of what enters it: one
    tensor (N, C, H, W) for each batch.
    """
    inputs = _Inputs()
    for batch in batches:
        supernet(batch, arch, inputs)
    return BatchNormStats({name: batch_norm_stats(each) for name, each in inputs.of_norm.items()})


class _Inputs(BatchStatistics):
    """Normalize by the batch, and keep what enters each batch norm."""

    def __init__(self) -> None:
        self.of_norm: dict[str, list[Tensor]] = {}

    def normalize(self, name: str, x: Tensor, *rest: object) -> Tensor:
        self.of_norm.setdefault(name, []).append(x.clone())
        return super().normalize(name, x, *rest)


class _AnyStats(BatchNormStats):
    """Fits every arch, to learn which statistics one needs."""

    def of(self, name: str, channels: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(channels), torch.ones(channels)
