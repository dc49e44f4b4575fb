"""The functions that a notebook's story runs on: the student's where they passed their checks, and
labkit's where they did not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from labkit.course.exercises.message_lines import print_lines

_passed: dict[str, Callable] = {}  # name -> the student's function that passed its last check


def remember(name: str, function: Callable | None) -> None:
    """The last check of the exercise on `name` was passed by `function`, or by none."""
    if function is None:
        _passed.pop(name, None)
    else:
        _passed[name] = function


def yours(*names: str) -> Callable | tuple[Callable, ...]:
    """The student's functions of these names, or labkit's where the last check in this session
    failed; a line says which. One function for one name, else a tuple.

    Where a student's function raises an exception later, labkit's takes over, with a line that
    says so. Raises ValueError for a name of no exercise that a story runs on.
    """
    functions = tuple(map(_function, names))
    students = [name for name in names if name in _passed]
    others = [name for name in names if name not in _passed]
    parts = [
        f"{whose} {_listed(some)}"
        for whose, some in (("your", students), ("labkit's", others))
        if some
    ]
    print_lines(f"This runs on {' and on '.join(parts)}.")
    return functions if len(functions) > 1 else functions[0]


def _function(name: str) -> Callable:
    from labkit.course.story import stand_ins  # not there where answers are graded

    stand_in = getattr(stand_ins, name, None)
    if stand_in is None:
        raise ValueError(f"no story runs on a function {name!r}")
    return _as_long_as_it_runs(_passed[name], stand_in) if name in _passed else stand_in


def _as_long_as_it_runs(function: Callable, stand_in: Callable) -> Callable:
    """`function`, and after its first exception `stand_in`."""
    runs = True

    @wraps(stand_in)
    def run(*arguments: object) -> object:
        nonlocal runs
        if runs:
            try:
                return function(*arguments)
            except Exception as error:  # whatever passed its check, the notebook goes on
                runs = False
                what = f"{type(error).__name__}: {error}"
                print_lines(f"Your {stand_in.__name__} raised {what}; labkit's goes on instead.")
        return stand_in(*arguments)

    return run


def _listed(names: list[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
