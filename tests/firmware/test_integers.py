from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.firmware.integers import Factor, check_sum, factor, mean_factor
from labkit.storage.errors import ExportError


def value(scale: Factor) -> Fraction:
    return Fraction(scale.multiplier) * Fraction(2) ** (scale.exponent - 31)


@given(st.floats(2.0**-31, 2.0**20))
def test_a_factor_is_the_nearest_of_31_bits(number):
    scale = factor(number)
    assert 2**30 <= scale.multiplier < 2**31
    assert abs(value(scale) - Fraction(number)) <= Fraction(2) ** (scale.exponent - 32)


def test_a_mantissa_that_rounds_up_to_one_moves_the_exponent():
    assert factor(1 - 2.0**-40) == Factor(2**30, 1) == factor(1.0)


def test_a_factor_below_all_exponents_is_zero():
    assert factor(2.0**-33) == Factor(0, 0)


@given(st.floats(2.0**-8, 8), st.integers(1, 50_000))
def test_a_means_factor_is_the_factor_over_the_count(number, count):
    scale = mean_factor(number, count)
    assert float(value(scale)) == pytest.approx(number / count, rel=2.0**-29)
    assert scale.multiplier < 2**31


def test_sums_that_do_not_fit_are_named():
    check_sum(2**30 - 1, Factor(2**30, 0), "stem")
    for largest, exponent in ((2**30, 0), (2**28, 2)):
        with pytest.raises(ExportError, match="stem"):
            check_sum(largest, Factor(2**30, exponent), "stem")
