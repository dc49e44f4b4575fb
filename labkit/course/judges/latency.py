"""Exercises of 03_latency_lut: a timer, a table's sum, its error, its calibration, a roofline."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest

import numpy as np

from labkit.course.exercises.exercise import Exercise, Size, Wrong
from labkit.course.exercises.judging import (
    as_integer,
    as_items,
    as_number,
    require_fields,
    require_unchanged,
    told_cases,
)
from labkit.course.exercises.witness import Note, ask


def _explain(
    got: object,
    expected: object,
    mistakes: Mapping[str, object],
    otherwise: str,
    rtol: float = 1e-5,
) -> None:
    """Wrong unless `got` is what is expected.

    The message is the mistake that gives these numbers, if they are in `mistakes`, or `otherwise`.
    """
    if _agree(got, expected, rtol):
        return
    slips = (mistake for mistake, values in mistakes.items() if _agree(got, values, rtol))
    raise Wrong(next(slips, otherwise))


def _agree(got: object, values: object, rtol: float = 1e-5) -> bool:
    return np.allclose(got, values, rtol=rtol, atol=1e-9)


# ---- 3.1 a timer that knows when it is sure ------------------------------------------------------

# Seconds, about a microsecond; a power of two, so that differences of clock readings are exact.
TICK = 2.0**-20
SETTINGS = ("warmup", "tolerance", "least", "most")


class Script:
    """A call and a clock that follow a script: call i takes `ticks[i]`, and a few ticks more that
    the witness decides on when it is told; nothing else takes time.
    """

    def __init__(self, ticks: list[int], most_extra: int) -> None:
        self.ticks, self.most_extra, self.now, self.calls = ticks, most_extra, 4321, 0

    def call(self) -> None:
        if self.calls == len(self.ticks):
            raise Wrong(
                f"call was called {self.calls} times and once more, far above `most`; does the loop"
                " end?"
            )
        self.now += self.ticks[self.calls] + int(self.most_extra * ask("call"))
        self.calls += 1

    def clock(self) -> float:
        ask("read")
        return self.now * TICK


def timer_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    typical = int(rng.integers(1500, 4000))

    def case(warmup: int, tolerance: float, least: int, most: int, noise: float) -> dict:
        count = most + 60
        # With noise, every tenth call is disturbed and takes eight times as long.
        slowdown = np.where(rng.random(count) < 0.1, 8, 1) if noise else 1
        ticks = np.rint(typical * (1 + noise * rng.normal(size=count)) * slowdown).astype(int)
        cold = [typical * (9 - i) for i in range(warmup)]
        return dict(zip(SETTINGS, (warmup, tolerance, least, most))) | {
            "ticks": cold + np.maximum(1, ticks).tolist(),
            "most_extra": 32 if noise else 0,
        }

    # No ratio of whole ticks meets one of the odd tolerances exactly. The one of 0 is met exactly,
    # and at once.
    return {
        "cases": [
            case(3 + seed % 3, 0.0234567, 10, 300, 0.05),
            case(5, 0.0132457, 12, 300, 0.02),
            case(2, 0.0312457, 9, 300, 0.08),
            case(0, 0.0101357, 4, 14 + seed % 4, 0.3),
            case(1, 0.0, 5 + seed % 2, 30, 0.0),
            # The limit also bites after a warm-up; one time is enough; as many as have to be.
            case(4, 0.0001357, 3, 9 + seed % 2, 0.3),
            case(2, 0.0213457, 1, 6, 0.1),
            case(1, 0.0001357, 5, 5, 0.3),
        ]
    }


def timer_run(function: Callable, inputs: dict) -> object:
    answers = []
    for case in inputs["cases"]:
        script = Script(case["ticks"], case["most_extra"])
        ask("case")
        answers.append(function(script.call, script.clock, *(case[name] for name in SETTINGS)))
    return answers


def timer_judge(inputs: dict, returned: object, notes: Sequence[Note]) -> None:
    for case, answer, told in told_cases(inputs, returned, notes):
        median, repeats = as_items(answer, 2, "what time_until_sure returns")
        median = as_number(median, "the median")
        repeats = as_integer(repeats, "the number of repeats")
        extra = [int(case["most_extra"] * note.number) for note in told if note.text == "call"]
        reads = sum(note.text == "read" for note in told)
        ticks = [tick + more for tick, more in zip_longest(case["ticks"], extra, fillvalue=0)]
        case = case | {"ticks": ticks}
        try:
            _judge_repeats(case, repeats, len(extra), reads)
            try:
                _judge_median(case, median, repeats)
            except Wrong as wrong:
                raise Wrong(f"{wrong} (the number of repeats is right)", points=4) from None
        except Wrong as wrong:
            settings = ", ".join(f"{name}={case[name]:g}" for name in SETTINGS)
            raise Wrong(f"with {settings}: {wrong}", wrong.points) from None


def _judge_repeats(case: dict, repeats: int, calls: int, reads: int) -> None:
    warmup, tolerance, least, most = (case[name] for name in SETTINGS)
    if calls != warmup + repeats:
        raise Wrong(
            f"call was called {calls} times; {warmup} are asked for to warm up, which leaves"
            f" {calls - warmup} repeats, but the result says {repeats}"
        )
    if not least <= repeats <= most:
        raise Wrong(
            f"{repeats} repeats; at least {least} and at most {most} are asked for, the warm-up not"
            " counted"
        )
    if reads < 2 * repeats:
        raise Wrong(
            f"the clock was read {reads} times for {repeats} repeats; read it right before and"
            " right after each call, so that what you compute in between is not in the times"
        )
    ticks = case["ticks"][warmup:]
    expected = next((n for n in range(least, most) if half_width(ticks[:n]) <= tolerance), most)
    if repeats > expected:
        raise Wrong(
            f"the timer went on to {repeats} repeats. After {expected}, 3.6 MAD / sqrt(n) is"
            f" {half_width(ticks[:expected]):.4g} of the median, which is tight enough. MAD is the"
            " median of the distances to the median"
        )
    if repeats < expected:
        raise Wrong(
            f"the timer stopped after {repeats} repeats, where 3.6 MAD / sqrt(n) is still "
            f"{half_width(ticks[:repeats]):.4g} of the median; it should go on to {expected}"
        )


def half_width(ticks: list[int]) -> float:
    """Half of the confidence interval, as a share of the median, by the exercise's formula."""
    middle = statistics.median(ticks)
    return 3.6 * statistics.median(abs(t - middle) for t in ticks) / math.sqrt(len(ticks)) / middle


