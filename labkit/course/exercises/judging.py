"""What judges share: reading values, comparing arrays with a reference and frequencies with a law.

The functions `as_...` return a value in the form that was asked for, the functions `require_...`
return nothing; all of them raise `Wrong` otherwise. Its message gives the shape that was expected
and the one that came, or the largest difference and where it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np

from labkit.course.exercises.exercise import Wrong
from labkit.course.exercises.plain_values import own_number
from labkit.course.exercises.witness import Note, parts

# The chance to reject a right answer at each frequency; a judge looks at a few hundred at most.
FALSE_REJECTION = 1e-9


def require_value(value: object, what: str) -> None:
    """Wrong for None, which a function without a return statement gives."""
    if value is None:
        raise Wrong(f"{what} is None; is a return statement missing?")


def two_things(
    returned: object, name: str, what: str, second: Callable = lambda value: value
) -> tuple[object, object]:
    """The two things that the function `name` returned, the latter as `second` makes it; Wrong,
    with `what` they should be, for anything else.
    """
    require_value(returned, f"what {name} returns")
    try:
        first, latter = returned
        return first, second(latter)
    except (TypeError, ValueError):
        raise Wrong(f"{name} should return two things: {what}") from None


def require_fields(
    value: object, names: Collection[str], message: str = "the result could not be read"
) -> None:
    """Wrong with `message` unless `value` is a dict with exactly these fields."""
    if not isinstance(value, dict) or set(value) != set(names):
        raise Wrong(message)


def as_array(value: object, shape: tuple[int, ...], what: str = "the result") -> np.ndarray:
    """`value` as a float64 array of `shape`, or Wrong."""
    require_value(value, what)
    none = _place_of_none(value)
    if none is not None:
        raise Wrong(f"{what} is None at {none}")
    try:
        result = np.asarray(value, dtype=float)
        if np.asarray(value).dtype.kind in "US":  # which numpy reads as numbers
            raise TypeError
    except (TypeError, ValueError):
        raise Wrong(f"{what} should be an array of shape {shape}, got {_short(value)}") from None
    if result.shape != shape:
        raise Wrong(f"{what} should have shape {shape}, got {result.shape}")
    if np.isnan(result).any():
        raise Wrong(f"{what} has NaN at {_place(np.isnan(result))}")
    return result


def require_close(
    value: object,
    expected: np.ndarray,
    what: str = "the result",
    *,
    rtol: float = 1e-4,
    atol: float = 1e-5,
    hint: str = "",
) -> np.ndarray:
    """`value` as an array that agrees with `expected` to |difference| <= atol + rtol * |expected|,
    or Wrong.
    """
    expected = np.asarray(expected, dtype=float)
    result = as_array(value, expected.shape, what)
    difference = np.abs(result - expected)
    if (difference > atol + rtol * np.abs(expected)).any():
        place = np.unravel_index(difference.argmax(), difference.shape)
        at = f", at {tuple(map(int, place))}" if place else ""
        off = f"{what} differs from what is asked by up to {difference.max():.3g}{at}"
        raise Wrong(f"{off}. {hint}" if hint else off)
    return result


def require_unchanged(now: object, before: np.ndarray, what: str) -> None:
    """Wrong unless an argument is after the call what it was before."""
    if not np.array_equal(np.asarray(now), before):
        raise Wrong(f"{what} was changed; work on a copy, it is still needed")


def as_integer(value: object, what: str = "the result") -> int:
    """`value` as an int, or Wrong. A float that is a whole number below 2**53 will do, and an array
    of one element.
    """
    value = _scalar(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Wrong(f"{what} should be a whole number, got {_short(value)}")
    return value


def as_number(value: object, what: str = "the result") -> float:
    """`value` as a finite float (an array of one element will do), or Wrong."""
    value = _scalar(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise Wrong(f"{what} should be a number, got {_short(value)}")
    return float(value)


def _scalar(value: object) -> object:
    """What numpy and torch make of a number, whatever its dtype, as Python's own."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(())[()]
    return own_number(value) if isinstance(value, np.generic) else value


def as_items(value: object, count: int, what: str = "the result") -> list:
    """`value` as a list of `count` items, or Wrong."""
    if (
        isinstance(value, np.ndarray) and len(value) == count
    ):  # first: each row is an object, and there may be millions
        value = list(value)
    if not isinstance(value, list) or len(value) != count:
        raise Wrong(f"{what} should be {count} values, got {_short(value)}")
    return value


def told_cases(
    inputs: dict, returned: object, notes: Sequence[Note]
) -> Iterable[tuple[dict, object, list[Note]]]:
    """Each case of `inputs`, what was returned for it, and what the witness was told meanwhile."""
    count = len(inputs["cases"])
    return zip(inputs["cases"], as_items(returned, count), parts(notes, "case", count))


def require_frequency(count: int, trials: int, chance: float, what: str) -> None:
    """Wrong unless `count` of `trials` independent events of this `chance` is a plausible count."""
    if not is_plausible(count, trials, chance):
        raise Wrong(
            f"{what} in {100 * count / trials:.1f} % of {trials} draws; expected about"
            f" {100 * chance:.1f} %"
        )


def is_plausible(count: int, trials: int, chance: float) -> bool:
    """Whether `count` of `trials` independent events may have this `chance`.

    Chernoff's bound: a right answer is rejected with a probability of at most `FALSE_REJECTION`.
    """
    return trials * _divergence(count / trials, chance) <= math.log(2 / FALSE_REJECTION)


def _divergence(p: float, q: float) -> float:
    """Kullback-Leibler divergence of two coins."""

    def term(a: float, b: float) -> float:
        return 0.0 if a == 0 else math.inf if b == 0 else a * math.log(a / b)

    return term(p, q) + term(1 - p, 1 - q)


def _place_of_none(value: object) -> tuple[int, ...] | None:
    """Where in lists in each other the first None is, which numpy would read as NaN."""
    if not isinstance(value, list):
        return None
    for i, item in enumerate(value):
        rest = () if item is None else _place_of_none(item)
        if rest is not None:
            return (i, *rest)
    return None


def _short(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    return f"{type(value).__name__} {str(value)[:60]}"


def _place(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(map(int, np.argwhere(mask)[0]))
