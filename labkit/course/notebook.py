"""What a student calls in a notebook: check one answer, or check all of them as a grader would."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import indent

from labkit.course.exercises.exercise import Exercise, Wrong
from labkit.course.exercises.message_lines import print_lines
from labkit.course.exercises.smallest_failure import as_text, smallest_failure
from labkit.course.exercises.trial import try_answer
from labkit.course.judges.registry import get_exercise
from labkit.course.pictures import display
from labkit.course.story.yours import remember
from labkit.storage.errors import LabError, MissingPackage

AS_GRADED = "\n  The function is right as it ran here, but not as it is run to be graded."


def check(id: str, function: Callable) -> None:
    """Say whether an answer is right, and if not, what is wrong with it.

    What the function does here is told at once. Where that is right, the notebook is run as a
    grader runs it, from the cells that ran in this session, and that verdict counts. An answer that
    is wrong only then gets a smallest example, where a second set of inputs holds one.

    The story of the notebook runs on a function that is right (`labkit.course.story.yours`).

    A notebook goes on after a wrong answer, with a picture of the wrong tensor under the message
    where that helps; under pytest (nbval) a wrong answer raises, so that its cell fails.
    """
    exercise = get_exercise(id)
    verdict = try_answer(exercise, function)
    points, message, note = verdict.points, verdict.message, ""
    inputs, returned = exercise.inputs(verdict.seed), verdict.returned
    if verdict.passed:
        points, message, note = _graded(exercise)
        example = smallest_failure(exercise, function) if note == AS_GRADED else None
        if example is not None:
            inputs, returned, what_is_wrong = example
            note = f"\n  A small example: {what_is_wrong}\n{indent(as_text(inputs), '    ')}"
    remember(exercise.function, None if message else function)
    if not message:
        print_lines(f"Exercise {id}: correct, {exercise.points} of {exercise.points} points{note}")
        return
    if "PYTEST_VERSION" in os.environ:
        raise Wrong(f"Exercise {id}: {message}")
    score = f"Exercise {id}: {points} of {exercise.points} points"
    print_lines(f"{score}\n{indent(message, '  ')}{note}")
    if returned is not None and _pictures_are_shown():
        from labkit.course.pictures.wrong_answers import picture  # with matplotlib

        figure = picture(id, inputs, returned)
        if figure is not None:
            display.show(figure)


def _graded(exercise: Exercise) -> tuple[int, str, str]:
    """A grader's points for an answer that is right here, what it finds wrong, and a note on that.

    Where no cell of a notebook has the exercise, as in a script, there is nothing to grade.
    """
    from labkit.course.checking.requirements import require_packages
    from labkit.course.checking.session import ran_cells
    from labkit.course.checking.submission import find_answers

    submission = find_answers(ran_cells())
    if exercise.id not in {**submission.answers, **submission.problems}:
        return exercise.points, "", ""
    try:
        require_packages()
    except (MissingPackage, LabError) as missing:
        return exercise.points, "", f"\n  (as it ran here; not run as it will be graded: {missing})"
    from labkit.course.checking.check import session_checker

    (mark,) = session_checker().marks(submission, [exercise.id])
    if mark.points is None:
        return exercise.points, "", f"\n  (as it ran here. {mark.message})"
    return mark.points, mark.message, "" if mark.passed else AS_GRADED


def _pictures_are_shown() -> bool:
    """Whether a front end shows pictures: a kernel runs this, no terminal and no script."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


def check_notebook(path: str | Path | None = None) -> None:
    """Print what the saved notebook would be graded with: exercise, points, pass or what is wrong;
    and which answers ran here otherwise than they are saved.

    `path` says which notebook, where that cannot be told. Answers run in processes of their own,
    so this takes about a minute. Raises LabError where there is no answer.

    It is a notebook's last cell, which must not stop a notebook that is run as a whole: under
    pytest (nbval), which checks answers cell by cell, it leaves them to it; where nbval is missing,
    it says what to install.
    """
    if "PYTEST_VERSION" in os.environ:
        print("left to pytest, which checks each answer in the cell after it")
        return
    # The copy of labkit that answers run with holds `check`, but not what checks a notebook.
    from labkit.course.checking import session
    from labkit.course.checking.requirements import require_packages
    from labkit.course.checking.submission import find_answers
    from labkit.course.checking.submitted_file import parse, read_notebook

    try:
        require_packages()
    except MissingPackage as missing:
        print(f"{missing}, then run this cell again (in a notebook: %pip)")
        return
    from labkit.course.checking.check import check_cells, session_checker, table

    ran = session.ran_cells()
    if path is not None:
        saved = str(path), parse(read_notebook(Path(path)))
    else:
        saved = session.saved_cells()
    name, cells = saved or ("the cells that ran in this session", ran)
    print("\n".join(table(check_cells(cells, session_checker()))))
    print(f"checked: {name}")
    if saved is None:
        print_lines(
            "The saved file is what is graded, and it was not found; to check it, give its name:"
            ' check_notebook("01_supernet.ipynb")'
        )
    elif unsaved := session.unsaved_answers(find_answers(ran), find_answers(cells)):
        print_lines(
            f"Not saved: {', '.join(unsaved)} ran in this session otherwise than in the saved file,"
            " which is what is graded. Save the notebook and run this cell again."
        )