def _judge_median(case: dict, median: float, repeats: int) -> None:
    warmup, ms = case["warmup"], [1e3 * TICK * tick for tick in case["ticks"]]
    times = ms[warmup : warmup + repeats]
    expected = statistics.median(times)
    what = f"the median of these {repeats} times is {expected:.6g} ms, got {median:.6g}"
    _explain(
        median,
        expected,
        {
            f"{what}: that is in seconds": expected / 1e3,
            f"{what}: that is in microseconds": expected * 1e3,
            f"{what}: that is the mean, which a few disturbed calls pull up": statistics.mean(
                times
            ),
            f"{what}: that is the shortest, not the middle": min(times),
            f"{what}: of an even number of times the median is the mean of the middle two": (
                statistics.median_low(times)
            ),
            f"{what}: of an even number of times, the median is the mean of the middle two": (
                statistics.median_high(times)
            ),
            f"{what}: calls to warm up are among the times": statistics.median(
                ms[: warmup + repeats]
            ),
        },
        what,
    )


# ---- 3.2 adding up a table -----------------------------------------------------------------------

KERNELS, EXPANDS = (3, 5, 7), (2, 3, 4)


def predict_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    rows = [
        [stage, first, side, kernel, expand, round(float(rng.uniform(0.01, 0.2)), 4)]
        for stage in range(4)
        for first in (False, True)
        for side in range(1, 33)
        for kernel in KERNELS
        for expand in EXPANDS
    ]
    subnets = []
    for resolution, strides in (
        (28, [1, 2, 2]),
        (27, [2, 1, 2]),
        (22, [2, 2]),
        (20, [1, 2, 2, 1]),
        (31, [1, 4, 3]),
    ):
        stages = [
            [
                [int(rng.choice(KERNELS)), int(rng.choice(EXPANDS))]
                for _ in range(rng.integers(2, 5))
            ]
            for _ in strides
        ]
        subnets.append({"resolution": resolution, "strides": strides, "stages": stages})
    base = [[resolution, round(float(rng.uniform(0.05, 0.1)), 4)] for resolution in range(16, 33)]
    return {"base": base, "table": rows, "subnets": subnets}


