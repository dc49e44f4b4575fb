"""Checks of the fields of a configuration, a dataclass: the error names the field and its value."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable


def check_positive(config: object, *fields: str) -> None:
    _check(config, fields, lambda value: _finite(value) and value > 0, "must be positive")


def check_not_negative(config: object, *fields: str) -> None:
    _check(config, fields, lambda value: _finite(value) and value >= 0, "must be at least 0")


def check_fraction(config: object, *fields: str) -> None:
    _check(config, fields, lambda value: _finite(value) and 0 <= value < 1, "must be in [0, 1)")


def check_whole(config: object, *fields: str, least: int = 1) -> None:
    """Raise ValueError unless the fields are whole numbers, or None where that is their default."""
    _check(
        config,
        fields,
        lambda value: isinstance(value, int) and not isinstance(value, bool),
        "must be whole",
    )
    _check(
        config,
        fields,
        lambda value: value is not None and value >= least,
        "must be positive" if least else "must be at least 0",
    )


def _check(
    config: object, fields: Iterable[str], sound: Callable[[object], bool], want: str
) -> None:
    for field in fields:
        value = getattr(config, field)
        if not (sound(value) or value is None and getattr(type(config), field) is None):
            raise ValueError(f"{field} {want}, got {value!r}")


def _finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
