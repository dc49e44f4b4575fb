"""Grade hand-ins: each in confined processes, several at a time, judged after those are gone.

    grade([Path("submissions")], Path("grades.csv"))

writes grades.csv, grades.json and a folder `grades` with the class report, a feedback file for each
student and the results that a later run goes on from.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import secrets
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from labkit.course.checking.answer_run import course_view, make_plan
from labkit.course.confinement.fork_server import ForkServer, try_walls
from labkit.course.confinement.limits import RunLimits, processors
from labkit.course.confinement.orderly_end import be_a_worker, end_workers, ends_in_order
from labkit.course.confinement.walls import Walls
from labkit.course.exercises.exercise import notebook_number
from labkit.course.gradebook.by_hand import lines_by_student, read_by_hand
from labkit.course.gradebook.terms import Terms
from labkit.course.grading.grade_files import keep_seed, read_seed, write_reports
from labkit.course.grading.graded_run import GradingPlan, add_failure, grade_hand_in
from labkit.course.grading.reference import require_full_reference
from labkit.course.grading.result_store import ResultStore, grader_hash, is_current
from labkit.course.hand_ins.collect import HandIn, collect
from labkit.course.handout.free_text import written_tasks
from labkit.course.judges.registry import TOPICS, exercises_of, get_exercise
from labkit.storage.atomic_write import check_room
from labkit.storage.errors import LabError
from labkit.storage.paths import data_dir


class Task(NamedTuple):
    """What is to be graded of one hand-in."""

    hand_in: HandIn
    ids: list[str]
    result: dict  # with the marks that hold already
    seed: int  # of the hidden inputs


def grade(
    paths: Iterable[Path],
    out: Path,
    *,
    only: Iterable[str] = (),
    students: Iterable[str] = (),
    notebook: int | None = None,
    per_student_inputs: bool = False,
    one_student: str = "",
    reference_first: bool = True,
    terms: Terms | None = None,
    jobs: int | None = None,
    seed: int | None = None,
    limits: RunLimits | None = None,
    progress: bool = True,
    without_walls: bool = False,
) -> dict:
    """Grade, write the reports, and return what grades.json holds.

    `only` regrades these exercises, and `students` these students; other marks are left as they
    were. `notebook` is the number of the only one that is graded, whatever else was handed in.
    Without `seed` that of an earlier run into `out` is used, else a new one is drawn; with
    `per_student_inputs` each student gets one that follows from it and the student's name. With
    `one_student`, a name, all hand-ins are that student's. `reference_first` is False where there
    are no solutions to grade first. Raises ValueError for an unknown exercise or student or a path
    that is not there, FileExistsError if `out` or the .json beside it is there and is not of an
    earlier run, LabError if the reference hand-in does not get all points, where an answer could
    read what was handed in, and where this system does not confine answers, unless that is accepted
    by `without_walls`.
    """
    paths = list(paths)
    for path in (*paths, out):
        refuse_what_answers_can_read(Path(path))
    out, limits, only = Path(out), limits or RunLimits(), list(only)
    terms = terms or Terms()
    folder = out.with_suffix("")
    earlier_seed = read_seed(out)
    for id in only:
        get_exercise(id)
    collection = collect(
        paths,
        (out, out.with_suffix(".json"), folder),
        notebook,
        terms.roster.identify if terms.roster else lambda name, id: {},
        one_student,
    )
    hand_ins, students = collection.hand_ins, set(students)
    if not hand_ins:
        raise ValueError("no notebooks were found; give files, or folders that hold them")
    by_hand = lines_by_student(
        read_by_hand(terms.by_hand) if terms.by_hand else [],
        [(hand_in.student, hand_in.id) for hand_in in hand_ins],
    )
    unknown = students - {hand_in.student for hand_in in hand_ins}
    if unknown:
        raise ValueError(f"no student is called {', '.join(map(repr, sorted(unknown)))}")
    seed = earlier_seed if seed is None else seed
    seed = secrets.randbelow(2**31) if seed is None else seed
    numbers = {number for hand_in in hand_ins for number in hand_in.submission.notebooks}
    numbers |= set(map(notebook_number, only))
    numbers = numbers if notebook is None else {notebook}
    ids = [id for number in sorted(numbers & set(TOPICS)) for id in exercises_of(number)]
    # Written tasks count for everybody where they are graded: a heading that is lost is no way out.
    written = any(text.task for hand_in in hand_ins for text in hand_in.texts)
    if notebook is not None:
        written = notebook in set(map(notebook_number, written_tasks()))
    store, grader = ResultStore(folder / "results"), grader_hash(limits)
    results, tasks = {}, []
    for hand_in in hand_ins:
        result = store.load(hand_in.student, hand_in.digest)
        results[hand_in.student] = result
        its_seed = student_seed(seed, hand_in.student) if per_student_inputs else seed
        outdated = [id for id in ids if not is_current(result, id, its_seed, grader)]
        selected = [id for id in ids if id in (only or ids)] if only or students else outdated
        if selected and hand_in.student in (students or results):
            tasks.append(Task(hand_in, selected, result, its_seed))
    jobs = jobs or os.cpu_count() or 1
    check_room(out)
    graded = grade_all(tasks, grader, limits, jobs, progress, reference_first, without_walls)
    for number, result in enumerate(graded):
        if not number:  # not before: where grading is refused, nothing is written
            keep_seed(out, seed)
        results[result["student"]] = result
        if not result.pop("failure", None):
            store.save(result)
    return write_reports(
        out,
        folder,
        collection,
        results,
        ids,
        written=written,
        terms=terms,
        by_hand=by_hand,
        seed=seed,
        grader=grader,
        limits=asdict(limits),
    )


def student_seed(seed: int, student: str) -> int:
    """The seed of one student's hidden inputs, where each has others: the same for a name again.

    What one student learns of the inputs says nothing of another's.
    """
    digest = hashlib.sha256(f"{seed}:{student}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def refuse_what_answers_can_read(path: Path) -> None:
    """Raise LabError for a path in a tree of files that every answer may read."""
    tree = course_view().tree_around(path)
    if tree is not None:
        raise LabError(
            f"{path} lies in {tree}, which answers may read because Python or the course needs it:"
            " move it elsewhere"
        )


def raise_walls(server: ForkServer, progress: bool, without_walls: bool) -> Walls:
    """The walls that are up, which are shown. Raises LabError if they are not enough and not
    accepted by `without_walls`.
    """
    walls = try_walls(server, course_view())
    if progress or not walls.closed:
        tqdm.write("\n".join(walls.lines()), file=sys.stderr)
    if not walls.closed and not without_walls:
        raise LabError(
            "this system does not confine answers: one could read and change what you can. Grade"
            " where it does (docs/grading.md says how), or in a virtual machine that holds nothing"
            " else, with --without-walls\n"
            + "\n".join(line for line in walls.lines() if not line.startswith("up"))
        )
    return walls


def grade_all(
    tasks: list[Task],
    grader: str,
    limits: RunLimits,
    jobs: int,
    progress: bool,
    reference_first: bool = True,
    without_walls: bool = False,
) -> Iterable[dict]:
    """Results as they come in; raises LabError if the reference hand-in does not get all points.

    A process of the pool that dies (out of memory, say) takes the pool along. What was not graded
    by then is graded in pools of one hand-in each, so that only the one that kills its process
    stays without a grade.
    """
    if not tasks:
        return
    numbers = sorted({notebook_number(id) for task in tasks for id in task.ids})
    with (
        ends_in_order(),
        ForkServer({"LABKIT_DATA": str(data_dir())}) as server,
        tqdm(desc="grading", total=len(tasks), unit="student", disable=not progress) as bar,
    ):
        run_plan = make_plan(server.folder / "copies", numbers, 0, limits)
        walls = raise_walls(server, progress, without_walls)
        plan = GradingPlan(replace(run_plan, namespaces=walls.namespaces), grader)
        if reference_first:
            ids = {id for task in tasks for id in task.ids}
            require_full_reference(ids, replace(plan.run, seed=tasks[0].seed), server.address)
        remaining = {task.hand_in.student: task for task in tasks}
        for result in _in_pool(tasks, plan, server.address, jobs):
            del remaining[result["student"]]
            bar.update()
            yield result
        for task in remaining.values():
            results = list(_in_pool([task], plan, server.address, 1))
            if not results:
                failure = "the process that graded it died, perhaps for lack of memory"
                its_plan = plan._replace(run=replace(plan.run, seed=task.seed))
                add_failure(task.result, task.ids, its_plan, failure)
            bar.update()
            yield results[0] if results else task.result


def _in_pool(tasks: list[Task], plan: GradingPlan, address: str, jobs: int) -> Iterable[dict]:
    """Results as they come in; after the death of a process no more of them."""
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    cores = processors()
    workers = min(jobs, len(tasks), len(cores) or jobs)
    shares = context.SimpleQueue()
    for i in range(workers):
        shares.put(cores[i::workers])
    with ProcessPoolExecutor(workers, context, be_a_worker, (shares,)) as pool:
        futures = []
        try:
            with suppress(BrokenProcessPool):  # it may die while tasks are still handed to it
                for task in tasks:
                    futures.append(pool.submit(grade_hand_in, *task, plan, address))
            for future in as_completed(futures):
                if not isinstance(future.exception(), BrokenProcessPool):
                    yield future.result()
        except BaseException:  # told to end
            end_workers()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
