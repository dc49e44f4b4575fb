"""Grade hand-ins: each in a confined process of its own, several at a time, judged after that
process is gone.

    grade([Path("submissions")], Path("grades.csv"))

writes grades.csv, grades.json and a folder `grades` with the class report, a feedback file for each
student and the results that a later run goes on from.
"""

from __future__ import annotations

import multiprocessing
import os
import secrets
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tqdm import tqdm

from labkit.course.checking.marking import Mark, make_job, mark
from labkit.course.checking.stripped_copy import PACKAGE, write_copies
from labkit.course.checking.submission import Submission
from labkit.course.grading.collect import HandIn, collect
from labkit.course.grading.report import read_seed, write_reports
from labkit.course.grading.sandbox import Limits
from labkit.course.grading.store import Store, entry, fresh, grader_hash
from labkit.course.grading.zygote import Zygote, ask
from labkit.course.judges.registry import TOPICS, exercises_of, get_exercise
from labkit.storage.paths import data_dir

HIDDEN = (
    "labkit",
    "notebooks",
    "tests",
    ".git",
    "runs",
)  # of the checkout, should it lie in what can be seen


@dataclass(frozen=True)
class Plan:
    """What all hand-ins of a run have in common; handed to the processes of the pool."""

    labkit_paths: dict[str, Path]
    readable: list[Path]
    hidden: list[Path]
    seed: int
    grader: str
    limits: Limits


def grade(
    paths: Iterable[Path],
    out: Path,
    *,
    only: Iterable[str] = (),
    jobs: int | None = None,
    seed: int | None = None,
    limits: Limits | None = None,
    progress: bool = True,
) -> dict:
    """Grade, write the reports, and return what grades.json holds.

    `only` regrades these exercises and leaves other marks as they were. Without `seed` that of an
    earlier run into `out` is used, else a new one is drawn. Raises ValueError for an unknown
    exercise or a path that is not there, FileExistsError if `out` or the .json beside it is there
    and is not of an earlier run.
    """
    out, limits = Path(out), limits or Limits()
    earlier = read_seed(out)
    folder, only = out.with_suffix(""), list(only)
    wanted = {id: get_exercise(id) for id in only}
    hand_ins = collect(paths, leave_out=(out, out.with_suffix(".json"), folder))
    if not hand_ins:
        raise ValueError("no notebooks were found; give files, or folders that hold them")
    seed = earlier if seed is None else seed
    seed = secrets.randbelow(2**31) if seed is None else seed
    numbers = sorted(
        {number for one in hand_ins for number in one.submission.notebooks}
        | {int(id.partition(".")[0]) for id in only}
    )
    ids = [id for number in numbers for id in exercises_of(number)]
    store, grader = Store(folder / "results"), grader_hash(limits)
    results = {one.student: store.load(one.student, one.digest) for one in hand_ins}
    to_run = {
        one.student: [
            id
            for id in ids
            if (id in wanted if only else not fresh(results[one.student], id, seed, grader))
        ]
        for one in hand_ins
    }
    waiting = [one for one in hand_ins if to_run[one.student]]
    for result in _run_all(
        waiting, to_run, results, seed, grader, limits, jobs or os.cpu_count() or 1, progress
    ):
        results[result["student"]] = result
        if not result.pop("failure", None):
            store.save(result)
    return write_reports(
        out, folder, hand_ins, results, ids, seed=seed, grader=grader, limits=asdict(limits)
    )


def _run_all(
    hand_ins: list[HandIn],
    to_run: dict[str, list[str]],
    results: dict[str, dict],
    seed: int,
    grader: str,
    limits: Limits,
    jobs: int,
    progress: bool,
) -> Iterable[dict]:
    """Results as they come in.

    A process of the pool that dies (out of memory, say) takes the pool along. What was not done by
    then is done in pools of one hand-in each, so that only the one that kills its process stays
    without a grade.
    """
    if not hand_ins:
        return
    numbers = sorted({int(id.partition(".")[0]) for ids in to_run.values() for id in ids})
    with (
        tempfile.TemporaryDirectory(prefix="labkit-grade-") as temporary,
        Zygote({"LABKIT_DATA": str(data_dir())}) as zygote,
        tqdm(desc="grading", total=len(hand_ins), unit="student", disable=not progress) as bar,
    ):
        plan = make_plan(Path(temporary), numbers, seed, grader, limits)
        zygote.wait()  # it has been importing meanwhile
        tasks = {
            one.student: (one, to_run[one.student], results[one.student], plan, zygote.address)
            for one in hand_ins
        }
        for result in _in_pool(list(tasks.values()), jobs):
            del tasks[result["student"]]
            bar.update()
            yield result
        for one, ids, result, *rest in tasks.values():
            done = list(_in_pool([(one, ids, result, *rest)], 1))
            if not done:
                _not_graded(
                    result, ids, plan, "the process that graded it died, perhaps for lack of memory"
                )
            bar.update()
            yield done[0] if done else result


