"""From answers to marks: the job that is run, and what its result is worth once no student code
runs any more.

Each answer is called on two sets of inputs: those of the notebook's own checks, which students see,
and others. It is right if both are. What a student is told comes from the first set only, and what
an answer says about that is taken before it meets the second: no message can show inputs or values
that are hidden.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labkit.course.checking.assembly import assemble, course_names
from labkit.course.checking.confined_copy import OWN
from labkit.course.checking.submission import Submission
from labkit.course.checking.time_limit import time_limit
from labkit.course.exercises import plain_values
from labkit.course.exercises.exercise import SEEDS, Exercise, Outcome, Verdict
from labkit.course.exercises.trial import judge
from labkit.course.judges.registry import get_exercise

CELL_LIMIT_S = 30.0
JUDGE_LIMIT_S = 30.0  # of one verdict, whatever values come back
SHOWN, HIDDEN = "shown", "hidden"
LONGEST = 600  # characters of a message
UNSEEN = (
    "right for the inputs of the notebook's check, but not for others that are drawn in the"
    " same way"
)


@dataclass(frozen=True)
class Mark:
    """What an exercise is worth, and why. `flag` is for whoever grades, empty where there is
    nothing to see.
    """

    id: str
    points: int
    of: int
    message: str = ""
    flag: str = ""

    @property
    def passed(self) -> bool:
        return self.points == self.of


def hidden_seeds(seed: int) -> tuple[int, ...]:
    """Seeds of the inputs that students do not see.

    Inputs come in kinds, by the seed modulo 2 or 3. The notebook's checks (0, 1, 2) and these three
    together have all combinations, so that a check with other hidden seeds asks for no less.
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
    """What `running.execute` needs to call the answers to `ids`, those that there are."""
    notebooks, inputs = {}, {}
    for id in ids:
        if id in submission.answers:
            exercise = get_exercise(id)
            notebooks[id] = assemble(
                exercise,
                submission.answers,
                str(labkit_paths[id]),
                (SHOWN, HIDDEN),
                submission.elsewhere,
            )
            for name, seeds in ((HIDDEN, hidden_seeds(seed)), (SHOWN, SEEDS)):
                inputs[f"{id}-{name}"] = plain_values.dumps([exercise.inputs(s) for s in seeds])
    return {"notebooks": notebooks, "inputs": inputs, "cell_limit_s": cell_limit_s}


def mark(id: str, submission: Submission, result: dict, seed: int) -> Mark:
    """Judge one exercise. `result` is whatever came back of a job with its answer; it is not
    trusted.
    """
    exercise = get_exercise(id)
    if id not in submission.answers:
        name = course_names()[int(id.partition(".")[0])]
        return _wrong(exercise, submission.problems.get(id, f"not handed in: {name}"))
    returned = result.get("returned") if isinstance(result.get("returned"), dict) else {}
    shown = _verdict(exercise, returned.get(f"{id}-{SHOWN}"), SEEDS)
    hidden = _verdict(exercise, returned.get(f"{id}-{HIDDEN}"), hidden_seeds(seed))
    if shown and hidden and shown.passed and hidden.passed:
        return Mark(id, exercise.points, exercise.points)
    if shown is None or hidden is None:
        return _wrong(exercise, _what_happened(id, result))
    return _wrong(exercise, UNSEEN if shown.passed else shown.message, hidden.message)


def _wrong(exercise: Exercise, message: str, unseen: str = "") -> Mark:
    message = tidy(message)
    own = re.search(rf"([\w.]+) {OWN} [\d.]+", f"{message} {unseen}")
    if own:
        name = next(
            (own[1] for dotted in exercise.instead_of if f".{dotted}".endswith(f".{own[1]}")),
            "answer",
        )
        return Mark(
            exercise.id,
            0,
            exercise.points,
            f"the answer calls labkit's own {name}; write it yourself",
            f"{exercise.id} calls labkit's own {name}",
        )
    if "NameError" in message:
        message += (
            ". The cell is run with what the course's cells, your other answers and your other"
            " cells define; imports and helper functions are safest in the cell that needs them"
        )
    return Mark(exercise.id, 0, exercise.points, message)


def tidy(text: object) -> str:
    """A message that may come from student code, as short plain text without control characters."""
    text = re.sub(r"[^\S\n]+", " ", re.sub(r"\x1b\[[0-9;]*m", "", str(text)[: 4 * LONGEST]))
    text = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text).strip()
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"


# ---- verdicts ------------------------------------------------------------------------------------


def _verdict(exercise: Exercise, text: object, seeds: tuple[int, ...]) -> Verdict | None:
    """The first failure among the seeds, or a pass; None where nothing readable came back."""
    if not isinstance(text, str):
        return None
    try:
        plain_values.check_count(text)
        outcomes = json.loads(text)
    except plain_values.BadValue as bad:
        return Verdict(False, str(bad))
    except (ValueError, RecursionError):
        outcomes = None
    if not (
        isinstance(outcomes, list)
        and len(outcomes) == len(seeds)
        and all(map(_is_outcome, outcomes))
    ):
        return None
    for outcome, seed in zip(outcomes, seeds):
        verdict = _judged(exercise, outcome, seed)
        if not verdict.passed:
            return verdict
    return Verdict(True, "")


def _is_outcome(outcome: object) -> bool:
    return (
        isinstance(outcome, dict)
        and isinstance(outcome.get("returned"), str)
        and isinstance(outcome.get("error"), str | None)
    )


def _judged(exercise: Exercise, outcome: dict, seed: int) -> Verdict:
    if outcome["error"] is not None:
        return Verdict(False, outcome["error"])
    try:
        with time_limit(JUDGE_LIMIT_S):
            return judge(exercise, Outcome(plain_values.loads(outcome["returned"])), seed)
    except plain_values.BadValue as bad:
        return Verdict(False, str(bad))
    except (
        Exception
    ) as error:  # values that no run makes can fail a judge anywhere; none of them is an answer
        return Verdict(False, f"what came back cannot be judged ({type(error).__name__})")


def _what_happened(id: str, result: dict) -> str:
    """Why an answer returned nothing, from what its cells did."""
    cells = result.get("cells") if isinstance(result.get("cells"), list) else []
    failed = [
        cell
        for cell in cells
        if isinstance(cell, dict)
        and cell.get("notebook") == id
        and not cell.get("ok")
        and cell.get("role") in ("answer", "call")
    ]
    for cell in failed:
        where = "the cell" if cell["role"] == "answer" else get_exercise(id).function
        if cell.get("how") == "timeout":
            limit = result.get("cell_limit_s")
            within = f" within {limit:g} s" if isinstance(limit, (int, float)) else ""
            return f"{where} did not come to an end{within}"
        if cell.get("how") == "died":
            return (
                f"the kernel died while {where} ran: it left Python, crashed, or used too much"
                " memory"
            )
        if cell.get("inputs") == f"{id}-{HIDDEN}":
            return UNSEEN
        if cell.get("error"):
            return f"{where} raised {cell['error']}"
    return str(
        result.get("ended")
        or "nothing came back: the answer left Python, or kept its results from being read"
    )