def predict_run(function: Callable, inputs: dict) -> object:
    def answer(subnet: dict) -> object:
        return function(
            dict(inputs["base"]),
            {tuple(row[:5]): row[5] for row in inputs["table"]},
            subnet["resolution"],
            tuple(subnet["strides"]),
            [[tuple(block) for block in blocks] for blocks in subnet["stages"]],
        )

    return [answer(subnet) for subnet in inputs["subnets"]]


def predict_judge(inputs: dict, returned: object) -> None:
    table, base = {tuple(row[:5]): row[5] for row in inputs["table"]}, dict(inputs["base"])
    for subnet, value in zip(inputs["subnets"], as_items(returned, len(inputs["subnets"]))):
        got = as_number(value, "the latency")
        start, rows = base[subnet["resolution"]], rows_of_subnet(subnet)

        # Called in the same turn of the loop, so that its variables are bound as they should be.
        def with_blocks(keys: list[tuple]) -> float:
            return start + math.fsum(table.get(key, math.nan) for key in keys)  # noqa: B023

        expected = with_blocks(rows)
        leaving = [(*row[:2], side, *row[3:]) for row, side in zip(rows, _sides(subnet)[1:])]
        _explain(
            got,
            expected,
            {
                "the base, stem and head of this resolution, is missing": expected - start,
                (
                    "the table wants the side of the map that *enters* a block, not of the"
                    " one that leaves it"
                ): with_blocks(leaving),
                "sides are rounded up: a map of 7 pixels becomes one of 4": with_blocks(
                    rows_of_subnet(subnet, down=True)
                ),
                "the stem has halved the image before the first block": with_blocks(
                    rows_of_subnet(subnet, stem=False)
                ),
                "only the first block of a stage has the stage's stride": with_blocks(
                    rows_of_subnet(subnet, every_block=True)
                ),
                "each stage begins with a block that is `first`": with_blocks(
                    [(row[0], False, *row[2:]) for row in rows]
                ),
                "only the first block of a stage is `first`": with_blocks(
                    [(row[0], True, *row[2:]) for row in rows]
                ),
                "every stage has a block that is `first`, not only the network": with_blocks(
                    [(row[0], i == 0, *row[2:]) for i, row in enumerate(rows)]
                ),
            },
            f"the subnet {subnet['stages']} at {subnet['resolution']} px, strides"
            f" {tuple(subnet['strides'])}, takes {expected:.5f} ms, got {got:.5f}. Sides of the"
            f" maps that enter its blocks: {_sides(subnet)[:-1]}",
        )


def _sides(
    subnet: dict, *, down: bool = False, stem: bool = True, every_block: bool = False
) -> list[int]:
    """Sides of the maps before each block and after the last; the keywords make usual mistakes."""

    def after(side: int, stride: int) -> int:
        """How many positions a filter has that moves by `stride`."""
        return side // stride if down else len(range(0, side, stride))

    sides = [after(subnet["resolution"], 2) if stem else subnet["resolution"]]
    for stride, blocks in zip(subnet["strides"], subnet["stages"]):
        for i in range(len(blocks)):
            sides.append(after(sides[-1], stride if every_block or i == 0 else 1))
    return sides


def rows_of_subnet(subnet: dict, **mistake: bool) -> list[tuple]:
    """The keys of the table that a subnet's blocks need."""
    blocks = [
        (s, i == 0, *block)
        for s, blocks in enumerate(subnet["stages"])
        for i, block in enumerate(blocks)
    ]
    return [
        (s, first, side, kernel, expand)
        for (s, first, kernel, expand), side in zip(blocks, _sides(subnet, **mistake))
    ]