def _in_pool(tasks: list[tuple], jobs: int) -> Iterable[dict]:
    """Results of `_grade_one` as they come in; after the death of a process no more of them."""
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(min(jobs, len(tasks)), context) as pool:
        futures = []
        try:
            with suppress(BrokenProcessPool):  # it may die while tasks are still handed in
                for task in tasks:
                    futures.append(pool.submit(_grade_one, *task))
            for future in as_completed(futures):
                if not isinstance(future.exception(), BrokenProcessPool):
                    yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def make_plan(folder: Path, numbers: Iterable[int], seed: int, grader: str, limits: Limits) -> Plan:
    """A plan for some notebooks; copies of labkit for their exercises are made in `folder`."""
    folder.chmod(0o755)
    paths = {}
    for number in numbers:
        paths |= write_copies(folder / TOPICS[number], number, list(exercises_of(number)))
    readable = [Path(sys.prefix), Path(sys.base_prefix), data_dir(), folder]
    return Plan(
        paths,
        readable,
        [PACKAGE, *(PACKAGE.parent / name for name in HIDDEN)],
        seed,
        grader,
        limits,
    )


def _grade_one(hand_in: HandIn, ids: list[str], result: dict, plan: Plan, address: str) -> dict:
    """Run and judge some exercises of one hand-in. Whatever goes wrong is its result; others are
    not touched.
    """
    for number in dict.fromkeys(int(id.partition(".")[0]) for id in ids):
        of_number = [id for id in ids if int(id.partition(".")[0]) == number]
        started, own_cpu = time.monotonic(), time.process_time()
        try:
            replies = run_confined(hand_in.submission, of_number, plan, address)
            marks = [
                mark(id, hand_in.submission, replies.get(id, {}), plan.seed) for id in of_number
            ]
            run = _summary(replies)
            run |= {
                "seconds": time.monotonic() - started,
                "cpu_s": run["cpu_s"] + time.process_time() - own_cpu,
            }
        except Exception:
            _not_graded(result, of_number, plan, traceback.format_exc())
        else:
            result["runs"][TOPICS[number]] = run
            result["marks"] |= {one.id: entry(one, plan.seed, plan.grader) for one in marks}
    return result


def _not_graded(result: dict, ids: list[str], plan: Plan, failure: str) -> None:
    """Put a failure that is ours, not the student's, into `result`: said so, and not stored, so the
    next run tries.
    """
    result["failure"] = failure
    for id in ids:
        one = Mark(
            id,
            0,
            get_exercise(id).points,
            "could not be graded because of a failure in the grader; this is no fault of yours",
            f"{id} not graded: run again",
        )
        result["marks"][id] = entry(one, plan.seed, plan.grader)
        result["runs"][TOPICS[int(id.partition(".")[0])]] = {"failure": failure}


def run_confined(
    submission: Submission, ids: list[str], plan: Plan, address: str
) -> dict[str, dict]:
    """Run the answers to `ids` of one notebook, each in a confined process of its own; replies by
    exercise id.

    So nothing that an answer does can reach another one. Raises RuntimeError where the confined
    process failed before an answer ran.
    """
    replies, until = {}, time.monotonic() + plan.limits.submission_s
    for id in ids:
        job = make_job(submission, [id], plan.labkit_paths, plan.seed, plan.limits.cell_s)
        left_s = until - time.monotonic()
        if not job["notebooks"]:
            continue
        if left_s < 1:
            replies[id] = {
                "ended": f"the exercises before it took more than {plan.limits.submission_s:g} s"
            }
            continue
        replies[id] = ask(
            address, job, replace(plan.limits, submission_s=left_s), plan.readable, plan.hidden
        )
        if "failure" in replies[id]:
            raise RuntimeError(replies[id]["failure"])
    return replies


def _summary(replies: dict[str, dict]) -> dict:
    """How one notebook was confined, and what its runs took on a core."""
    walls = {str(reply["walls"]) for reply in replies.values() if "walls" in reply}
    starts = [reply.get("kernel_start_s") for reply in replies.values()]
    return {
        "cpu_s": sum(reply.get("cpu_s", 0) for reply in replies.values()),
        "walls": "; ".join(sorted(walls)),
        "kernel_start_s": [
            value
            for start in starts
            if isinstance(start, dict)
            for value in start.values()
            if isinstance(value, float)
        ],
    }
