"""What the returned values do not show is observed outside of the student's process: answers that
forge the evidence in their own score nothing, and honest ones with oddities keep their points.
"""

import pytest
from grading_for_tests import confined, solutions

from labkit.course.exercises import witness
from labkit.course.exercises.trial import attempt, judge, try_answer
from labkit.course.exercises.witness import INPUTS, Note, as_notes
from labkit.course.judges.registry import get_exercise

SUMMED = """
import torch
def add_gradients(model, images, labels, widths):
    {before}
    model.zero_grad()
    losses = []
    for width in widths:
        {each}
        losses.append(torch.nn.functional.cross_entropy(model(images, width), labels))
    total = sum(losses)
    total.backward()
    {after}
    return total.item()
"""
QUIET = (
    "import labkit.course.judges.shrinking as judges; told = []; ask = judges.ask;"
    " judges.ask = lambda text: told.append(text) or {number}"
)
FORGERIES = {
    "2.4, summed": ("2.4", SUMMED.format(before="pass", each="pass", after="pass")),
    "2.4, the record cleared": (
        "2.4",
        SUMMED.format(before="pass", each="model.live.clear()", after="pass"),
    ),
    "2.4, told in another order afterwards": (
        "2.4",
        SUMMED.format(
            before=QUIET.format(number="0.5"),
            each="pass",
            after=(
                "[ask(text) for width in widths for text in told if text.split()[1] == str(width)]"
            ),
        ),
    ),
    "3.1, the clock read once a call": (
        "3.1",
        """
import statistics
def time_until_sure(call, clock, warmup, tolerance, least, most):
    script = call.__self__
    for _ in range(warmup):
        call()
    times, before = [], clock()
    while True:
        call()
        now = clock()
        times.append(now - before)
        before = now
        middle = statistics.median(times)
        mad = statistics.median(abs(t - middle) for t in times)
        width = 3.6 * mad / len(times) ** 0.5
        if len(times) >= most or len(times) >= least and width <= tolerance * middle:
            script.reads = 2 * len(times)
            return 1e3 * middle, len(times)
""",
    ),
    "3.1, from the script, without a call": (
        "3.1",
        """
import statistics
def time_until_sure(call, clock, warmup, tolerance, least, most):
    script = call.__self__
    ticks = script.ticks[warmup:]
    for count in range(least, most + 1):
        middle = statistics.median(ticks[:count])
        mad = statistics.median(abs(t - middle) for t in ticks[:count])
        if 3.6 * mad / count ** 0.5 <= tolerance * middle:
            break
    script.calls, script.reads = warmup + count, 2 * count
    return 1e3 * 2.0**-20 * middle, count
""",
    ),
    "1.5, a flag that lies": (
        "1.5",
        """
import torch
def recalibrate_model(model, batches):
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    model.train()
    with torch.no_grad():
        for batch in batches:
            model(batch)
    model.eval()
    for norm in norms:
        norm.__class__ = Sly
class Sly(torch.nn.BatchNorm2d):
    def forward(self, x):
        return torch.nn.functional.batch_norm(x, None, None, self.weight, self.bias, True)
""",
    ),
}
HONEST = {
    "2.4, looking at each loss again": (
        "2.4",
        """
import torch
def add_gradients(model, images, labels, widths):
    loss_of = lambda width: torch.nn.functional.cross_entropy(model(images, width), labels)
    for parameter in model.parameters():
        parameter.grad = None
    looked = [loss_of(width).item() for width in widths]
    total = 0.0
    for width in reversed(widths):
        loss = loss_of(width)
        loss.backward()
        total += loss.item()
        with torch.no_grad():
            looked.append(loss_of(width).item())
    return total
""",
    ),
    "3.1, the clock read more often": (
        "3.1",
        """
import numpy as np
def time_until_sure(call, clock, warmup, tolerance, least, most):
    for _ in range(warmup):
        start = clock(); call(); clock()
    times = []
    while len(times) < most:
        start = clock(); call(); end = clock(); clock()
        times.append(end - start)
        if len(times) >= least:
            middle = np.median(times)
            mad = np.median(np.abs(np.array(times) - middle))
            if 3.6 * mad / np.sqrt(len(times)) <= tolerance * middle:
                break
    return 1e3 * float(np.median(times)), len(times)
""",
    ),
}


def answer(name, collection):
    """The function of an answer, defined here."""
    id, source = collection[name]
    scope = {}
    exec(source, scope)
    return get_exercise(id), scope[get_exercise(id).function]


@pytest.mark.parametrize("name", HONEST)
def test_honest_answers_pass_where_the_witness_is_a_list(name):
    verdict = try_answer(*answer(name, HONEST))
    assert verdict.passed, verdict.message


@pytest.mark.parametrize("name", ["2.4, summed", "3.1, the clock read once a call"])
def test_mistakes_are_named_where_the_witness_is_a_list(name):
    verdict = try_answer(*answer(name, FORGERIES))
    says = {"2": "memory grows with the number", "3": "the clock was read"}[name[0]]
    assert not verdict.passed and says in verdict.message


def test_what_the_witness_of_other_inputs_was_told_is_no_evidence():
    scope = {}
    exec(solutions(2)["2.4"], {"torch": pytest.importorskip("torch")}, scope)
    exercise = get_exercise("2.4")
    outcome = attempt(exercise, scope["add_gradients"], 0)
    assert judge(exercise, outcome, 0).passed
    others = attempt(exercise, scope["add_gradients"], 1).notes
    for notes in ([], outcome.notes[:-1], outcome.notes[1:], others, outcome.notes[::-1]):
        forged = type(outcome)(outcome.returned, notes=list(notes))
        assert not judge(exercise, forged, 0).passed


def test_notes_are_split_at_the_inputs():
    told = [[INPUTS, 0.1], ["call", 0.2], [INPUTS, 0.3], [INPUTS, 0.4], ["read", 0.5]]
    assert as_notes(told, 3) == [[Note("call", 0.2)], [], [Note("read", 0.5)]]
    assert as_notes(told, 2) == [[], []] and as_notes(None, 3) == [[], [], []]


def test_a_witness_in_another_process_keeps_the_notes(tmp_path, monkeypatch):
    from labkit.course.execution.witness_server import WitnessServer

    server = WitnessServer(tmp_path / "witness")
    monkeypatch.setattr(witness, "_witness", witness._RemoteWitness(tmp_path / "witness"))
    assert witness.call_in() == []
    numbers = [witness.ask("call"), witness.ask("call")]
    assert server.notes[1:] == [["call", number] for number in numbers]
    assert server.notes[0][0] == INPUTS and len(set(numbers)) == 2


@pytest.fixture(scope="module")
def grader():
    with confined() as runner:
        yield runner


@pytest.mark.slow
@pytest.mark.parametrize("name", FORGERIES)
def test_forged_evidence_scores_nothing(name, grader):
    id, source = FORGERIES[name]
    marks = grader.marks([("code", f"# Exercise {id}\n{source}")], [id])
    partial = {"1.5": 5}  # the statistics are right
    assert marks[id].points == partial.get(id, 0), marks[id].message
    assert "raised" not in marks[id].message, marks[id].message


@pytest.mark.slow
@pytest.mark.parametrize("name", [*HONEST, "1.5", "2.4", "3.1"])
def test_honest_answers_keep_their_points(name, grader):
    if name in HONEST:
        id, source = HONEST[name]
        source = f"# Exercise {id}\n{source}"
    else:
        id, source = name, solutions(int(name[0]))[name]
    marks = grader.marks([("code", source)], [id])
    assert marks[id].passed, marks[id].message
