"""From answers to marks: the job that is run, and what its result is worth once no student code
runs anymore.

Each answer is called on two sets of inputs: those of the notebook's own checks, which students can
see, and hidden ones. It is right if both are. What a student is told comes from the visible set
only, and what an answer returned for that is out of its reach before it meets the hidden one: no
message can show hidden inputs or values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from labkit.course.checking.answer_call import NOT_DEFINED
from labkit.course.checking.answer_notebook import answer_notebook
from labkit.course.checking.emptied_functions import OWN_ANSWER
from labkit.course.checking.submission import Submission
from labkit.course.checking.time_limit import time_limit
from labkit.course.exercises.exercise import SEEDS, Exercise, Outcome, Verdict, notebook_number
from labkit.course.exercises.plain_values import BadValue, check_count, dumps, loads
from labkit.course.exercises.trial import judge, worst
from labkit.course.exercises.witness import Note, as_notes
from labkit.course.handout.pristine_course import course_names
from labkit.course.judges.registry import get_exercise

CELL_LIMIT_S = 30.0
JUDGE_LIMIT_S = 30.0  # of one verdict, whatever values come back
VISIBLE, HIDDEN = "visible", "hidden"
MAX_MESSAGE = 600  # characters
OWN_CALL = re.compile(rf"([\w.]+) {OWN_ANSWER} [\d.]+")
DEFINED = re.compile(r"^def +(\w+)|^(\w+) *= *lambda\b", re.MULTILINE)
MISSING_PACKAGE = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
WRONG_FOR_HIDDEN = (
    "right for the inputs of the notebook's check, but not for others that are drawn in the same"
    " way; `check` in the notebook looks for a small example"
)
NAME_ERROR_ADVICE = (
    ". The notebook is run from top to bottom as far as the check of this exercise; imports and"
    " helper functions are safest in the cell that needs them"
)


@dataclass(frozen=True)
class Mark:
    """The points for one exercise, and why."""

    id: str
    points: int | None  # None where the answer could not be judged, which is no fault of its author
    of: int  # points that a right answer gets
    message: str = ""  # for the student; empty for a right answer
    flag: str = ""  # for whoever grades; empty where there is nothing to look at

    @property
    def passed(self) -> bool:
        return self.points == self.of


def hidden_seeds(seed: int) -> tuple[int, ...]:
    """Seeds of the inputs that students do not see.

    Inputs come in kinds, by the seed modulo 2 or 3. The notebook's checks (0, 1, 2) and these three
    together have all combinations, so that other hidden seeds ask for no less.
    """
    base = 6 * int(np.random.default_rng(seed).integers(10**6, 10**8))
    return tuple(base + i for i in (3, 4, 5))


def make_job(
    submission: Submission,
    ids: list[str],
    labkit_paths: dict[str, Path],
    seed: int,
    cell_limit_s: float = CELL_LIMIT_S,
) -> dict:
    """What `execution.job.execute` needs to call the answers to `ids`, as far as there are any."""
    notebooks, inputs = {}, {}
    for id in ids:
        if id in submission.answers:
            exercise, labkit_path = get_exercise(id), str(labkit_paths[id])
            notebooks[id] = answer_notebook(
                exercise, submission.programs[id], labkit_path, (VISIBLE, HIDDEN)
            )
            for name, seeds in ((VISIBLE, SEEDS), (HIDDEN, hidden_seeds(seed))):
                inputs[f"{id}-{name}"] = dumps([exercise.inputs(s) for s in seeds])
    return {"notebooks": notebooks, "inputs": inputs, "cell_limit_s": cell_limit_s}


def mark(id: str, submission: Submission, result: dict, seed: int) -> Mark:
    """Judge one exercise. `result` is whatever a job with its answer gave; it is not trusted."""
    exercise = get_exercise(id)
    if id not in submission.answers:
        name = course_names()[notebook_number(id)]
        return _wrong(exercise, submission.problems.get(id, f"not handed in: {name}"))
    returned = result.get("returned") if isinstance(result.get("returned"), dict) else {}
    told = result.get("witnessed") if isinstance(result.get("witnessed"), dict) else {}
    visible, hidden = (
        _verdict(exercise, returned.get(f"{id}-{name}"), seeds, told.get(f"{id}-{name}"))
        for name, seeds in ((VISIBLE, SEEDS), (HIDDEN, hidden_seeds(seed)))
    )
    if visible is not None and hidden is not None and visible.passed and hidden.passed:
        return Mark(id, exercise.points, exercise.points)
    cells, points = _failed_cells(id, result), 0
    errors = [cell.get("error") for cell in cells if not _is_hidden(id, cell)]
    hidden_errors = [cell.get("error") for cell in cells if _is_hidden(id, cell)]
    if visible is not None and hidden is not None:
        hidden_errors.append(hidden.message)
        points = worst((visible, hidden)).points
    if visible is not None and not visible.passed:
        message = visible.message
    elif any(f"{exercise.function} {NOT_DEFINED}" in str(error)[:MAX_MESSAGE] for error in errors):
        message = _other_name(exercise, submission.answers[id])
    else:
        message = WRONG_FOR_HIDDEN if visible and hidden else _what_happened(id, result)
    return _wrong(exercise, message, errors, hidden_errors, points)


def not_judged(id: str, message: str, flag: str) -> Mark:
    """The mark of an answer that could not be judged, for no fault of its author."""
    return Mark(id, None, get_exercise(id).points, message, flag)


def _wrong(
    exercise: Exercise,
    message: str,
    errors: Iterable[object] = (),
    hidden_errors: Iterable[object] = (),
    points: int = 0,
) -> Mark:
    """No points but those of the parts that are right. Errors may betray what the answer called, or
    that a package is missing here; of those over hidden inputs nothing is for the student.
    """
    message = tidy(message)
    visible = [message, *map(tidy, errors)]
    # One by one and each cut short: searching a text of megabytes would take forever.
    calls = (OWN_CALL.search(text) for text in (*visible, *map(tidy, hidden_errors)))
    call = next(filter(None, calls), None)
    if call:
        is_answer = any(f".{name}".endswith(f".{call[1]}") for name in exercise.instead_of)
        function = call[1] if is_answer else "answer"
        return Mark(
            exercise.id,
            0,
            exercise.points,
            f"the answer calls labkit's own {function}; write it yourself",
            f"{exercise.id} calls labkit's own {function}",
        )
    missing = next(filter(None, map(MISSING_PACKAGE.search, visible)), None)
    if missing and not missing[1].startswith("labkit") and not _is_installed(missing[1]):
        return not_judged(
            exercise.id,
            f"the answer needs {missing[1]}, which is not installed where it was run; this may be"
            " no fault of yours",
            f"{exercise.id} not judged: it needs {missing[1]}, which is not installed here",
        )
    if "NameError" in message:
        message += NAME_ERROR_ADVICE
    return Mark(exercise.id, points, exercise.points, message)


def _other_name(exercise: Exercise, source: str) -> str:
    """What is said of a cell that runs and does not define the function. It is searched and not
    parsed: what students made is parsed in a process of its own.
    """
    names = list(dict.fromkeys(found[1] or found[2] for found in DEFINED.finditer(source)))
    named = ", ".join(names[:3]) + (" and others" if names[3:] else "")
    where, function = f"the cell of exercise {exercise.id}", exercise.function
    if not names:
        return f"{where} defines no function; it should define {function}"
    its = "its name" if len(names) == 1 else "the name of the answer"
    return f"{where} defines {named}; {its} must be {function}"


def _is_installed(name: str) -> bool:
    """Whether a module that is said to be missing is here. A part of a package would have to be
    imported to know.
    """
    try:
        return "." not in name and find_spec(name) is not None
    except ValueError:  # as for __main__
        return True


def tidy(text: object) -> str:
    """A message that may come from student code, as short plain text without control characters."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(text)[: 4 * MAX_MESSAGE])  # colors of a terminal
    text = re.sub(r"[^\S\n]+", " ", text)
    text = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text).strip()
    return text if len(text) <= MAX_MESSAGE else text[:MAX_MESSAGE] + " …"


