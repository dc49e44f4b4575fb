"""The integer arithmetic of int8 networks, as TFLite's quantization specification defines it.

A real value is scale * (q - zero) for an integer q. What a layer sums up has the scale of its
inputs' product, and is brought to the scale of its output by a factor: an integer multiplier of 31
bits and an exponent, factor = multiplier * 2 ** (exponent - 31).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from labkit.storage.errors import ExportError

SUM_LIMIT = 1 << 30  # what the kernels' sums stay below, in absolute value


class Factor(NamedTuple):
    """multiplier * 2 ** (exponent - 31)"""

    multiplier: int
    exponent: int


def factor(value: float) -> Factor:
    """The factor nearest to a positive value; values below 2 ** -32 are 0.

    >>> factor(0.75)
    Factor(multiplier=1610612736, exponent=0)
    """
    mantissa, exponent = math.frexp(value)
    multiplier = math.floor(mantissa * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, exponent = 2**30, exponent + 1
    return Factor(multiplier, exponent) if exponent >= -31 else Factor(0, 0)


def mean_factor(value: float, count: int) -> Factor:
    """The factor `value` over `count`, as a mean's sum is brought to its scale.

    The multiplier is divided as an integer, after a shift to the left that keeps its bits.
    """
    multiplier, exponent = factor(value)
    shift = min(count.bit_length() - 1, 32, 31 + exponent)
    return Factor((multiplier << shift) // count, exponent - shift)


def check_sum(largest: int, scale: Factor, place: str) -> None:
    """Raise ExportError where a sum of up to `largest` does not fit the kernels' arithmetic."""
    if largest << max(scale.exponent, 0) >= SUM_LIMIT:
        raise ExportError(
            f"{place}: sums of up to {largest} at a factor of 2^{scale.exponent} do not fit 31 bits"
        )