# ---- 3.3 how good is a prediction? ---------------------------------------------------------------


def agreement_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    n = 14 + seed % 3
    # All numbers are whole eighths, so that comparisons are exact.
    measured = rng.permutation(np.arange(8, 8 + 2 * n, 2)) / 8
    low, high = measured - rng.integers(1, 5, n) / 8, measured + rng.integers(1, 5, n) / 8
    predicted = np.maximum(1, np.rint(4 * measured + 2 * rng.normal(size=n))) / 4
    order = np.argsort(measured)
    # One pair is predicted equal, and several in the wrong order.
    predicted[order[1]] = predicted[order[-2]]
    high[order[4]] = low[order[8]]  # two intervals that touch
    # One that has a value in common with every other: no pair that counts has this network.
    low[order[6]], high[order[6]] = 1 / 8, high.max() + 1
    predicted[order[6]] = measured[order[6]] * 1.5
    return {"predicted": predicted, "measured": measured, "low": low, "high": high}


def agreement_run(function: Callable, inputs: dict) -> object:
    return function(*(inputs[name].copy() for name in ("predicted", "measured", "low", "high")))


def agreement_judge(inputs: dict, returned: object) -> None:
    error, tau = as_items(returned, 2, "what error_and_tau returns")
    _judge_error(inputs, as_number(error, "the error"))
    _judge_tau(inputs, as_number(tau, "tau"))


def _judge_error(inputs: dict, error: float) -> None:
    pairs = list(zip(inputs["predicted"].tolist(), inputs["measured"].tolist()))
    relative = [abs(p - m) / m for p, m in pairs]
    expected = statistics.mean(relative)
    canceled = statistics.mean((p - m) / m for p, m in pairs)
    _explain(
        error,
        expected,
        {
            "the error is in percent; a share is asked for (0.02 for two percent)": 100 * expected,
            "errors up and down cancel; take their absolute values before the mean": abs(canceled),
            "errors up and down cancel; take their absolute values": canceled,
            "that is the median of the errors; their mean is asked for": statistics.median(
                relative
            ),
            "that is the largest of the errors; their mean is asked for": max(relative),
            "that is the sum of the errors; their mean is asked for": math.fsum(relative),
            "the error is in milliseconds; divide each by what was measured": statistics.mean(
                abs(p - m) for p, m in pairs
            ),
            "the errors are relative to what was predicted, not to what was measured": (
                statistics.mean(abs(p - m) / p for p, m in pairs)
            ),
            "the mean error is over all networks, also over those of no pair told apart": (
                statistics.mean(relative[i] for i in _in_pairs(inputs))
            ),
        },
        f"the mean relative error is {expected:.6g}, got {error:.6g}",
    )


def _in_pairs(inputs: dict) -> list[int]:
    """The networks of the pairs that can be told apart."""
    low, high = inputs["low"].tolist(), inputs["high"].tolist()
    return [i for i in range(len(low)) if high[i] < max(low) or low[i] > min(high)]


def _has_pairs(inputs: dict) -> bool:
    return bool(_in_pairs(inputs))