# ---- verdicts ------------------------------------------------------------------------------------


def _verdict(
    exercise: Exercise, text: object, seeds: tuple[int, ...], told: object = None
) -> Verdict | None:
    """The worst failure among the seeds, or a pass; None where nothing readable came back."""
    if not isinstance(text, str):
        return None
    try:
        check_count(text)
        outcomes = json.loads(text)
    except BadValue as bad:
        return Verdict(False, str(bad))
    except (ValueError, RecursionError):
        outcomes = None
    if not (
        isinstance(outcomes, list)
        and len(outcomes) == len(seeds)
        and all(map(_is_outcome, outcomes))
    ):
        return None
    notes = as_notes(told, len(seeds))
    return worst(map(partial(_judged, exercise), outcomes, seeds, notes))


def _is_outcome(outcome: object) -> bool:
    return (
        isinstance(outcome, dict)
        and isinstance(outcome.get("returned"), str)
        and isinstance(outcome.get("error"), str | None)
    )


def _judged(exercise: Exercise, outcome: dict, seed: int, notes: list[Note]) -> Verdict:
    if outcome["error"] is not None:
        return Verdict(False, outcome["error"])
    try:
        with time_limit(JUDGE_LIMIT_S):
            return judge(exercise, Outcome(loads(outcome["returned"]), notes=notes), seed)
    except BadValue as bad:
        return Verdict(False, str(bad))
    except Exception as error:  # over values that no run returns a judge may raise anything
        return Verdict(False, f"what came back cannot be judged ({type(error).__name__})")


def _failed_cells(id: str, result: dict) -> list[dict]:
    """What is known of the student's cells that failed. It may have come from student code."""
    cells = result.get("cells") if isinstance(result.get("cells"), list) else []
    return [
        cell
        for cell in cells
        if isinstance(cell, dict)
        and cell.get("notebook") == id
        and not cell.get("ok")
        and cell.get("role") in ("other", "answer", "call")
    ]


def out_of_time(id: str, result: dict) -> bool:
    """Whether the run of an answer was cut short by a limit of time."""
    in_a_cell = any(cell.get("how") == "timeout" for cell in _failed_cells(id, result))
    return in_a_cell or result.get("out_of_time") is True


def _is_hidden(id: str, cell: dict) -> bool:
    return cell.get("inputs") == f"{id}-{HIDDEN}"


def _what_happened(id: str, result: dict) -> str:
    """Why an answer returned nothing, from what its cells did."""
    for cell in _failed_cells(id, result):
        places = {"other": "a cell that the answer needs", "answer": "the cell"}
        where = places.get(cell["role"], get_exercise(id).function)
        if cell.get("how") == "timeout":
            limit = result.get("cell_limit_s")
            within = f" within {limit:g} s" if isinstance(limit, (int, float)) else ""
            calls = f", for {len(SEEDS)} sets of inputs together" if cell["role"] == "call" else ""
            return f"{where} did not come to an end{within}{calls}"
        if cell.get("how") == "died":
            return (
                f"the kernel died while {where} ran: it left Python, crashed, or used too much"
                " memory"
            )
        if _is_hidden(id, cell):
            return WRONG_FOR_HIDDEN
        if cell.get("error") and cell["role"] != "other":
            return f"{where} raised {cell['error']}"
    return str(
        result.get("ended")
        or "nothing came back: the answer left Python, or kept its results from being read"
    )
