"""The page's search against Python's: fronts and boards, in the JavaScript engine that is there."""

import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from latency_for_tests import TINY, made_up

from labkit.course.explorer.html_page import PARTS
from labkit.course.explorer.packed_space import fitting_front, packed_space
from labkit.latency.devices import get_device
from labkit.latency.measured.lookup_table import build_table
from labkit.search import Budget, best, front
from labkit.space import Arch, SearchSpace, Stage
from labkit.specialize.device_costs import DeviceCosts
from labkit.supernet.accuracy_files import synthetic_model
from labkit.supernet.folder import load
from labkit.tables.costs import activation_table, macs_table

NODE = shutil.which("node")
COSTS = ("accuracy", "latency", "macs", "memory")
needs_node = pytest.mark.skipif(NODE is None, reason="Node.js is not installed: apt install nodejs")
# For each problem: the limits' subnets. A problem with a file is a board that the page imports.
ANSWER = """
const solver = require(process.argv[1]);
const problems = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(problems.map(({ packed, file, limits }) => {
  const space = solver.unpackSpace(packed);
  const device = file ? { latency: solver.latencyTable(solver.spaceOfFile([space], file), file),
                          bytesPerValue: 4, front: null } : space.devices[0];
  const front = solver.exactFront(space, device);
  return { size: front.length, answers: limits.map((limit) => {
    const subnet = solver.bestWithin(front, limit);
    return subnet ? { ...subnet, arch: solver.archOf(space, subnet) } : null;
  }) };
})));
"""


