"""Weights in the order in which the engine's kernels read them (engine/net_kernels.h)."""

from __future__ import annotations

import numpy as np

from labkit.firmware.layers import ConvolutionLayer
from labkit.firmware.plan import is_planar, patch_values

BLOCK = 4  # filters that are computed together
PAIR_ORDER = (0, 2, 1, 3)  # of four neighboring values: the first pair, then the second


def padded(values: np.ndarray) -> np.ndarray:
    """`values` of filters (F, ...) with zeros for filters that complete the last block."""
    missing = -len(values) % BLOCK
    return np.concatenate([values, np.zeros((missing, *values.shape[1:]), values.dtype)])


def packed_weights(layer: ConvolutionLayer) -> np.ndarray:
    """(bytes,) int8: filters one after another, or blocks of four whose values take turns."""
    operator = layer.operator
    if is_planar(operator):
        return layer.weights.ravel()
    length, values = patch_values(operator), layer.weights.reshape(operator.out_channels, -1)
    values = padded(np.pad(values, ((0, 0), (0, length - values.shape[1]))))
    paired = values.reshape(-1, length // 4, 4)[:, :, PAIR_ORDER]
    # block, two halves of two filters, pair, value of the pair -> block, pair, half, value, filter
    blocks = paired.reshape(-1, 2, 2, length // 2, 2)
    return np.ascontiguousarray(blocks.transpose(0, 3, 1, 4, 2)).ravel()