def _judge_tau(inputs: dict, tau: float) -> None:
    predicted, measured, low, high = (
        inputs[name].tolist() for name in ("predicted", "measured", "low", "high")
    )
    ordered = [
        (i, j)
        for i in range(len(measured))
        for j in range(len(measured))
        if measured[i] < measured[j]
    ]
    certain = [(i, j) for i, j in ordered if high[i] < low[j]]  # j is slower for certain
    certain_or_touching = [(i, j) for i, j in ordered if high[i] <= low[j]]

    def score(pairs: list[tuple[int, int]]) -> int:
        return sum((predicted[j] > predicted[i]) - (predicted[j] < predicted[i]) for i, j in pairs)

    equal = sum(predicted[i] == predicted[j] for i, j in certain)
    agree = (len(certain) - equal + score(certain)) // 2
    expected = score(certain) / len(certain)
    _explain(
        tau,
        expected,
        {
            "all pairs are counted in tau, also those that cannot be told apart": (
                score(ordered) / len(ordered)
            ),
            "intervals that touch share a value, so the pair cannot be told apart": (
                score(certain_or_touching) / len(certain_or_touching)
            ),
            "the pairs that cannot be told apart do not belong in the denominator of tau": (
                score(certain) / len(ordered)
            ),
            (
                "pairs that are predicted equal count 0, but they count: they belong in the"
                " denominator of tau"
            ): (score(certain) / (len(certain) - equal)),
            "a pair that is predicted equal counts 0, not 1": (score(certain) + equal)
            / len(certain),
            "a pair that is predicted equal counts 0, not -1": (score(certain) - equal)
            / len(certain),
            "a pair in the other order counts -1, not 0": agree / len(certain),
            "the sign of tau is the wrong way round: a pair in the same order counts +1": -expected,
        },
        f"of {len(ordered)} pairs {len(certain)} can be told apart: {agree} are predicted in the"
        f" same order, {len(certain) - equal - agree} in the other, {equal} equal. So tau is"
        f" {expected:.6g}, got {tau:.6g}",
    )


# ---- 3.4 calibration -----------------------------------------------------------------------------


def calibrate_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)

    def case(intercept: float, per_block: float, unit: float) -> dict:
        n = 16 + seed % 3
        blocks = rng.integers(3, 12, n)
        sums = blocks * np.exp(rng.uniform(-2, -1, n))
        exact = sums + intercept + per_block * blocks
        noise = 1 + 0.03 * rng.normal(size=n)
        return {"sums": unit * sums, "blocks": blocks, "measured": unit * exact * noise}

    # Both numbers have either sign. Of slow networks a term beside the squares, which hardly
    # matters for quick ones, takes over.
    sign = rng.permutation([-1, 1])
    return {
        "cases": [
            case(sign[0] * rng.uniform(0.15, 0.25), sign[1] * rng.uniform(0.02, 0.04), 1.0),
            case(sign[1] * rng.uniform(0.15, 0.25), sign[0] * rng.uniform(0.02, 0.04), 200.0),
        ]
    }


MEASUREMENTS = ("sums", "blocks", "measured")


def calibrate_run(function: Callable, inputs: dict) -> object:
    answers = []
    for case in inputs["cases"]:
        arguments = {name: case[name].copy() for name in MEASUREMENTS}
        answers.append({"answer": function(*arguments.values()), **arguments})
    return answers


def calibrate_judge(inputs: dict, returned: object) -> None:
    for case, answer in zip(inputs["cases"], as_items(returned, len(inputs["cases"]))):
        require_fields(answer, {"answer", *MEASUREMENTS}, "the result could not be read")
        _judge_calibration(case, answer)


def _have_two_depths(inputs: dict) -> bool:
    return all(len(set(case["blocks"].tolist())) > 1 for case in inputs["cases"])


