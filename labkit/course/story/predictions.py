"""Predictions in a notebook: an experiment shows its result once the student has guessed it, and at
the end all guesses stand beside the results.

Nothing is graded, and "skip" is a guess. Under pytest (nbval) nothing is locked.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

SKIP = "skip"
LOCKED = (
    'Locked. Write your guess into the cell above, or "skip", and run that cell and this one again.'
)


@dataclass(frozen=True)
class Guess:
    """A guess beside what came out; `guess` is None for one that was skipped."""

    what: str
    guess: float | str | None
    result: float | str
    unit: str

    def figure(self, value: float | str | None) -> str:
        if value is None:
            return "–"
        if isinstance(value, str):
            return value
        return (
            f"{value:,.0f} {self.unit}"
            if abs(value) >= 1000
            else f"{value:.4g} {self.unit}".strip()
        )


_predictions: dict[str, Guess | None] = {}  # by what they are about; None while locked


def beside(guess: float | str | None, result: float | str, unit: str = "", what: str = "") -> bool:
    """Print the result beside the student's guess, and say whether it may be shown: not before
    there is a guess.

    `what` is a name for the summary at the end of the notebook.

    >>> beside(20, 19.25, "ms", "the first call takes")
    you predicted 20 ms; the result is 19.25 ms
    True
    >>> beside(None, 19.25, "ms")  # doctest: +SKIP
    Locked. Write your guess into the cell above, or "skip", and run that cell and this one again.
    False
    """
    skipped = isinstance(guess, str) and guess.strip().lower() == SKIP
    shown = guess is not None or "PYTEST_VERSION" in os.environ
    prediction = Guess(what or unit, None if skipped else guess, result, unit)
    _predictions[prediction.what] = prediction if shown else None
    if not shown:
        print(LOCKED)
        return False
    start = "you made no prediction"
    if prediction.guess is not None:
        start = f"you predicted {prediction.figure(guess)}"
    print(f"{start}; the result is {prediction.figure(result)}")
    return True


def your_predictions() -> None:
    """Print what was guessed in this session beside what came out."""
    if not _predictions:
        print("No experiment with a prediction ran in this session.")
        return
    rows = [("", "your guess", "result")]
    for what, prediction in _predictions.items():
        figures = ("locked", "locked")
        if prediction is not None:
            figures = prediction.figure(prediction.guess), prediction.figure(prediction.result)
        rows.append((what, *figures))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for row in rows:
        print(f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]}")