def answers_of_page(problems: list[dict]) -> list[dict]:
    """What the page finds for each problem: the size of its front, and an answer for each limit."""
    command = [NODE, "-e", ANSWER, str(PARTS / "solver.js")]
    out = subprocess.run(command, input=json.dumps(problems), capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    return json.loads(out.stdout)


def queries(points, rng, count):
    """Limits from below the quickest subnet to above the slowest, some of them exactly met."""
    low, high = points.cost[0], points.cost[-1]
    random = np.exp(rng.uniform(np.log(0.9 * low), np.log(1.1 * high), count - count // 4))
    return [*random, *rng.choice(points.cost, count // 4)]


@needs_node
def test_a_thousand_queries_are_answered_as_python_answers_them():
    rng, problems, references = np.random.default_rng(0), [], []
    fmnist, two_widths = load("fmnist"), replace(TINY, widths=(0.75, 1.0), divisor=4)
    board = made_up(fmnist.space, factor=0.8, intercept=0.01, per_block=0.002, noise=0.01)
    for space, model, source in (
        (fmnist.space, fmnist.predictor, get_device("pi4")),
        (fmnist.space, fmnist.predictor, get_device("epyc-1core")),
        (fmnist.space, fmnist.predictor, board),
        (two_widths, synthetic_model(two_widths), get_device("pi4")),
    ):
        is_file = isinstance(source, dict)
        latency = (
            build_table(source, space).table if is_file else DeviceCosts(space, source).latency_ms
        )
        points = front(space, model.predict, latency)
        # The page fits a board's calibration by another method, so its last digits differ.
        limits = [ms * (1 + 1e-9 * is_file) for ms in queries(points, rng, 250)]
        packed = packed_space(space, model, [] if is_file else [source])
        problems.append({"packed": packed, "file": is_file and source, "limits": limits})
        references.append((space, model.predict, latency, points))
    # Of a synthetic accuracy the page has terms of single precision.
    for problem, (space, predict, latency, points), page, error in zip(
        problems, references, answers_of_page(problems), (1e-9, 1e-9, 1e-9, 1e-4)
    ):
        assert page["size"] == len(points)
        pairs = list(zip(problem["limits"], page["answers"]))
        assert [a for limit, a in pairs if limit < points.cost[0]] == [None] * sum(
            limit < points.cost[0] for limit, _ in pairs
        )
        limits, answers = zip(*[(limit, a) for limit, a in pairs if limit >= points.cost[0]])
        assert len(limits) > 200
        optima = points.accuracy[[points.best(limit) for limit in limits]]
        for limit, optimum in zip(limits[:4], optima):  # by another method
            assert optimum == best(space, predict, [Budget(latency, limit)]).accuracy
        genes = space.encode([Arch.from_json(answer["arch"]) for answer in answers])
        shown = {name: np.array([a[name] for a in answers]) for name in COSTS}
        assert predict(genes) == pytest.approx(optima, abs=error)
        assert shown["accuracy"] == pytest.approx(optima, abs=error)
        assert (latency(genes) <= np.array(limits) * (1 + 1e-9)).all()
        assert shown["latency"] == pytest.approx(latency(genes), rel=1e-9)
        assert (shown["macs"] == macs_table(space)(genes)).all()
        assert (shown["memory"] == activation_table(space, 4)(genes)).all()


@needs_node
def test_a_board_of_the_whole_space_serves_a_page_of_some_resolutions():
    part = replace(TINY, resolutions=TINY.resolutions[1:])
    file, model = made_up(factor=0.8, intercept=0.01), synthetic_model(part)
    latency = build_table(file, TINY).table.part(part)
    points = front(part, model.predict, latency)
    packed = {**packed_space(part, model, []), "sha256": TINY.digest}
    limits = [float(ms) * (1 + 1e-6) for ms in points.cost]
    (page,) = answers_of_page([{"packed": packed, "file": file, "limits": limits}])
    archs = [Arch.from_json(answer["arch"]) for answer in page["answers"]]
    assert archs == part.decode(points.genes)
    assert [a["latency"] for a in page["answers"]] == pytest.approx(points.cost, rel=1e-6)


@pytest.fixture(scope="module")
def microcontroller():
    """Costs such that the planner refuses subnets of the front by tables; a model; the front."""
    stage = Stage(16, 2, (1, 2, 3), kernels=(3, 5), expands=(2, 3, 4), act="relu")
    second = replace(stage, width=32, act="h_swish", se=True)
    space = SearchSpace("small", (20,), (stage, second), 1, 10, stem_width=8)
    device = replace(get_device("mcu-64k"), sram_bytes=20 * 1024)
    costs, model = DeviceCosts(space, device), synthetic_model(space)
    return costs, model, fitting_front(costs, model.predict)


def test_the_front_of_a_microcontroller_is_that_of_what_its_planner_holds(microcontroller):
    costs, model, points = microcontroller
    space = costs.space
    by_tables = front(space, model.predict, costs.latency_ms, costs.budgets())
    assert not costs.fits(space.decode(by_tables.genes)).all()
    genes = space.encode(list(space.enumerate()))
    latency, accuracy = costs.latency_ms(genes), model.predict(genes)
    within = np.all([budget.cost(genes) <= budget.limit for budget in costs.budgets()], axis=0)
    expected, highest = [], -np.inf  # by brute force
    for i in np.lexsort((-accuracy, latency)):
        if within[i] and accuracy[i] > highest and costs.fits(space.decode(genes[[i]]))[0]:
            expected.append(genes[i])
            highest = accuracy[i]
    assert (points == np.array(expected)).all()


@needs_node
def test_the_page_has_the_front_of_a_microcontroller(microcontroller, monkeypatch):
    costs, model, points = microcontroller
    monkeypatch.setattr("labkit.course.explorer.packed_space.fitting_front", lambda *_: points)
    limits = [float(ms) * (1 + 1e-9) for ms in costs.latency_ms(points)]
    problem = {"packed": packed_space(costs.space, model, [costs.device]), "limits": limits}
    (page,) = answers_of_page([problem])
    archs = costs.space.decode(points)
    assert [Arch.from_json(answer["arch"]) for answer in page["answers"]] == archs
    memory = [answer["memory"] for answer in page["answers"]]
    assert memory == [costs.planned_sram_bytes(arch) for arch in archs]
    assert max(memory) <= costs.device.sram_bytes


@needs_node
@pytest.mark.parametrize(
    "change, reason",
    [
        ({"what": "kit"}, "not the latency.json"),
        ({"space_sha256": "0" * 64, "space": "other"}, "measured for space other"),
        ({"pieces": {}}, "no usable time of block stem-12px"),
        ({"subnets": [{"arch": Arch(12, ((), ())).to_json(), "median_ms": 1.0}] * 4}, "subnet"),
    ],
)
def test_a_file_that_is_no_board_of_the_space_is_refused(change, reason):
    packed = packed_space(TINY, synthetic_model(TINY), [get_device("pi4")])
    problem = {"packed": packed, "file": {**made_up(), **change}, "limits": [1.0]}
    with pytest.raises(AssertionError, match=reason):
        answers_of_page([problem])