def _judge_calibration(inputs: dict, returned: dict) -> None:
    sums, blocks, measured = (inputs[name].astype(float) for name in MEASUREMENTS)
    got = [
        as_number(value, name)
        for value, name in zip(
            as_items(returned["answer"], 2, "what calibrate returns"),
            ("the intercept", "the cost per block"),
        )
    ]
    for name in MEASUREMENTS:
        require_unchanged(returned[name], inputs[name], f"`{name}`")
    missing, equal = measured - sums, np.ones(len(sums))
    intercept, per_block = expected = weighted_line(blocks, missing, measured**-2)
    three, *_ = np.linalg.lstsq(
        np.stack([sums, equal, blocks], 1) / measured[:, None], equal, rcond=None
    )

    def squares(a: float, b: float) -> float:
        return float(np.sum(((sums + a + b * blocks) / measured - 1) ** 2))

    if squares(*got) <= squares(*expected) * (1 + 1e-4):  # as small as an iterative method gets it
        return
    _explain(
        got,
        expected,
        {
            "the two numbers are right, in the wrong order: the intercept comes first": (
                per_block,
                intercept,
            ),
            "the signs are the wrong way round: the two are *added* to the sum": (
                -intercept,
                -per_block,
            ),
            (
                "this makes the squared errors in milliseconds smallest, which serves the"
                " slow subnets; the errors should be relative: divide each row by what was"
                " measured"
            ): weighted_line(blocks, missing, equal),
            (
                "the rows are divided by the square of what was measured; once is enough (the"
                " weights of np.polyfit multiply the errors before they are squared)"
            ): weighted_line(blocks, missing, measured**-4),
            (
                "the rows are divided by the root of what was measured (a weight inside the"
                " squares counts twice)"
            ): weighted_line(blocks, missing, 1 / measured),
            "the errors are relative to the sums, not to what was measured": weighted_line(
                blocks, missing, sums**-2
            ),
            (
                "both sides have to be divided by what was measured, the columns too: the two"
                " numbers are milliseconds"
            ): weighted_line(blocks, missing / measured, equal),
            "the sum has got a factor of its own here; it counts as it is": (three[1], three[2]),
            "the cost per block is missing": (
                weighted_line(0 * blocks, missing, measured**-2)[0],
                0,
            ),
        },
        f"with {got[0]:.7g} ms and {got[1]:.7g} ms per block the squared relative errors add up to"
        f" {squares(*got):.8g}; the least is {squares(*expected):.8g}, with {intercept:.7g} ms and"
        f" {per_block:.7g} ms",
    )


