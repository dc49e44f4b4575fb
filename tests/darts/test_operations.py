"""Candidate operations and mixtures against torch's own arithmetic."""

import math

import pytest
import torch
import torch.nn.functional as F

from labkit.darts.network import MixedOp
from labkit.darts.operations import PRIMITIVES, FactorizedReduce, operation


def test_the_eight_candidates_of_the_paper():
    assert set(PRIMITIVES) == {
        "none",
        "skip_connect",
        "max_pool_3x3",
        "avg_pool_3x3",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "dil_conv_3x3",
        "dil_conv_5x5",
    }


@pytest.mark.parametrize("searching", [True, False])
@pytest.mark.parametrize("name", PRIMITIVES)
@pytest.mark.parametrize("side,stride", [(8, 1), (8, 2), (7, 2)])
def test_shapes(name, side, stride, searching):
    y = operation(name, 4, stride, searching=searching)(torch.randn(2, 4, side, side))
    assert y.shape == (2, 4, math.ceil(side / stride), math.ceil(side / stride))


@pytest.mark.parametrize(
    "name,parameters",
    [
        # depthwise C * k * k, pointwise C * C, batch norm 2 C; separable convolutions run twice
        ("sep_conv_3x3", 2 * (6 * 9 + 36 + 12)),
        ("sep_conv_5x5", 2 * (6 * 25 + 36 + 12)),
        ("dil_conv_3x3", 6 * 9 + 36 + 12),
        ("dil_conv_5x5", 6 * 25 + 36 + 12),
        ("none", 0),
        ("skip_connect", 0),
        ("max_pool_3x3", 0),
        ("avg_pool_3x3", 0),
    ],
)
def test_parameters_of_derived_operations(name, parameters):
    assert sum(p.numel() for p in operation(name, 6, 1, searching=False).parameters()) == parameters


@pytest.mark.parametrize(
    "name,reach",
    [
        ("sep_conv_3x3", 2),
        ("sep_conv_5x5", 4),
        ("dil_conv_3x3", 2),
        ("dil_conv_5x5", 4),
        ("max_pool_3x3", 1),
        ("skip_connect", 0),
    ],
)
def test_receptive_field(name, reach):
    """How far a pixel's influence goes: k // 2 for each convolution, doubled by dilation."""
    op = operation(name, 2, 1, searching=False).eval()
    x = torch.rand(1, 2, 15, 15, requires_grad=True)
    op(x)[:, :, 7, 7].sum().backward()
    gradient_sum = torch.zeros(15)
    for _ in range(20):  # ReLU and max switch paths off: several draws show all of them
        x = torch.rand(1, 2, 15, 15, requires_grad=True)
        op(x)[:, :, 7, 7].sum().backward()
        gradient_sum += x.grad.abs().sum((0, 1, 2))
    touched = gradient_sum.nonzero().flatten() - 7
    assert (touched.min(), touched.max()) == (-reach, reach)


def test_average_pooling_leaves_the_padding_out():
    ones = torch.ones(1, 2, 5, 5)
    assert torch.equal(operation("avg_pool_3x3", 2, 1, searching=False)(ones), ones)


def test_factorized_reduce_reads_every_second_pixel_and_its_diagonal_neighbor():
    layer = FactorizedReduce(1, 2, searching=False).eval()
    torch.nn.init.ones_(layer.even.weight)
    torch.nn.init.ones_(layer.odd.weight)
    x = torch.arange(1.0, 26).view(1, 1, 5, 5)
    even, odd = layer(x)[0] * math.sqrt(1 + layer.norm.eps)
    padded = F.pad(x[0, 0], (0, 1, 0, 1))
    torch.testing.assert_close(even, x[0, 0, ::2, ::2])
    torch.testing.assert_close(odd, padded[1::2, 1::2])


def test_mixed_operation_is_the_weighted_sum():
    torch.manual_seed(0)
    for stride in (1, 2):
        mixed, x = MixedOp(4, stride).double(), torch.randn(3, 4, 6, 6, dtype=torch.float64)
        weights = torch.rand(len(PRIMITIVES), dtype=torch.float64)
        out = torch.zeros(3, 4, 6 // stride, 6 // stride, dtype=torch.float64)
        for i in range(len(PRIMITIVES)):
            out += weights[i].item() * mixed.operations[i](x)
        torch.testing.assert_close(mixed(x, weights), out)
        outputs = torch.stack([op(x) for op in mixed.operations])
        assert len({round(o.abs().mean().item(), 9) for o in outputs}) == len(
            PRIMITIVES
        )  # the sum is not vacuous


def test_unknown_operation():
    with pytest.raises(ValueError, match="sep_conv_9x9.*known: none"):
        operation("sep_conv_9x9", 4, 1, searching=True)
