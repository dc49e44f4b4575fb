"""Run a student's answers, each confined and on its own, and mark them: the one way for whoever
wants to know what an answer is worth.

    with ForkServer(...) as server:
        plan = make_plan(folder, submission.notebooks, seed, RunLimits())
        marks, replies = marks_of(submission, ids, plan, server.address)
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from labkit.course.checking.marking import Mark, make_job, mark, not_judged
from labkit.course.checking.stripped_copy import PACKAGE, write_copies
from labkit.course.checking.submission import Submission
from labkit.course.confinement.file_view import FileView, python_view
from labkit.course.confinement.fork_server import run_job
from labkit.course.confinement.limits import RunLimits
from labkit.course.judges.registry import TOPICS, exercises_of
from labkit.storage.paths import data_dir

WIDER_LIMIT_S = 60.0  # of a second run
FAILURE = "could not be graded because of a failure in the grader; this is no fault of yours"


@dataclass(frozen=True)
class RunPlan:
    """What all runs of answers have in common."""

    labkit_paths: dict[str, Path]  # exercise id -> where its kernel finds labkit
    view: FileView  # what every run may read, apart from the copy of labkit for its exercise
    seed: int
    limits: RunLimits
    namespaces: bool = True  # whether runs get namespaces of their own


def course_view() -> FileView:
    """What every run may read: Python and the course's data, and labkit nowhere in them."""
    return python_view([PACKAGE]).with_trees(data_dir())


def make_plan(folder: Path, numbers: Iterable[int], seed: int, limits: RunLimits) -> RunPlan:
    """A plan for some notebooks; writes the copies of labkit for their exercises to `folder`."""
    labkit_paths = {}
    for number in numbers:
        labkit_paths |= write_copies(folder / TOPICS[number], number, list(exercises_of(number)))
    return RunPlan(labkit_paths, course_view(), seed, limits)


def marks_of(
    submission: Submission, ids: Iterable[str], plan: RunPlan, address: str
) -> tuple[list[Mark], dict[str, dict]]:
    """The marks of the answers to `ids` of one notebook, and the replies of their runs.

    Each runs in a confined process of its own, forked by the server at `address`, so nothing that
    an answer does can reach another one. An answer that is not right runs once more, if it has one
    of the wider programs. Where the answer could not be looked for, inputs cannot be made, no
    process comes up or a judge fails, that is no fault of the answer: it gets no mark, and its
    reply holds "failure".
    """
    end = time.monotonic() + plan.limits.submission_s
    marks, replies = {}, {}
    for id in ids:
        limit_s = end - time.monotonic()
        marks[id], replies[id] = _marked(submission, id, plan, address, limit_s)
    # Only then, so that no answer can take the time of another one.
    for id, first in marks.items():
        limit_s = min(end - time.monotonic(), WIDER_LIMIT_S)
        # A module that is not found may be one that another of the student's statements writes.
        lost = first.points is None or not (first.passed or first.flag)
        lost &= "failure" not in replies[id]
        if lost and id in submission.wider_programs and limit_s >= 1:
            wider = replace(submission, programs=submission.wider_programs)
            second, reply = _marked(wider, id, plan, address, limit_s)
            if "failure" in reply or (second.points or 0) > (first.points or 0):
                marks[id], replies[id] = second, reply
    return list(marks.values()), replies


def _marked(
    submission: Submission, id: str, plan: RunPlan, address: str, limit_s: float
) -> tuple[Mark, dict]:
    try:
        if failure := submission.failure(id):
            raise RuntimeError(failure)
        reply = run_answer(submission, id, plan, address, limit_s)
        return mark(id, submission, reply, plan.seed), reply
    except Exception:
        failure = {"failure": traceback.format_exc()}
        return not_judged(id, FAILURE, f"{id} not graded: run again"), failure


def run_answer(
    submission: Submission, id: str, plan: RunPlan, address: str, limit_s: float
) -> dict:
    """What came back of a run that may take `limit_s`; empty where there is nothing to run. Raises
    RuntimeError where no answer could have run.
    """
    job = make_job(submission, [id], plan.labkit_paths, plan.seed, plan.limits.cell_s)
    if not job["notebooks"]:
        return {}
    if limit_s < 1:
        whole_s = plan.limits.submission_s
        return {"ended": f"the exercises before it took more than {whole_s:g} s"}
    limits = replace(plan.limits, submission_s=limit_s)
    view = plan.view.with_trees(plan.labkit_paths[id])
    reply = run_job(address, job, limits, view, plan.namespaces)
    if "failure" in reply:
        raise RuntimeError(reply["failure"])
    if not began(reply):
        raise RuntimeError(f"the kernel did not run the first cell: {str(reply)[:2000]}")
    return reply


def began(reply: dict) -> bool:
    """Whether a kernel came up and ran the first cell, which holds nothing of the student's; told
    only by a reply that says what cells did.
    """
    cells = reply.get("cells")
    if not isinstance(cells, list) or not cells or "ended" in reply:
        return True
    first = cells[0]
    return not isinstance(first, dict) or first.get("role") != "course" or bool(first.get("ok"))
