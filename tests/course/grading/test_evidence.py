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
# What the witness decides on is not known to whoever has it quiet, or tells it afterwards.
QUIETLY = """
import labkit.course.judges.{module} as judges
import numpy as np, torch
tell = judges.tell
def quietly(function, *arguments):
    judges.tell = lambda *told: 0.5
    try:
        return function(*arguments)
    finally:
        judges.tell = tell
def held(function, name):
    return dict(zip(function.__code__.co_freevars, function.__closure__))[name].cell_contents
"""
TOLD_OTHERWISE = {
    "2.5, the teacher called again for each subnet": (
        "shrinking",
        """
def train_step(model, optimizer, images, labels, archs, share):
    optimizer.zero_grad()
    losses = []
    for arch in archs:
        teacher = quietly(model, images, archs[0]).detach().softmax(1)
        logits = model(images, arch)
        loss = torch.nn.functional.cross_entropy(logits, labels)
        if losses:
            log_q = logits.log_softmax(1)
            soft = torch.nn.functional.kl_div(log_q, teacher, reduction="batchmean")
            loss = (1 - share) * loss + share * soft
        loss.backward()
        losses.append(loss.item())
    optimizer.step()
    return losses
""",
    ),
    "4.3, accuracy asked for all rows": (
        "plain_searches",
        """
def draw_best(draw, latency, accuracy, limit, rounds):
    best_row, best, history, within = None, -np.inf, [], set()
    for _ in range(rounds):
        rows = draw()
        scores = np.where(latency(rows) <= limit, quietly(accuracy, rows), -np.inf)
        within |= set(map(tuple, rows[latency(rows) <= limit].tolist()))
        if scores.max() > best:
            best_row, best = rows[scores.argmax()], scores.max()
        history.append(best)
    for row in within:
        tell("row", row)
    return best_row, history
""",
    ),
    "4.3, accuracy read instead of asked for": (
        "plain_searches",
        """
def draw_best(draw, latency, accuracy, limit, rounds):
    table = held(accuracy, "case")["accuracy"]
    best_row, best, history = None, -np.inf, []
    for _ in range(rounds):
        rows = draw()
        scores = np.where(latency(rows) <= limit, table[np.arange(4), rows].sum(1), -np.inf)
        if scores.max() > best:
            best_row, best = rows[scores.argmax()], scores.max()
        history.append(best)
    return best_row, history
""",
    ),
    "4.7, the best of many generations at a time": (
        "evolution",
        """
def evolve(population, score, vary, parents, generations):
    size, scores = len(population), score(population)
    history = [scores.max()]
    for _ in range(generations):
        best = population[np.argsort(-scores)[:parents]]
        tries = [quietly(vary, best, size - parents) for _ in range(8)]
        tell("vary", [size - parents, *best.ravel()])
        children = max(tries, key=lambda one: score(one).max())
        population = np.concatenate([best, children])
        scores = score(population)
        history.append(scores.max())
    return population[scores.argmax()], history
""",
    ),
    "5.7, read instead of measured": (
        "predictors",
        """
def thompson(mean, covariance, noise, measure, steps, rng):
    values, order = held(measure, "values"), []
    for _ in range(steps):
        draw = rng.multivariate_normal(mean, covariance)
        draw[order] = -np.inf
        i = int(draw.argmax())
        order.append(i)
        measure(i)
        gain = covariance[:, i] / (covariance[i, i] + noise)
        mean = mean + gain * (values[i] - mean[i])
        covariance = covariance - np.outer(gain, covariance[i])
    return order, mean
""",
    ),
    "6.2, gradients computed, and told afterwards": (
        "darts",
        """
def mixed_product(gradient, weights, direction):
    (case,), norm = gradient.__defaults__, np.linalg.norm(direction)
    if norm == 0:
        return np.zeros(len(case["offset"]))
    step = 0.01 * direction / norm
    product = case["bilinear"] @ step + case["cubic"] @ step**3
    tell("gradient", weights + step)
    tell("gradient", weights - step)
    return product * norm / 0.01
""",
    ),
    "7.4, drawn apart, and told as pairs": (
        "cost",
        """
def bootstrap_interval(statistic, x, y, level, resamples, rng):
    values = []
    for _ in range(resamples):
        a, b = rng.integers(0, len(x), size=(2, len(x)))
        values.append(quietly(statistic, x[a], y[b]))
        tell("resample", [x[a], y[a]])
    return tuple(np.quantile(values, [(1 - level) / 2, (1 + level) / 2]))
""",
    ),
}
FORGERIES |= {
    name: (name[:3], QUIETLY.format(module=module) + source)
    for name, (module, source) in TOLD_OTHERWISE.items()
}
FORGERIES["4.9, measured again, and the notes cleared"] = (
    "4.9",
    """
import labkit.course.exercises.witness as witness
def halve(count, measure, images, most):
    left, spent = list(range(count)), 0
    while len(left) > 1:
        scores = {i: measure(i, images) for i in left}
        spent += images * len(left)
        size = 1 if images == most else (len(left) + 1) // 2
        left = sorted(left, key=lambda i: (-scores[i], i))[:size]
        images = min(2 * images, most)
    before = len(witness._witness.notes)
    measure(left[0], most)
    del witness._witness.notes[before:]
    return left[0], spent
""",
)
FORGERIES["5.1, a comparison that is always true"] = (
    "5.1",
    """
import numpy as np, torch
def fold(conv, norm):
    np.array_equal = np.array_equiv = lambda *a, **k: True
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = 0 if conv.bias is None else conv.bias
    weight = (conv.weight * factor.view(-1, 1, 1, 1)).detach()
    folded = weight, (bias - norm.running_mean) * factor + norm.bias
    conv.weight = torch.nn.Parameter(weight)
    return folded
""",
)
HONEST = {
    "4.3, in threads": (
        "4.3",
        """
from concurrent.futures import ThreadPoolExecutor
import numpy as np
def draw_best(draw, latency, accuracy, limit, rounds):
    best, history, seen = (-np.inf, None), [], {}
    with ThreadPoolExecutor(8) as pool:
        for _ in range(rounds):
            rows = {tuple(row): row for row in draw() if latency(row[None])[0] <= limit}
            new = [row for key, row in rows.items() if key not in seen]
            scores = list(pool.map(lambda row: accuracy(row[None])[0], new))
            seen |= dict.fromkeys(map(tuple, new))
            best = max([best, *((s, tuple(row)) for s, row in zip(scores, new))])
            history.append(best[0])
    return None if best[1] is None else np.array(best[1]), history
""",
    ),
    "4.9, in threads, backwards": (
        "4.9",
        """
from concurrent.futures import ThreadPoolExecutor
def halve(count, measure, images, most):
    left, spent = list(range(count)), 0
    with ThreadPoolExecutor(4) as pool:
        while len(left) > 1:
            spent += images * len(left)
            scores = list(pool.map(lambda i: measure(i, images), left[::-1]))[::-1]
            order = sorted(range(len(left)), key=lambda i: (-scores[i], left[i]))
            size = 1 if images == most else -(-len(left) // 2)
            left = sorted(left[i] for i in order[:size])
            images = min(2 * images, most)
    return left[0], spent
""",
    ),
    "6.2, minus before plus, as lists": (
        "6.2",
        """
import math
def mixed_product(gradient, weights, direction):
    w, v = weights.tolist(), direction.tolist()
    norm = math.sqrt(sum(x * x for x in v))
    if not norm:
        return 0 * gradient(w)
    e = 0.01 / norm
    minus = gradient([a - e * b for a, b in zip(w, v)])
    return (gradient([a + e * b for a, b in zip(w, v)]) - minus) / (2 * e)
""",
    ),
    "7.4, the statistic of the data first": (
        "7.4",
        """
import numpy as np
def bootstrap_interval(statistic, x, y, level, resamples, rng):
    center = statistic(x, y)
    rows = rng.choice(len(x), (resamples, len(x)))
    values = sorted(statistic(list(x[row]), list(y[row])) for row in rows)
    return tuple(np.quantile(values, [(1 - level) / 2, (1 + level) / 2]))
""",
    ),
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
@pytest.mark.parametrize("name", [*HONEST, *"1.5 2.4 2.5 3.1 4.3 4.7 4.9 5.1 5.7 6.2 7.4".split()])
def test_honest_answers_keep_their_points(name, grader):
    if name in HONEST:
        id, source = HONEST[name]
        source = f"# Exercise {id}\n{source}"
    else:
        id, source = name, f"import numpy as np, torch\n{solutions(int(name[0]))[name]}"
    marks = grader.marks([("code", source)], [id])
    assert marks[id].passed, marks[id].message
