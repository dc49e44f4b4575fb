"""How long grading takes: one submission on one core, and a class on several, beside the sum of its
submissions.

    python benchmarks/grading_throughput.py [--notebook 1] [--students 60] [--jobs 2]
        [--record results/grading.json]

Each student hands in the instructor's solutions of one notebook, with a comment of his or her own
in each answer, so that no two answers are equal. What is shown, in seconds: one submission, run and
judged, alone on the machine (the mean of a few one after another), wall and core time; what a run
costs besides its submissions (the process that imports torch for all of them, copies of labkit, the
reference hand-in, reports); what a kernel's start costs, forked and started anew; and the wall time
of the class, all included, against the sum of its submissions over the jobs: as they took in the
class, and as they take alone. At most 1.1 is aimed for. From the class follows what 300 hand-ins
take, in minutes; at most 30 are aimed for. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import mean

from nbval.kernel import CURRENT_ENV_KERNEL_NAME, RunningKernel

from labkit.course.grading.grade import grade
from labkit.course.handout.notebook_file import as_text, cell_source, read, source_lines
from labkit.course.handout.student_copy import INSTRUCTOR, exercise_ids
from labkit.course.judges.registry import TOPICS
from labkit.storage.atomic_write import write_atomic

ALONE = 3  # submissions that are graded one after another, to know what one takes


def hand_ins(folder: Path, notebook: int, count: int) -> Path:
    path = next(INSTRUCTOR.glob(f"{notebook:02}_*.ipynb"))
    folder.mkdir()
    for i in range(count):
        copy = read(path)
        for cell in copy["cells"]:
            if exercise_ids(cell_source(cell)):
                cell["source"] = source_lines(f"{cell_source(cell)}\n# student {i}")
        (folder / f"student{i:03}.ipynb").write_text(as_text(copy), encoding="utf-8")
    return folder


def timed(folder: Path, notebook: int, count: int, jobs: int) -> tuple[float, list[dict]]:
    """Wall seconds of grading `count` equal hand-ins, all that is started included, and what each
    run took.
    """
    started = time.perf_counter()
    grades = grade(
        [hand_ins(folder / "in", notebook, count)], folder / "grades.csv", seed=1, jobs=jobs
    )
    seconds = time.perf_counter() - started
    assert all(one["total"] == one["of"] > 0 for one in grades["students"]), (
        "a reference solution lost points"
    )
    return seconds, [one["runs"][TOPICS[notebook]] for one in grades["students"]]


def started_kernel_s(count: int = 3) -> float:
    """Seconds until a kernel that is started anew, as nbval does it, has imported torch."""
    durations = []
    for _ in range(count):
        started = time.perf_counter()
        kernel = RunningKernel(CURRENT_ENV_KERNEL_NAME)
        kernel.await_reply(kernel.execute_cell_input("import torch"), timeout=120)
        durations.append(time.perf_counter() - started)
        kernel.stop()
    return mean(durations)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--notebook", type=int, default=1)
    parser.add_argument("--students", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as many:
        alone_s, single = timed(Path(one), options.notebook, ALONE, 1)
        class_s, runs = timed(Path(many), options.notebook, options.students, options.jobs)
    one_s, total = mean(run["seconds"] for run in single), sum(run["seconds"] for run in runs)
    result = {
        "notebook": options.notebook,
        "students": options.students,
        "jobs": options.jobs,
        "cores": os.cpu_count(),
        "one_submission_s": one_s,
        "one_submission_core_s": mean(run["cpu_s"] for run in single),
        "besides_submissions_s": alone_s - ALONE * one_s,
        "class_s": class_s,
        "class_core_s": sum(run["cpu_s"] for run in runs),
        # What is spent once is not multiplied.
        "300_hand_ins_min": (
            alone_s - ALONE * one_s + 300 * total / options.students / options.jobs
        )
        / 60,
        "sum_of_submissions_s": total,
        "ratio": class_s / (total / options.jobs),
        "ratio_to_alone": class_s / (options.students * one_s / options.jobs),
        "forked_kernel_s": mean(mean(run["kernel_start_s"]) for run in runs),
        "started_kernel_s": started_kernel_s(),
    }
    for name, value in result.items():
        print(f"{name:<24}{value:.3f}" if isinstance(value, float) else f"{name:<24}{value}")
    if options.record:
        write_atomic(
            options.record, lambda path: path.write_text(json.dumps(result, indent=1) + "\n")
        )


if __name__ == "__main__":
    main()