def weighted_line(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Intercept and slope of the line with the least weighted squares, in closed form.

    The slope of a constant `x` is 0.
    """
    share = weight / weight.sum()
    mean_x, mean_y, spread = share @ x, share @ y, share @ (x - share @ x) ** 2
    slope = share @ ((x - mean_x) * (y - mean_y)) / spread if spread else 0.0
    return float(mean_y - slope * mean_x), float(slope)


# ---- 3.5 where the time goes ---------------------------------------------------------------------


def roofline_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    n = 9 + seed % 3
    macs = np.exp(rng.uniform(8, 15, n)).astype(int)
    size = np.maximum(16, macs * np.exp(rng.uniform(-3.5, 1.5, n))).astype(int)
    macs[1 + seed % 4] = 0  # an addition: no MACs, only memory
    peak, bandwidth = int(rng.integers(400, 1200)), int(rng.integers(300, 700))
    macs[0], size[0] = 90 * peak, 90 * bandwidth  # 9 microseconds for either
    return {
        "layers": [[int(m), int(b)] for m, b in zip(macs, size)],
        "peak": peak / 100,
        "bandwidth": bandwidth / 100,
        "overhead": round(float(rng.uniform(5, 40)), 1),
    }


def roofline_run(function: Callable, inputs: dict) -> object:
    return function(
        [tuple(layer) for layer in inputs["layers"]],
        *(inputs[name] for name in ("peak", "bandwidth", "overhead")),
    )


def roofline_judge(inputs: dict, returned: object) -> None:
    names = ("overhead", "compute", "memory")
    got = np.array(
        [
            as_number(value, name)
            for value, name in zip(as_items(returned, 3, "what where_time_goes returns"), names)
        ]
    )
    compute = np.array([1e6 * macs / (1e9 * inputs["peak"]) for macs, _ in inputs["layers"]])
    memory = np.array([1e6 * size / (1e9 * inputs["bandwidth"]) for _, size in inputs["layers"]])
    busy, count, overhead = compute > memory, len(compute), inputs["overhead"] * len(compute)
    longer, shorter = np.maximum(compute, memory), np.minimum(compute, memory)

    def split(times: np.ndarray, busy: np.ndarray) -> np.ndarray:
        return np.array([overhead, times[busy].sum(), times[~busy].sum()])

    compute_bound = np.full(count, compute.sum() > memory.sum())

    def known(busy: np.ndarray) -> tuple[np.ndarray, dict[str, object]]:
        """What is expected, and what mistakes give, where these layers wait for arithmetic."""
        expected = split(longer, busy)
        return expected, {
            f"every layer has an overhead, and there are {count} layers": (
                expected - [overhead - overhead / count, 0, 0]
            ),
            (
                "a layer computes while it moves values, so only the longer of the two times"
                " counts; here both are added up"
            ): [
                overhead,
                compute.sum(),
                memory.sum(),
            ],
            "compute and memory have changed places": expected[[0, 2, 1]],
            "the longer of the two times counts, not the shorter": split(shorter, busy),
            "of each layer the longer of the two times counts, and goes to its own account": split(
                shorter, ~busy
            ),
            "that is how many layers there are of each sort; their times are asked for": split(
                np.ones(count), busy
            ),
            "the longer time is taken layer by layer, not once for the whole network": split(
                np.where(compute_bound, compute, memory), compute_bound
            ),
            "the overhead is counted twice: on its own, and in the layers' times": split(
                longer + overhead / count, busy
            ),
            "those are shares; microseconds are asked for": expected / expected.sum(),
            "those are milliseconds; microseconds are asked for": expected / 1e3,
            "those are seconds; microseconds are asked for": expected / 1e6,
            **{
                (
                    f"compute and memory are off by a factor of {factor:g}: 10^9 a second are"
                    " 10^3 a microsecond"
                ): (expected * [1, factor, factor])
                for factor in (1e3, 1e-3, 1e-6, 1e-9)
            },
        }

    # A layer whose two times are equal goes to either account, also in an answer with a mistake.
    equal = np.isclose(compute, memory, rtol=1e-9, atol=0)
    accounts = [known(busy | equal), known(busy & ~equal)]
    accounts.sort(key=lambda account: abs(account[0] - got).sum())
    expected, mistakes = max(
        accounts,
        key=lambda account: any(_agree(got, v) for v in (account[0], *account[1].values())),
    )
    wrong = next(
        (
            f"{name} takes {b:.6g} us of these {count} layers, got {a:.6g}"
            for name, a, b in zip(names, got, expected)
            if not math.isclose(a, b, rel_tol=1e-5)
        ),
        "",
    )
    _explain(got, expected, mistakes, wrong)


EXERCISES = (
    Exercise(
        "3.1",
        6,
        "time_until_sure",
        timer_inputs,
        timer_run,
        timer_judge,
        ("labkit.runtime.timing.time_call",),
        witnessed=True,
        sizes=(Size({"cases": 0}),),
    ),
    Exercise(
        "3.2",
        2,
        "predict_ms",
        predict_inputs,
        predict_run,
        predict_judge,
        (
            "labkit.tables.separable.Separable.__call__",
            "labkit.tables.separable.Joint.__call__",
            "labkit.tables.costs.BlockTable.stage_values",
        ),
        sizes=(
            Size({"subnets": 0}),
            Size({"subnets/0/stages": 0, "subnets/0/strides": 0}),
        ),
    ),
    Exercise(
        "3.3",
        3,
        "error_and_tau",
        agreement_inputs,
        agreement_run,
        agreement_judge,
        (
            "labkit.tables.predictor_quality.kendall_tau",
            "labkit.comparison.prediction_error.prediction_error",
        ),
        sizes=(Size({"predicted": 0, "measured": 0, "low": 0, "high": 0}, least=2),),
        is_valid=_has_pairs,
    ),
    Exercise(
        "3.4",
        3,
        "calibrate",
        calibrate_inputs,
        calibrate_run,
        calibrate_judge,
        ("labkit.latency.measured.lookup_table.calibrate",),
        sizes=(
            Size({"cases": 0}),
            Size({f"cases/0/{name}": 0 for name in MEASUREMENTS}, least=5),
        ),
        is_valid=_have_two_depths,
    ),
    Exercise(
        "3.5",
        2,
        "where_time_goes",
        roofline_inputs,
        roofline_run,
        roofline_judge,
        (
            "labkit.latency.simulated.roofline.Roofline.operator_us",
            "labkit.latency.simulated.roofline.Roofline.latency_ms",
        ),
        sizes=(Size({"layers": 0}),),
    ),
)
