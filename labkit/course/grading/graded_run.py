"""One hand-in: its answers run, each confined and on its own, and marks from what came back."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

from labkit.course.checking.answer_run import FAILURE, RunPlan, marks_of
from labkit.course.checking.marking import not_judged
from labkit.course.confinement.walls import Walls
from labkit.course.exercises.exercise import notebook_number
from labkit.course.grading.result_store import entry
from labkit.course.hand_ins.collect import HandIn
from labkit.course.judges.registry import TOPICS


class GradingPlan(NamedTuple):
    """What all hand-ins of a grading have in common; handed to the processes of the pool."""

    run: RunPlan
    grader: str  # what grades depend on, apart from hand-in and seed


def grade_hand_in(
    hand_in: HandIn, ids: list[str], result: dict, seed: int, plan: GradingPlan, address: str
) -> dict:
    """`result` with the marks of exercises `ids` of one hand-in, on the hidden inputs of `seed`.
    Whatever goes wrong is said in it; other hand-ins are not touched.
    """
    plan = plan._replace(run=replace(plan.run, seed=seed))
    for number, group in groupby(sorted(ids, key=notebook_number), notebook_number):
        notebook_ids = list(group)
        start_s, start_cpu_s = time.monotonic(), time.process_time()
        marks, replies = marks_of(hand_in.submission, notebook_ids, plan.run, address)
        result["marks"] |= {one.id: entry(one, plan.run.seed, plan.grader) for one in marks}
        failures = {id: reply["failure"] for id, reply in replies.items() if "failure" in reply}
        run = _summary(replies)
        run["seconds"] = time.monotonic() - start_s
        run["cpu_s"] += time.process_time() - start_cpu_s
        if failures:
            result["failure"] = run["failures"] = failures
        result["runs"][TOPICS[number]] = run
    return result


def add_failure(result: dict, ids: list[str], plan: GradingPlan, failure: str) -> None:
    """Say in `result` that exercises could not be graded because of the grader, not the student.
    Such a result is not stored, so that the next run tries again.
    """
    result["failure"] = failure
    for id in ids:
        failed = not_judged(id, FAILURE, f"{id} not graded: run again")
        result["marks"][id] = entry(failed, plan.run.seed, plan.grader)
        result["runs"][TOPICS[notebook_number(id)]] = {"failures": {id: failure}}


def _summary(replies: dict[str, dict]) -> dict:
    """How one notebook was confined, and what its runs took on a core."""
    starts = [reply.get("kernel_start_s") for reply in replies.values()]
    seconds = [value for start in starts if isinstance(start, dict) for value in start.values()]
    return {
        "cpu_s": sum(reply.get("cpu_s", 0) for reply in replies.values()),
        "walls": "; ".join(
            sorted({str(Walls(**r["walls"])) for r in replies.values() if "walls" in r})
        ),
        "kernel_start_s": [value for value in seconds if isinstance(value, float)],
    }
