"""One hand-in: its answers run, each confined and on its own, and marks from what came back."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from labkit.course.checking.marking import Mark, make_job, mark
from labkit.course.checking.stripped_copy import PACKAGE, write_copies
from labkit.course.checking.submission import Submission
from labkit.course.confinement.fork_server import run_job
from labkit.course.confinement.walls import RunLimits
from labkit.course.exercises.exercise import notebook_number
from labkit.course.grading.result_store import entry
from labkit.course.hand_ins.collect import HandIn
from labkit.course.judges.registry import TOPICS, exercises_of, get_exercise
from labkit.storage.paths import data_dir

# Of the checkout, where it lies in what a submission may read.
HIDDEN_FOLDERS = ("labkit", "notebooks", "tests", ".git", "runs")


@dataclass(frozen=True)
class GradingPlan:
    """What all hand-ins of a grading have in common; handed to the processes of the pool."""

    labkit_paths: dict[str, Path]  # exercise id -> where its kernel finds labkit
    readable: list[Path]  # folders that a submission may read
    hidden: list[Path]  # folders in them that it may not
    seed: int
    grader: str
    limits: RunLimits


def make_plan(
    folder: Path, numbers: Iterable[int], seed: int, grader: str, limits: RunLimits
) -> GradingPlan:
    """A plan for some notebooks; writes the copies of labkit for their exercises to `folder`."""
    folder.chmod(0o755)
    labkit_paths = {}
    for number in numbers:
        labkit_paths |= write_copies(folder / TOPICS[number], number, list(exercises_of(number)))
    readable = [Path(sys.prefix), Path(sys.base_prefix), data_dir(), folder]
    hidden = [PACKAGE, *(PACKAGE.parent / name for name in HIDDEN_FOLDERS)]
    return GradingPlan(labkit_paths, readable, hidden, seed, grader, limits)


def grade_hand_in(
    hand_in: HandIn, ids: list[str], result: dict, seed: int, plan: GradingPlan, address: str
) -> dict:
    """`result` with the marks of exercises `ids` of one hand-in, on the hidden inputs of `seed`.
    Whatever goes wrong is said in it; other hand-ins are not touched.
    """
    plan = replace(plan, seed=seed)
    for number, group in groupby(sorted(ids, key=notebook_number), notebook_number):
        notebook_ids = list(group)
        start_s, start_cpu_s = time.monotonic(), time.process_time()
        try:
            replies = run_confined(hand_in.submission, notebook_ids, plan, address)
            marks = [
                mark(id, hand_in.submission, replies.get(id, {}), plan.seed) for id in notebook_ids
            ]
            run = _summary(replies)
            run["seconds"] = time.monotonic() - start_s
            run["cpu_s"] += time.process_time() - start_cpu_s
        except Exception:
            add_failure(result, notebook_ids, plan, traceback.format_exc())
        else:
            result["runs"][TOPICS[number]] = run
            result["marks"] |= {one.id: entry(one, plan.seed, plan.grader) for one in marks}
    return result


def run_confined(
    submission: Submission, ids: list[str], plan: GradingPlan, address: str
) -> dict[str, dict]:
    """Run the answers to `ids` of one notebook, each in a confined process of its own; replies by
    exercise id.

    So nothing that an answer does can reach another one. Raises RuntimeError where the confined
    process failed before an answer ran.
    """
    replies, limit_s = {}, plan.limits.submission_s
    end = time.monotonic() + limit_s
    for id in ids:
        job = make_job(submission, [id], plan.labkit_paths, plan.seed, plan.limits.cell_s)
        if not job["notebooks"]:
            continue
        remaining_s = end - time.monotonic()
        if remaining_s < 1:
            replies[id] = {"ended": f"the exercises before it took more than {limit_s:g} s"}
            continue
        limits = replace(plan.limits, submission_s=remaining_s)
        replies[id] = run_job(address, job, limits, plan.readable, plan.hidden)
        if "failure" in replies[id]:
            raise RuntimeError(replies[id]["failure"])
    return replies


def add_failure(result: dict, ids: list[str], plan: GradingPlan, failure: str) -> None:
    """Say in `result` that exercises could not be graded because of the grader, not the student.
    Such a result is not stored, so that the next run tries again.
    """
    result["failure"] = failure
    for id in ids:
        failed = Mark(
            id,
            0,
            get_exercise(id).points,
            "could not be graded because of a failure in the grader; this is no fault of yours",
            f"{id} not graded: run again",
        )
        result["marks"][id] = entry(failed, plan.seed, plan.grader)
        result["runs"][TOPICS[notebook_number(id)]] = {"failure": failure}


def _summary(replies: dict[str, dict]) -> dict:
    """How one notebook was confined, and what its runs took on a core."""
    starts = [reply.get("kernel_start_s") for reply in replies.values()]
    seconds = [value for start in starts if isinstance(start, dict) for value in start.values()]
    return {
        "cpu_s": sum(reply.get("cpu_s", 0) for reply in replies.values()),
        "walls": "; ".join(sorted({r["walls"] for r in replies.values() if "walls" in r})),
        "kernel_start_s": [value for value in seconds if isinstance(value, float)],
    }
