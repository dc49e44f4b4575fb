"""The eight candidate operations of a DARTS cell, and the two layers that fit cells together.

Source: DARTS (arXiv 1806.09055), section 3.1.1: separable and dilated separable convolutions 3x3
and 5x5, max and average pooling 3x3, identity, and zero. Convolutions run in the order ReLU,
convolution, batch norm; separable ones are applied twice.

Every operation maps (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride)). While an
architecture is searched, batch norm has neither scale nor offset (`affine=False`, as published: the
architecture weights already rescale each operation) and normalizes by the batch, so that no running
statistics of one mixture are kept for the next.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Zero(nn.Module):
    """No connection."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


class FactorizedReduce(nn.Module):
    """Halve the map without losing half of the pixels.

    Two strided pointwise convolutions read it one pixel apart.
    """

    def __init__(self, in_channels: int, out_channels: int, *, searching: bool) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.even = nn.Conv2d(in_channels, out_channels // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(in_channels, out_channels - out_channels // 2, 1, stride=2, bias=False)
        self.norm = batch_norm(out_channels, searching=searching)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        # Odd sides are padded, so that both halves have ceil(side / 2) pixels.
        shifted = F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2))[:, :, 1:, 1:]
        return self.norm(torch.cat([self.even(x), self.odd(shifted)], dim=1))


def batch_norm(channels: int, *, searching: bool) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, affine=not searching, track_running_stats=not searching)


def relu_conv_norm(in_channels: int, out_channels: int, *, searching: bool) -> nn.Sequential:
    """Pointwise convolution that brings a cell's input to the cell's width."""
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        batch_norm(out_channels, searching=searching),
    )


def _depthwise_separable(
    channels: int, kernel: int, stride: int, dilation: int, searching: bool
) -> list[nn.Module]:
    return [
        nn.ReLU(),
        nn.Conv2d(
            channels,
            channels,
            kernel,
            stride,
            dilation * (kernel // 2),
            dilation,
            groups=channels,
            bias=False,
        ),
        nn.Conv2d(channels, channels, 1, bias=False),
        batch_norm(channels, searching=searching),
    ]


def _separable(channels: int, kernel: int, stride: int, searching: bool) -> nn.Module:
    return nn.Sequential(
        *_depthwise_separable(channels, kernel, stride, 1, searching),
        *_depthwise_separable(channels, kernel, 1, 1, searching),
    )


def _dilated(channels: int, kernel: int, stride: int, searching: bool) -> nn.Module:
    return nn.Sequential(*_depthwise_separable(channels, kernel, stride, 2, searching))


def _pool(pool: nn.Module, channels: int, searching: bool) -> nn.Module:
    # While searching, pooled maps are normalized like those of the convolutions, or their scale
    # would decide.
    return nn.Sequential(pool, batch_norm(channels, searching=True)) if searching else pool


def _skip(channels: int, stride: int, searching: bool) -> nn.Module:
    return (
        nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, searching=searching)
    )


OPERATIONS: dict[str, Callable[[int, int, bool], nn.Module]] = {  # channels, stride, searching
    "none": lambda c, stride, searching: Zero(stride),
    "max_pool_3x3": lambda c, stride, searching: _pool(nn.MaxPool2d(3, stride, 1), c, searching),
    "avg_pool_3x3": lambda c, stride, searching: _pool(
        nn.AvgPool2d(3, stride, 1, count_include_pad=False), c, searching
    ),
    "skip_connect": _skip,
    "sep_conv_3x3": lambda c, stride, searching: _separable(c, 3, stride, searching),
    "sep_conv_5x5": lambda c, stride, searching: _separable(c, 5, stride, searching),
    "dil_conv_3x3": lambda c, stride, searching: _dilated(c, 3, stride, searching),
    "dil_conv_5x5": lambda c, stride, searching: _dilated(c, 5, stride, searching),
}
PRIMITIVES = tuple(OPERATIONS)  # column order of the architecture weights


def operation(name: str, channels: int, stride: int, *, searching: bool) -> nn.Module:
    """The operation `name` on `channels` channels; raises ValueError for an unknown name."""
    if name not in OPERATIONS:
        raise ValueError(f"unknown operation {name!r}, known: {', '.join(PRIMITIVES)}")
    return OPERATIONS[name](channels, stride, searching)
