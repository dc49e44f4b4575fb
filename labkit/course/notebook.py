"""What a student calls in a notebook: check one answer, or check all of them as a grader would."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from labkit.course.exercises.exercise import Wrong
from labkit.course.exercises.trial import try_answer
from labkit.course.judges.registry import get_exercise
from labkit.course.pictures import display
from labkit.storage.errors import MissingPackage


def check(id: str, function: Callable) -> None:
    """Say whether an answer is right, and if not, what is wrong with it.

    A notebook goes on after a wrong answer, with a picture of the wrong tensor under the message
    where that helps; under pytest (nbval) a wrong answer raises, so that its cell fails.
    """
    exercise = get_exercise(id)
    verdict = try_answer(exercise, function)
    if verdict.passed:
        print(f"Exercise {id}: correct, {exercise.points} of {exercise.points} points")
        return
    if "PYTEST_VERSION" in os.environ:
        raise Wrong(f"Exercise {id}: {verdict.message}")
    print(f"Exercise {id}: 0 of {exercise.points} points\n  {verdict.message}")
    if verdict.returned is not None and _pictures_are_shown():
        from labkit.course.pictures.wrong_answers import picture  # with matplotlib

        figure = picture(id, exercise.inputs(verdict.seed), verdict.returned)
        if figure is not None:
            display.show(figure)


def _pictures_are_shown() -> bool:
    """Whether a front end shows pictures: a kernel runs this, no terminal and no script."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


def check_notebook(path: str | Path | None = None) -> None:
    """Print what the notebook would be graded with: exercise, points, pass or what is wrong.

    Without `path` it is the answers as they last ran in this session, in any front end; with it,
    the saved file. Answers run in a process of their own, so this takes about a minute. Raises
    LabError where there is no answer.

    It is a notebook's last cell, which must not stop a notebook that is run as a whole: under
    pytest (nbval), which checks answers cell by cell, it leaves them to it; where nbval is missing,
    as on Colab, it says what to install.
    """
    # The copy of labkit that answers run with holds `check`, but not what checks a notebook.
    from labkit.course.checking.check import check_cells, check_file, table

    if "PYTEST_VERSION" in os.environ:
        print("left to pytest, which checks each answer in the cell after it")
        return
    try:
        marks = check_cells(_session_cells()) if path is None else check_file(Path(path))
    except MissingPackage as missing:
        print(f"{missing}, then run this cell again (in a notebook: %pip)")
    else:
        print("\n".join(table(marks)))


def _session_cells() -> list[tuple[str, str]]:
    """The cells that ran in this session, as (type, source); answers as they last ran."""
    from IPython import get_ipython

    from labkit.course.checking.submission import MARKER, is_answer

    shell, other_cells, answers = get_ipython(), [], {}
    # As typed: in `In` the code of a cell with a magic, such as %%time, is one string.
    typed = getattr(getattr(shell, "history_manager", None), "input_hist_raw", None)
    for source in typed or (shell.user_ns.get("In", []) if shell else []):
        ids = MARKER.findall(source)
        for id in ids:
            if id not in answers or is_answer(id, source) or not is_answer(id, answers[id]):
                answers[id] = source
        if source.strip() and not ids:
            other_cells.append(source)
    return [("code", source) for source in dict.fromkeys([*other_cells, *answers.values()])]
