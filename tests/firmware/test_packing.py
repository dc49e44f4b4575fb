"""Packed weights against the layout that engine/net_kernels.h describes, value by value."""

import numpy as np

from labkit.firmware.integers import Factor
from labkit.firmware.layers import ConvolutionLayer
from labkit.firmware.packing import packed_weights, padded
from labkit.space.operators import convolution


def layer(operator, weights) -> ConvolutionLayer:
    factors = (Factor(1 << 30, 0),) * operator.out_channels
    bias = np.zeros(operator.out_channels, np.int32)
    return ConvolutionLayer(operator, weights, bias, factors, None, 0, 0)


def test_blocks_hold_pairs_of_four_filters():
    operator = convolution(3, 6, 3, side=8)  # 27 values, one short of a multiple of 4
    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 128, (6, 3, 3, 3)).astype(np.int8)
    packed = packed_weights(layer(operator, weights))
    values = np.zeros((8, 28), np.int8)
    values[:6, :27] = weights.reshape(6, 27)
    position = 0
    for block in (0, 4):
        for four in range(0, 28, 4):
            for first in (four, four + 1):  # the first and the third, the second and the fourth
                for a in (block, block + 2):
                    for k in (first, first + 2):
                        assert packed[position] == values[a, k]
                        assert packed[position + 1] == values[a + 1, k]
                        position += 2
    assert position == len(packed)


def test_planar_filters_stay_as_they_are():
    operator = convolution(8, 8, 5, side=8, depthwise=True)
    weights = np.arange(200).astype(np.int8).reshape(8, 5, 5, 1)
    np.testing.assert_array_equal(packed_weights(layer(operator, weights)), weights.ravel())


def test_padding_completes_a_block():
    assert padded(np.arange(6)).tolist() == [0, 1, 2, 3, 4, 5, 0, 0]
    assert padded(np.arange(8)).tolist() == list(range(8))
