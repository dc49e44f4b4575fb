"""Answers to the exercises of 07_search_cost: `RIGHT` must pass, `WRONG` must not."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np

# ---- 7.1 -----------------------------------------------------------------------------------------

PER_DAY = {"seconds": 86400, "minutes": 1440, "hours": 24, "days": 1}


def days_loop(runs, devices):
    total = 0.0
    for run in runs:
        if run["time"] is None:
            return None, None
        copies = devices if run["per_device"] else 1
        total += copies * run["gpus"] * run["time"] / PER_DAY[run["unit"]]
    return total, total / devices


def days_hours_first(runs, devices):
    hours = {"seconds": 1 / 3600, "minutes": 1 / 60, "hours": 1, "days": 24}
    if any(run["time"] is None for run in runs):
        return [None, None]
    once = sum(r["time"] * hours[r["unit"]] * r["gpus"] for r in runs if not r["per_device"])
    each = sum(r["time"] * hours[r["unit"]] * r["gpus"] for r in runs if r["per_device"])
    return [(once + devices * each) / 24, (once / devices + each) / 24]


def days_numpy(runs, devices):
    time = np.array([np.nan if run["time"] is None else run["time"] for run in runs])
    weight = np.array(
        [run["gpus"] / PER_DAY[run["unit"]] * devices ** run["per_device"] for run in runs]
    )
    total = time @ weight
    return (None, None) if np.isnan(total) else (total, total / devices)


def days_without_gpus(runs, devices):
    return days_loop([{**run, "gpus": 1} for run in runs], devices)


def days_once_for_every_device(runs, devices):
    return days_loop([{**run, "per_device": True} for run in runs], devices)


def days_one_device_only(runs, devices):
    return days_loop([{**run, "per_device": False} for run in runs], devices)


def days_in_hours(runs, devices):
    total, share = days_loop(runs, devices)
    return (None, None) if total is None else (24 * total, 24 * share)


def days_unit_ignored(runs, devices):
    return days_loop([{**run, "unit": "days"} for run in runs], devices)


def days_unknown_is_zero(runs, devices):
    return days_loop([{**run, "time": run["time"] or 0.0} for run in runs], devices)


def days_zero_is_unknown(runs, devices):
    return days_loop(runs, devices) if all(run["time"] for run in runs) else (None, None)


def days_share_of_once_only(runs, devices):
    total, _ = days_loop(runs, devices)
    once, _ = days_loop([run for run in runs if not run["per_device"]], devices)
    return total, None if once is None or total is None else once / devices


def days_swapped(runs, devices):
    return days_loop(runs, devices)[::-1]


def days_total_only(runs, devices):
    return days_loop(runs, devices)[0]


def days_forgets_the_times(runs, devices):
    answer = days_loop(runs, devices)
    for run in runs:
        run["time"] = None
    return answer


def days_sorts_the_runs(runs, devices):
    runs.sort(key=lambda run: run["gpus"])
    return days_loop(runs, devices)


def days_unknown_for_devices_only(runs, devices):
    """An unknown cost that is paid once counts as nothing."""
    if any(run["time"] is None and run["per_device"] for run in runs):
        return None, None
    return days_loop([{**run, "time": run["time"] or 0.0} for run in runs], devices)


def days_unknown_once_only(runs, devices):
    if any(run["time"] is None and not run["per_device"] for run in runs):
        return None, None
    return days_loop([{**run, "time": run["time"] or 0.0} for run in runs], devices)


def days_share_known(runs, devices):
    """The total is not known; the share is that of what is known."""
    known = days_loop([run for run in runs if run["time"] is not None], devices)
    return (None, known[1]) if any(run["time"] is None for run in runs) else known


def days_one_none(runs, devices):
    return None if any(run["time"] is None for run in runs) else days_loop(runs, devices)


def days_share_of_both(runs, devices):
    """What is paid for each device is divided by the devices once more."""
    total, share = days_loop([{**run, "per_device": False} for run in runs], devices)
    return days_loop(runs, devices)[0], share


# ---- 7.2 -----------------------------------------------------------------------------------------


def dearer_floor(once, each, other_once, other_each):
    ahead, slope = other_once - once, each - other_each
    if slope > 0:
        return (1, ahead // slope) if ahead >= slope else None
    if slope == 0:
        return (1, None) if ahead >= 0 else None
    return max(1, -(ahead // -slope)), None


def dearer_fractions(once, each, other_once, other_each):
    if each == other_each:
        return [1, None] if once <= other_once else None
    meet = Fraction(other_once - once, each - other_each)
    if each < other_each:
        return [max(math.ceil(meet), 1), None]
    return [1, math.floor(meet)] if meet >= 1 else None


def dearer_bisect(once, each, other_once, other_each):
    def fits(n):
        return once + n * each <= other_once + n * other_each

    def change(low, high):  # fits differs at the two; the last at which it is as at `low`
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) == fits(low) else (low, middle)
        return low

    far = 1 << 200
    if fits(1):
        return (1, None) if fits(far) else (1, change(1, far))
    return (change(1, far) + 1, None) if fits(far) else None


def dearer_strict(once, each, other_once, other_each):
    return dearer_floor(once + 1, each, other_once, other_each)


def dearer_in_floats(once, each, other_once, other_each):
    if each == other_each:
        return (1, None) if once <= other_once else None
    meet = (other_once - once) / (each - other_each)
    if each < other_each:
        return max(1, math.ceil(meet)), None
    return (1, math.floor(meet)) if meet >= 1 else None


def dearer_from_zero(once, each, other_once, other_each):
    answer = dearer_floor(once, each, other_once, other_each)
    return (max(0, answer[0] - 1), answer[1]) if answer else None


def dearer_rounds_down(once, each, other_once, other_each):
    if each >= other_each:
        return dearer_floor(once, each, other_once, other_each)
    return max(1, (once - other_once) // (other_each - each)), None


def dearer_one_more(once, each, other_once, other_each):
    if each >= other_each:
        return dearer_floor(once, each, other_once, other_each)
    return max(1, (once - other_once) // (other_each - each) + 1), None


def dearer_never_ends(once, each, other_once, other_each):
    answer = dearer_floor(once, each, other_once, other_each)
    return answer and (answer[0], None)


def dearer_never_when_dearer_each(once, each, other_once, other_each):
    return dearer_floor(once, each, other_once, other_each) if each <= other_each else None


def dearer_swapped(once, each, other_once, other_each):
    return dearer_floor(other_once, other_each, once, each)


def dearer_first_only(once, each, other_once, other_each):
    answer = dearer_floor(once, each, other_once, other_each)
    return answer and answer[0]


def dearer_by_counting(once, each, other_once, other_each):
    fitting = [n for n in range(1, 2000) if once + n * each <= other_once + n * other_each]
    return (fitting[0], None if each <= other_each else fitting[-1]) if fitting else None


def dearer_equal_is_never(once, each, other_once, other_each):
    return None if each == other_each else dearer_floor(once, each, other_once, other_each)


def dearer_pair_of_nones(once, each, other_once, other_each):
    return dearer_floor(once, each, other_once, other_each) or (None, None)


def dearer_crossing_only(once, each, other_once, other_each):
    """The number at which both cost the same, wherever N begins."""
    if each >= other_each:
        return dearer_floor(once, each, other_once, other_each)
    return -((other_once - once) // (other_each - each)), None


def dearer_in_int64(once, each, other_once, other_each):
    with np.errstate(over="ignore"):
        values = [
            np.uint64(v % 2**64).astype(np.int64) for v in (once, each, other_once, other_each)
        ]
    return dearer_floor(*map(int, values))


# ---- 7.3 -----------------------------------------------------------------------------------------


def energy_diff(seconds, watts, idle_watts):
    if np.isnan(watts).any():
        return None
    mean = (watts[1:] + watts[:-1]) / 2
    return (np.diff(seconds) * (mean - idle_watts)).sum() / 3.6e6


def energy_loop(seconds, watts, idle_watts):
    joules = 0.0
    for (a, p), (b, q) in pairwise(zip(seconds, watts)):
        if p != p or q != q:
            return None
        joules += (b - a) * (p + q) / 2
    return (joules - idle_watts * (seconds[-1] - seconds[0])) / 1000 / 3600


def energy_hours(seconds, watts, idle_watts):
    kilowatts, hours = (watts - idle_watts) / 1000, seconds / 3600
    energy = float(
        np.trapezoid(kilowatts, hours) if hasattr(np, "trapezoid") else np.trapz(kilowatts, hours)
    )
    return None if math.isnan(energy) else energy


def energy_with_idle(seconds, watts, idle_watts):
    return energy_diff(seconds, watts, 0.0)


def energy_mean_power(seconds, watts, idle_watts):
    if np.isnan(watts).any():
        return None
    return (watts.mean() - idle_watts) * (seconds[-1] - seconds[0]) / 3.6e6


def energy_from_start(seconds, watts, idle_watts):
    if np.isnan(watts).any():
        return None
    return (np.diff(seconds) * (watts[:-1] - idle_watts)).sum() / 3.6e6


def energy_watt_hours(seconds, watts, idle_watts):
    energy = energy_diff(seconds, watts, idle_watts)
    return None if energy is None else 1000 * energy


def energy_joules(seconds, watts, idle_watts):
    energy = energy_diff(seconds, watts, idle_watts)
    return None if energy is None else 3.6e6 * energy


def energy_every_second(seconds, watts, idle_watts):
    if np.isnan(watts).any():
        return None
    return ((watts[1:] + watts[:-1]) / 2 - idle_watts).sum() / 3.6e6


def energy_without_gap(seconds, watts, idle_watts):
    measured = ~np.isnan(watts)
    return energy_diff(seconds[measured], watts[measured], idle_watts)


def energy_gap_is_zero(seconds, watts, idle_watts):
    return energy_diff(seconds, np.nan_to_num(watts), idle_watts)


def energy_gap_is_nan(seconds, watts, idle_watts):
    return (np.diff(seconds) * ((watts[1:] + watts[:-1]) / 2 - idle_watts)).sum() / 3.6e6


def energy_clipped(seconds, watts, idle_watts):
    if np.isnan(watts).any():
        return None
    return (
        np.diff(seconds) * np.maximum(0, (watts[1:] + watts[:-1]) / 2 - idle_watts)
    ).sum() / 3.6e6


def energy_not_halved(seconds, watts, idle_watts):
    if np.isnan(watts).any():
        return None
    return (np.diff(seconds) * (watts[1:] + watts[:-1] - idle_watts)).sum() / 3.6e6


def _energy_if_measured(seconds, watts, idle_watts, readings):
    return None if np.isnan(readings).any() else energy_gap_is_nan(seconds, watts, idle_watts)


def energy_without_the_ends(seconds, watts, idle_watts):
    return _energy_if_measured(seconds, watts, idle_watts, watts[1:-1])


def energy_without_the_first(seconds, watts, idle_watts):
    return _energy_if_measured(seconds, watts, idle_watts, watts[1:])


def energy_without_the_last(seconds, watts, idle_watts):
    return _energy_if_measured(seconds, watts, idle_watts, watts[:-1])


def energy_within_the_gap_only(seconds, watts, idle_watts):
    """Without the intervals of which an end is missing."""
    joules = np.diff(seconds) * ((watts[1:] + watts[:-1]) / 2 - idle_watts)
    return np.nansum(joules) / 3.6e6


def energy_idle_of_readings(seconds, watts, idle_watts):
    """Readings below idle count as idle."""
    return energy_diff(seconds, np.maximum(watts, idle_watts), idle_watts)


# ---- 7.4 -----------------------------------------------------------------------------------------


def bootstrap_integers(statistic, x, y, level, resamples, rng):
    values = []
    for _ in range(resamples):
        resample = rng.integers(0, len(x), size=len(x))
        values.append(statistic(x[resample], y[resample]))
    return np.quantile(values, [(1 - level) / 2, (1 + level) / 2])


def bootstrap_choice(statistic, x, y, level, resamples, rng):
    pairs = np.column_stack([x, y])
    values = sorted(statistic(*rng.choice(pairs, size=len(pairs)).T) for _ in range(resamples))
    outside = round(resamples * (1 - level) / 2)
    return values[outside], values[-1 - outside]


def bootstrap_matrix(statistic, x, y, level, resamples, rng):
    resample = np.floor(rng.random((resamples, len(x))) * len(x)).astype(int)
    statistic(x, y)
    values = [statistic(x[row].tolist(), y[row].tolist()) for row in resample]
    tail = 50 * (1 - level)
    return np.percentile(values, tail, method="lower"), np.percentile(
        values, 100 - tail, method="higher"
    )


def bootstrap_one_sided(statistic, x, y, level, resamples, rng):
    values = bootstrap_values(statistic, x, y, resamples, rng)
    return np.quantile(values, [1 - level, level])


def bootstrap_values(statistic, x, y, resamples, rng, size=None):
    size = size or len(x)
    return [
        statistic(x[d], y[d])
        for d in (rng.integers(0, len(x), size=size) for _ in range(resamples))
    ]


def bootstrap_unpaired(statistic, x, y, level, resamples, rng):
    n = len(x)
    values = [
        statistic(x[rng.integers(0, n, n)], y[rng.integers(0, n, n)]) for _ in range(resamples)
    ]
    return np.quantile(values, [(1 - level) / 2, (1 + level) / 2])


def bootstrap_permutes(statistic, x, y, level, resamples, rng):
    values = [statistic(x[d], y[d]) for d in (rng.permutation(len(x)) for _ in range(resamples))]
    return np.quantile(values, [(1 - level) / 2, (1 + level) / 2])


def bootstrap_misses_last(statistic, x, y, level, resamples, rng):
    values = [
        statistic(x[d], y[d])
        for d in (rng.integers(0, len(x) - 1, size=len(x)) for _ in range(resamples))
    ]
    return np.quantile(values, [(1 - level) / 2, (1 + level) / 2])


def bootstrap_smaller(statistic, x, y, level, resamples, rng):
    values = bootstrap_values(statistic, x, y, resamples, rng, len(x) - 1)
    return np.quantile(values, [(1 - level) / 2, (1 + level) / 2])


def bootstrap_normal(statistic, x, y, level, resamples, rng):
    values = bootstrap_values(statistic, x, y, resamples, rng)
    return np.mean(values) - 1.96 * np.std(values), np.mean(values) + 1.96 * np.std(values)


def bootstrap_extremes(statistic, x, y, level, resamples, rng):
    values = bootstrap_values(statistic, x, y, resamples, rng)
    return min(values), max(values)


def bootstrap_percent(statistic, x, y, level, resamples, rng):
    values = bootstrap_values(statistic, x, y, resamples, rng)
    return np.percentile(values, [(1 - level) / 2, (1 + level) / 2])


def bootstrap_reversed(statistic, x, y, level, resamples, rng):
    return bootstrap_integers(statistic, x, y, level, resamples, rng)[::-1]


def bootstrap_global(statistic, x, y, level, resamples, rng):
    return bootstrap_integers(statistic, x, y, level, resamples, np.random.default_rng())


def bootstrap_fixed_seed(statistic, x, y, level, resamples, rng):
    return bootstrap_integers(statistic, x, y, level, resamples, np.random.default_rng(0))


def bootstrap_same_draw(statistic, x, y, level, resamples, rng):
    resample = rng.integers(0, len(x), size=len(x))
    values = [statistic(x[resample], y[resample]) for _ in range(resamples)]
    return np.quantile(values, [(1 - level) / 2, (1 + level) / 2])


def bootstrap_always_95(statistic, x, y, level, resamples, rng):
    return bootstrap_integers(statistic, x, y, 0.95, resamples, rng)


def bootstrap_one_short(statistic, x, y, level, resamples, rng):
    return bootstrap_integers(statistic, x, y, level, resamples - 1, rng)


def bootstrap_twelve(statistic, x, y, level, resamples, rng):
    values = [statistic(x[row], y[row]) for row in rng.integers(0, 12, (resamples, 12))]
    return np.quantile(values, [(1 - level) / 2, (1 + level) / 2])


def bootstrap_from_twelve(statistic, x, y, level, resamples, rng):
    values = [
        statistic(x[row], y[row]) for row in rng.integers(0, min(12, len(x)), (resamples, len(x)))
    ]
    return np.quantile(values, [(1 - level) / 2, (1 + level) / 2])


def bootstrap_about_the_estimate(statistic, x, y, level, resamples, rng):
    """The interval turned around the statistic of the data."""
    value = statistic(x, y)
    low, high = bootstrap_integers(statistic, x, y, level, resamples, rng)
    return 2 * value - high, 2 * value - low


def bootstrap_of_x_only(statistic, x, y, level, resamples, rng):
    values = [statistic(x[d], y) for d in rng.integers(0, len(x), (resamples, len(x)))]
    return np.quantile(values, [(1 - level) / 2, (1 + level) / 2])


def bootstrap_low_only(statistic, x, y, level, resamples, rng):
    return bootstrap_integers(statistic, x, y, level, resamples, rng)[0]


RIGHT = {
    "7.1": [days_loop, days_hours_first, days_numpy],
    "7.2": [dearer_floor, dearer_fractions, dearer_bisect],
    "7.3": [energy_diff, energy_loop, energy_hours],
    "7.4": [bootstrap_integers, bootstrap_choice, bootstrap_matrix],
}
WRONG = {
    "7.1": [
        days_unknown_for_devices_only,
        days_unknown_once_only,
        days_share_known,
        days_one_none,
        days_share_of_both,
        days_without_gpus,
        days_once_for_every_device,
        days_one_device_only,
        days_in_hours,
        days_unit_ignored,
        days_unknown_is_zero,
        days_zero_is_unknown,
        days_share_of_once_only,
        days_swapped,
        days_total_only,
        days_forgets_the_times,
        days_sorts_the_runs,
    ],
    "7.2": [
        dearer_pair_of_nones,
        dearer_in_int64,
        dearer_crossing_only,
        dearer_strict,
        dearer_in_floats,
        dearer_from_zero,
        dearer_rounds_down,
        dearer_one_more,
        dearer_never_ends,
        dearer_never_when_dearer_each,
        dearer_swapped,
        dearer_first_only,
        dearer_by_counting,
        dearer_equal_is_never,
    ],
    "7.3": [
        energy_within_the_gap_only,
        energy_idle_of_readings,
        energy_with_idle,
        energy_mean_power,
        energy_from_start,
        energy_watt_hours,
        energy_joules,
        energy_every_second,
        energy_without_gap,
        energy_gap_is_zero,
        energy_gap_is_nan,
        energy_clipped,
        energy_not_halved,
        energy_without_the_ends,
        energy_without_the_first,
        energy_without_the_last,
    ],
    "7.4": [
        bootstrap_about_the_estimate,
        bootstrap_of_x_only,
        bootstrap_low_only,
        bootstrap_one_sided,
        bootstrap_unpaired,
        bootstrap_permutes,
        bootstrap_misses_last,
        bootstrap_smaller,
        bootstrap_normal,
        bootstrap_extremes,
        bootstrap_percent,
        bootstrap_reversed,
        bootstrap_global,
        bootstrap_fixed_seed,
        bootstrap_same_draw,
        bootstrap_always_95,
        bootstrap_one_short,
        bootstrap_twelve,
        bootstrap_from_twelve,
    ],
}
