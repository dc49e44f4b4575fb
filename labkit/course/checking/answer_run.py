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

from labkit.course.checking.marking import Mark, make_job, mark, not_judged, out_of_time
from labkit.course.checking.stripped_copy import PACKAGE, write_copies
from labkit.course.checking.submission import Submission
from labkit.course.confinement.file_view import FileView, python_view
from labkit.course.confinement.fork_server import run_job
from labkit.course.confinement.limits import RunLimits
from labkit.course.judges.registry import TOPICS, exercises_of
from labkit.storage.paths import data_dir

WIDER_LIMIT_S = 60.0  # of a second run
LONGER = 3  # times the limit of a cell, for an answer that runs again because it was held up
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
    an answer does can reach another one. One that ran out of time and hardly had the processor runs
    once more: limits are wall time, which also passes while the machine does something else. An
    answer that is not right runs once more, if it has one of the wider programs. Where the answer
    could not be looked for, inputs cannot be made, no process comes up or a judge fails, that is no
    fault of the answer: it gets no mark, and its reply holds "failure".
    """
    end = time.monotonic() + plan.limits.submission_s
    marks, replies = {}, {}
    for id in ids:
        limit_s = end - time.monotonic()
        marks[id], replies[id] = _marked(submission, id, plan, address, limit_s)
    # Only then, so that no answer can take the time of another one.
    held_up = [id for id in marks if was_held_up(id, replies[id], plan.limits)]
    end = max(end, time.monotonic() + plan.limits.submission_s) if held_up else end
    for id in held_up:
        limit_s = end - time.monotonic()
        marks[id], replies[id] = _marked_again(submission, id, plan, address, limit_s, replies[id])
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


def was_held_up(id: str, reply: dict, limits: RunLimits) -> bool:
    """Whether an answer ran out of time and had the processor for less than half of a cell's limit:
    it waits for something, or the machine was busy. One that was never called had none.
    """
    return out_of_time(id, reply) and reply.get("cpu_s", 0.0) < limits.cell_s / 2


def _marked_again(
    submission: Submission, id: str, plan: RunPlan, address: str, limit_s: float, first: dict
) -> tuple[Mark, dict]:
    """The mark of an answer whose run was held up, from another one with more time. What does not
    come to an end then either is wrong, so that an answer that sleeps is.
    """
    longer = replace(plan.limits, cell_s=LONGER * plan.limits.cell_s)
    mark, reply = _marked(submission, id, replace(plan, limits=longer), address, limit_s)
    if "failure" in reply:
        return mark, reply
    flag = f"{id} ran twice, since at first it was out of time"
    if was_held_up(id, reply, plan.limits):
        flag = (
            f"{id} out of time twice; {_shares(first)}, then {_shares(reply)}: it waits for"
            " something, or this machine is busy, and then grade it again when it is not"
        )
    return replace(mark, flag="; ".join(filter(None, (mark.flag, flag)))), reply


def _shares(reply: dict) -> str:
    cpu_s, seconds = (reply.get(name, 0.0) for name in ("cpu_s", "seconds"))
    return f"it had the processor for {cpu_s:.1f} of {seconds:.0f} s"


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
        ended = f"the exercises before it took more than {whole_s:g} s"
        return {"ended": ended, "out_of_time": True}
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
