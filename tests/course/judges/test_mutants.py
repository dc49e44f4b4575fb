"""Every slip of one line in a solution is rejected, unless it changes nothing that matters."""

import json
import resource
import signal
from pathlib import Path

import pytest
from lab_mutants import mutants

from labkit.course.exercises.exercise import SEEDS
from labkit.course.exercises.trial import try_answer
from labkit.course.handout.notebook_file import cell_source, read
from labkit.course.handout.student_copy import EXERCISE, INSTRUCTOR
from labkit.course.judges.registry import get_exercise

REVIEWED = json.loads(
    (Path(__file__).parents[2] / "support" / "equivalent_mutants.json").read_text(encoding="utf-8")
)
# Bytes beyond what the process has; a mutant that drops nothing from a search would fill memory.
EXTRA_MEMORY = 2 << 30
# A mutant that loops for ever is stopped and counts as rejected; a right answer takes milliseconds.
CPU_SECONDS = 3

ANSWERS = {}
for path in sorted(INSTRUCTOR.glob("*.ipynb")):
    for cell in read(path)["cells"]:
        header = EXERCISE.match(cell_source(cell))
        if header and cell["cell_type"] == "code":
            ANSWERS[header[1]] = cell_source(cell)


def stop(*_):
    raise TimeoutError("looped")


@pytest.fixture
def alarm():
    before = signal.signal(signal.SIGVTALRM, stop)
    yield lambda: signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)


@pytest.fixture
def little_memory():
    before = resource.getrlimit(resource.RLIMIT_DATA)
    pages = int(Path("/proc/self/statm").read_text().split()[5])  # data and stack
    resource.setrlimit(
        resource.RLIMIT_DATA, (pages * resource.getpagesize() + EXTRA_MEMORY, before[1])
    )
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)


def survives(id, source):
    scope = {}
    try:
        exec("import numpy as np, torch\nimport torch.nn.functional as F\n" + source, scope)
    except Exception:
        return False
    exercise = get_exercise(id)
    return try_answer(exercise, scope[exercise.function], seeds=(*SEEDS, 17)).passed


@pytest.mark.parametrize("id", ANSWERS)
@pytest.mark.usefixtures("little_memory")
def test_every_mutant_is_rejected_or_reviewed(id, alarm):
    candidates, survivors = mutants(ANSWERS[id]), []
    assert len(candidates) >= 5
    for mutant in candidates:
        alarm()
        if survives(id, mutant.source):
            survivors.append(mutant.change)
    reviewed = REVIEWED.get(id, {})
    assert not set(survivors) - set(reviewed), "accepted, and nobody has said why that is right"
    assert not set(reviewed) - set(survivors), "reviewed as equivalent, but not among the survivors"
    assert all(len(reason) > 10 for reason in reviewed.values())


def test_reviewed_mutants_belong_to_exercises():
    assert set(REVIEWED) <= set(ANSWERS)


def test_mutants_are_the_slips_that_one_expects():
    changes = {
        mutant.change.partition(" => ")[2]
        for mutant in mutants("def f(x):\n    return x.sum(1) < 2\n")
    }
    assert changes == {
        "return x.sum(1) <= 2",
        "return x.sum(1) > 2",
        "return x.mean(1) < 2",
        "return x < 2",
        "return 1 < 2",
        "return x.sum(2) < 2",
        "return x.sum(0) < 2",
        "return x.sum(1) < 3",
        "return x.sum(1) < 1",
    }
