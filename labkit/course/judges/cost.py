"""Exercises of 07_search_cost: GPU days, break-even, energy, a bootstrap interval. Spaces at a
budget are in budgets.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from labkit.course.exercises.exercise import Exercise, Size, Wrong
from labkit.course.exercises.judging import (
    as_array,
    as_integer,
    as_items,
    as_number,
    require_fields,
    require_frequency,
)
from labkit.course.exercises.witness import Note, tell
from labkit.course.judges.budgets import spaces_inputs, spaces_judge, spaces_run

# ---- 7.1 GPU days --------------------------------------------------------------------------------

SECONDS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}


def days_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)

    def run(what: str, unit: str, per_device: bool, time: float | None = None) -> dict:
        value = float(rng.integers(2, 60)) / 4 if time is None else time
        return {
            "what": what,
            "time": value,
            "unit": unit,
            "gpus": int(rng.integers(2, 33)),
            "per_device": per_device,
        }

    all_runs = [
        run("training", "days", False),
        run("pairs", "hours", False),
        run("search", "minutes", True),
        run("fine-tuning", "hours", True),
        run("table", "seconds", True),
        run("cached", "hours", False, 0.0),
    ]
    once, for_each = (
        {**all_runs[int(rng.integers(*kind))], "time": None} for kind in ((0, 2), (2, 5))
    )
    return {
        "cases": [
            {"runs": all_runs[1:3], "devices": int(rng.integers(2, 40))},
            {"runs": all_runs[2:4], "devices": 1},
            {"runs": [all_runs[4]], "devices": int(rng.integers(2, 40))},
            {"runs": all_runs, "devices": int(rng.integers(2, 40))},
            {"runs": [*all_runs[:4], for_each], "devices": 7},
            {"runs": [once, *all_runs[2:]], "devices": 7},
        ]
    }


def days_run(function: Callable, inputs: dict) -> object:
    answers = []
    for case in inputs["cases"]:
        runs = [dict(run) for run in case["runs"]]
        answers.append({"answer": function(runs, case["devices"]), "runs": runs})
    return answers


def days_judge(inputs: dict, returned: object) -> None:
    for case, answer in zip(inputs["cases"], as_items(returned, len(inputs["cases"]))):
        runs, devices = case["runs"], case["devices"]
        unknown = [run["what"] for run in runs if run["time"] is None]
        require_fields(answer, {"answer", "runs"})
        got = as_items(
            answer["answer"], 2, "what gpu_days returns (the total, and the share of each device)"
        )
        if answer["runs"] != runs:
            raise Wrong("`runs` was changed; work on a copy, it is still needed")
        if unknown:
            if got != [None, None]:
                raise Wrong(
                    f"nobody knows how long {unknown[0]!r} took (its time is None), so total and"
                    f" share are not known either: (None, None), not {tuple(got)}"
                )
            continue
        if None in got:
            raise Wrong(
                "None, although every run has a time; a time of 0.0 is known too: it is zero"
            )
        expected = Fraction(0)
        for run in runs:
            days = Fraction(run["time"]) * SECONDS[run["unit"]] * run["gpus"] / SECONDS["days"]
            expected += days * (devices if run["per_device"] else 1)
        for value, want, what in (
            (got[0], expected, "the total"),
            (got[1], expected / devices, "a device's share"),
        ):
            value = as_number(value, what)
            if abs(value - want) > 1e-6 * want:
                raise Wrong(
                    f"{what} for {devices} device{'s' * (devices > 1)} of the runs {_runs(runs)} is"
                    f" {float(want):.6g} GPU days, got"
                    f" {value:.6g}{_days_mistake(runs, devices, value, what)}"
                )


def _runs(runs: list[dict]) -> str:
    return "; ".join(
        f"{run['what']}: {run['time']:g} {run['unit']} on {run['gpus']} GPUs"
        f"{', per device' if run['per_device'] else ''}"
        for run in runs
    )


def _days_mistake(runs: list[dict], devices: int, value: float, what: str) -> str:
    """The end of a sentence that names the mistake which gives `value`, or nothing."""
    sharing = 1 if what == "the total" else devices

    def total(days: Callable[[dict], float], times: Callable[[dict], float]) -> float:
        return sum(run["time"] * days(run) * times(run) for run in runs) / sharing

    def days_per_unit(run: dict) -> float:
        return SECONDS[run["unit"]] / SECONDS["days"]

    def copies(run: dict) -> float:
        return devices if run["per_device"] else 1

    for other, mistake in (
        (total(days_per_unit, copies), "a run on g GPUs for t days costs g * t GPU days"),
        (
            total(days_per_unit, lambda run: run["gpus"] * devices),
            "what is paid once does not grow with the devices",
        ),
        (
            total(days_per_unit, lambda run: run["gpus"]),
            "runs per device are paid for every device",
        ),
        (24 * total(days_per_unit, lambda run: run["gpus"] * copies(run)), "that is in GPU hours"),
        (
            total(lambda run: 1, lambda run: run["gpus"] * copies(run)),
            "the runs' times have different units",
        ),
    ):
        if math.isclose(value, other, rel_tol=1e-9):
            return f"; {mistake}"
    return ""


# ---- 7.2 no dearer -------------------------------------------------------------------------------


def dearer_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    random_pairs = rng.integers(0, 12, size=(60, 4)).tolist()
    pairs = [
        [1240, 0, 0, 180],
        [1240, 25, 0, 180],
        [1200, 0, 0, 300],
        [0, 180, 1240, 0],
        [0, 300, 1200, 0],
        [5, 7, 5, 7],
        [6, 7, 5, 7],
        [5, 7, 6, 7],
        [10, 0, 0, 10],
        [0, 10, 10, 0],
        [11, 0, 0, 10],
        [9, 0, 0, 10],
    ]
    quotient, step = int(rng.integers(2**40, 2**41)), int(rng.integers(3, 1000))
    for off in (-1, 0, 1):  # equal costs, or a difference of one that no float can hold
        pairs += [
            [quotient * step * 2**20 + off, 0, 0, step],
            [0, step, quotient * step * 2**20 + off, 0],
        ]
    return {"cases": [*pairs, *random_pairs]}


def dearer_run(function: Callable, inputs: dict) -> object:
    return [function(*case) for case in inputs["cases"]]


def dearer_judge(inputs: dict, returned: object) -> None:
    answers = as_items(returned, len(inputs["cases"]))
    if all(answer is None for answer in answers):
        raise Wrong("None for every pair of methods; is a return statement missing?")
    for (once, each, other_once, other_each), answer in zip(inputs["cases"], answers):

        def fits(n: int, lines: tuple = (once, each, other_once, other_each)) -> bool:
            return lines[0] + n * lines[1] <= lines[2] + n * lines[3]

        about = f"{once} + {each} N against {other_once} + {other_each} N"
        endless = each <= other_each  # the difference does not rise: what fits once fits ever after
        if answer is None:
            if fits(1) or each < other_each:
                raise Wrong(
                    f"{about}: None, but it is no dearer for "
                    + ("N = 1" if fits(1) else "every N that is large enough")
                )
            continue
        first, last = as_items(answer, 2, f"{about}: the answer (first, last), or None,")
        first = as_integer(first, f"{about}: the first N")
        last = None if last is None else as_integer(last, f"{about}: the last N")
        for n, what in ((first, "first"), (last, "last")):
            if n is not None and (n < 1 or not fits(n)):
                raise Wrong(
                    f"{about}: {what} is {n}, "
                    + ("but N starts at 1" if n < 1 else "where the first method is still dearer")
                )
        if first > 1 and fits(first - 1):
            raise Wrong(
                f"{about}: first is {first}, but it is no dearer for N = {first - 1} already"
                + (
                    " (equal costs count)"
                    if once + (first - 1) * each == other_once + (first - 1) * other_each
                    else ""
                )
            )
        if (last is None) != endless:
            raise Wrong(
                f"{about}: last is {last}, but "
                + (
                    "it stays no dearer without end, which is last = None"
                    if endless
                    else "for many devices it is dearer"
                )
            )
        if last is not None and fits(last + 1):
            raise Wrong(f"{about}: last is {last}, but it is no dearer for N = {last + 1} too")


# ---- 7.3 energy ----------------------------------------------------------------------------------


def energy_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)

    def log(n: int) -> dict:
        seconds = 50.0 + np.cumsum(rng.choice([0.5, 1.0, 2.0, 30.0], size=n))
        return {
            "seconds": seconds,
            "watts": rng.uniform(40, 300, size=n),
            "idle_watts": float(rng.uniform(60, 90)),
            "missing": [],
        }

    missing = (0, 39, int(rng.integers(40)))  # an end is a reading like the others
    return {"cases": [log(50), log(2), *({**log(40), "missing": [i]} for i in missing)]}


def energy_run(function: Callable, inputs: dict) -> object:
    answers = []
    for case in inputs["cases"]:
        watts = case["watts"].copy()
        watts[case["missing"]] = np.nan
        answers.append(function(case["seconds"].copy(), watts, case["idle_watts"]))
    return answers


def energy_judge(inputs: dict, returned: object) -> None:
    for case, answer in zip(inputs["cases"], as_items(returned, len(inputs["cases"]))):
        seconds, watts, idle = case["seconds"].tolist(), case["watts"].tolist(), case["idle_watts"]
        if case["missing"]:
            if answer is not None:
                raise Wrong(
                    "one reading is NaN: for a part of the time nobody knows the power, so the"
                    f" energy is not measured and the answer None, not {answer}"
                )
            continue
        if answer is None:
            raise Wrong("None, although every reading is there")
        got, steps = (
            as_number(answer, "the energy"),
            list(zip(seconds, seconds[1:], watts, watts[1:])),
        )
        joules = math.fsum((b - a) * (p + q) / 2 for a, b, p, q in steps)
        span = seconds[-1] - seconds[0]
        expected = (joules - idle * span) / 3.6e6
        for other, mistake in (
            (joules / 3.6e6, "what the machine draws when idle is still in it"),
            (expected * 1000, "that is in watt hours; 1 kWh = 3,600,000 J"),
            (expected * 3.6e6, "that is in joules; 1 kWh = 3,600,000 J"),
            (
                (math.fsum(watts) / len(watts) - idle) * span / 3.6e6,
                "the mean of the readings times the duration: readings are not equally far apart",
            ),
            (
                (math.fsum((b - a) * p for a, b, p, _ in steps) - idle * span) / 3.6e6,
                "each interval is counted with the power at its start",
            ),
            (
                (math.fsum((b - a) * q for a, b, _, q in steps) - idle * span) / 3.6e6,
                "each interval is counted with the power at its end",
            ),
            (
                math.fsum((b - a) * max(0.0, (p + q) / 2 - idle) for a, b, p, q in steps) / 3.6e6,
                "intervals below idle power are cut off at zero",
            ),
        ):
            if math.isclose(got, other, rel_tol=1e-9) and not math.isclose(
                other, expected, rel_tol=1e-9
            ):
                raise Wrong(f"the energy is {expected:.6g} kWh, got {got:.6g}: {mistake}")
        if not math.isclose(got, expected, rel_tol=1e-6):
            raise Wrong(
                f"the energy of {len(seconds)} readings over {span:g} s is {expected:.6g} kWh, got"
                f" {got:.6g}; each interval is as long as its readings are apart and counts with"
                " the mean of the two"
            )


# ---- 7.4 a bootstrap interval --------------------------------------------------------------------


def bootstrap_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    pairs = int(rng.integers(9, 15))
    x = rng.permutation(pairs) + rng.uniform(0, 0.4, size=pairs)
    return {
        "x": x,
        "y": np.exp(0.3 * x + rng.normal(size=pairs)),
        "level": (0.9, 0.8, 0.95)[seed % 3],
        "resamples": (400, 300, 360)[seed % 3],
        "seed": int(rng.integers(2**31)),
    }


def bootstrap_run(function: Callable, inputs: dict) -> object:
    """The witness is told of the resamples of the first of three intervals."""
    pairs = len(inputs["x"])

    def interval(seed: int, is_first: bool = False) -> object:
        def statistic(x: object, y: object) -> float:
            x, y = np.array(x, dtype=float), np.array(y, dtype=float)
            if x.shape != (pairs,) or y.shape != (pairs,):
                raise Wrong(
                    f"`statistic` takes two arrays of the {pairs} values of one resample, got"
                    f" shapes {x.shape} and {y.shape}"
                )
            if is_first:
                tell("resample", [x, y])
            return float(_statistic(x, y))

        return function(
            statistic,
            inputs["x"].copy(),
            inputs["y"].copy(),
            inputs["level"],
            inputs["resamples"],
            np.random.default_rng(seed),
        )

    return {
        "interval": interval(inputs["seed"], is_first=True),
        "again": interval(inputs["seed"]),
        "another": interval(inputs["seed"] + 1),
    }


def _statistic(x: np.ndarray, y: np.ndarray) -> float:
    return (x * y).mean() - x.mean() * y.mean()


def bootstrap_judge(inputs: dict, returned: object, notes: Sequence[Note]) -> None:
    require_fields(returned, {"interval", "again", "another"}, "the interval could not be read")
    x, y, level, resamples = inputs["x"], inputs["y"], inputs["level"], inputs["resamples"]
    low, high = (
        as_number(v, f"the {end} end")
        for v, end in zip(as_items(returned["interval"], 2, "the interval"), ("lower", "upper"))
    )
    samples = [as_array(np.reshape(note.told, (2, -1)), (2, len(x))) for note in notes]
    is_data = [np.array_equal(sample, np.stack([x, y])) for sample in samples]
    if len(samples) == resamples + 1 and any(is_data):
        samples.pop(is_data.index(True))  # the statistic of the data themselves does no harm
    if len(samples) != resamples:
        raise Wrong(
            f"{resamples} resamples were asked for, `statistic` was called {len(samples)} times"
        )
    draws = np.array([_indices(sample, x, y) for sample in samples])  # (resamples, pairs)
    _judge_draws(draws)
    for name, same_seed in (("again", True), ("another", False)):
        other = [as_number(v, "an end") for v in as_items(returned[name], 2, "the interval")]
        if (other == [low, high]) != same_seed:
            raise Wrong(
                "the same seed gave another interval: draw from `rng` only"
                if same_seed
                else "another seed gave the same interval: `rng` has no part in it"
            )
    values = sorted(_statistic(*sample) for sample in samples)
    tail = round(resamples * (1 - level) / 2)
    if low > high:
        raise Wrong(f"the lower end {low:.4g} is above the upper end {high:.4g}")
    one_sided = 2 * tail
    if _between(low, values, one_sided) or _between(
        -high, [-v for v in reversed(values)], one_sided
    ):
        raise Wrong(
            f"an end leaves out {100 * (1 - level):.0f} % of the values; both tails together are to"
            f" be {100 * (1 - level):.0f} %, so each is half of that"
        )
    for end, value, ordered in (
        ("lower", low, values),
        ("upper", -high, [-v for v in reversed(values)]),
    ):
        if not _between(value, ordered, tail):
            raise Wrong(
                f"the {end} end {value if end == 'lower' else -value:.4g} is not the quantile of"
                f" the {resamples} values that leaves {50 * (1 - level):g} % of them outside; they"
                f" run from {values[0]:.4g} to {values[-1]:.4g}, and {tail} should lie outside at"
                " each end"
            )


def _between(value: float, ordered: list[float], tail: int) -> bool:
    """Whether `tail` of the values are below `value`, by any of the usual rules for quantiles."""
    slack = 1e-9 * (ordered[-1] - ordered[0])
    return ordered[tail - 1] - slack <= value <= ordered[tail] + slack


def _indices(sample: np.ndarray, x: np.ndarray, y: np.ndarray) -> list[int]:
    """The position in the data of each pair of a resample (2, n)."""
    pair_indices = []
    for a, b in sample.T:
        (i,), (j,) = (
            np.flatnonzero(v == value) if (v == value).any() else np.array([-1])
            for v, value in ((x, a), (y, b))
        )
        if i < 0 or j < 0:
            raise Wrong("a resample holds values that are not in the data")
        if i != j:
            raise Wrong(
                "x and y were drawn apart from each other; what is drawn are pairs, or their"
                " relation is lost"
            )
        pair_indices.append(int(i))
    return pair_indices


def _judge_draws(draws: np.ndarray) -> None:
    pairs = draws.shape[1]
    if (draws == draws[0]).all():
        raise Wrong("all resamples are the same; draw anew for each of them")
    distinct = int((np.array([len(set(row)) for row in draws.tolist()]) == pairs).sum())
    if distinct > len(draws) // 2:
        raise Wrong(
            "every resample holds each pair once; draw with replacement, so that some pairs come"
            " twice and others not at all"
        )
    # The order of the pairs in a resample means nothing, so a sorted resample is as good as any.
    draws = np.random.default_rng(0).permuted(draws, axis=1)
    for i in range(pairs):
        require_frequency(int((draws == i).sum()), draws.size, 1 / pairs, f"pair {i} was drawn")
    require_frequency(
        int((draws[:, :-1] == draws[:, 1:]).sum()),
        len(draws) * (pairs - 1),
        1 / pairs,
        "two draws of a resample gave the same pair",
    )
    require_frequency(
        int((draws[:-1] == draws[1:]).sum()),
        (len(draws) - 1) * pairs,
        1 / pairs,
        "draws of two resamples in a row gave the same pair",
    )


EXERCISES = (
    Exercise(
        "7.1",
        2,
        "gpu_days",
        days_inputs,
        days_run,
        days_judge,
        (
            "labkit.accounting.search_cost.Method.total",
            "labkit.accounting.search_cost._total",
            "labkit.accounting.search_cost._sum",
        ),
        sizes=(
            Size({"cases": 0}),
            Size({"cases/0/runs": 0}),
        ),
    ),
    Exercise(
        "7.2",
        3,
        "no_dearer",
        dearer_inputs,
        dearer_run,
        dearer_judge,
        ("labkit.accounting.search_cost.break_even",),
        sizes=(Size({"cases": 0}),),
    ),
    Exercise(
        "7.3", 2, "energy_kwh", energy_inputs, energy_run, energy_judge, sizes=(Size({"cases": 0}),)
    ),
    Exercise(
        "7.4",
        3,
        "bootstrap_interval",
        bootstrap_inputs,
        bootstrap_run,
        bootstrap_judge,
        witnessed=True,
        sizes=(Size({"x": 0, "y": 0}, least=8),),
    ),
    Exercise(
        "7.5",
        4,
        "better_space",
        spaces_inputs,
        spaces_run,
        spaces_judge,
        sizes=(Size({"cases": 0}), Size({"cases/0/samples": 0})),
    ),
)
