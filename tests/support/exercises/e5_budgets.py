"""Answers to exercises 5.6 and 7.5, the smallest budgets and spaces at a budget: `RIGHT` must pass,
`WRONG` must not.
"""

import itertools
import math

import numpy as np

# ---- 5.6 -----------------------------------------------------------------------------------------


def least_ms(stages, sram):
    within = [stage["latency_ms"][stage["sram_bytes"] <= sram] for stage in stages]
    return sum(ms.min() if len(ms) else np.inf for ms in within)


def budgets_every_size(global_choices, limits):
    def least(sram):
        return min(least_ms(stages, sram) for stages in global_choices)

    sizes = {b for stages in global_choices for stage in stages for b in stage["sram_bytes"]}
    enough = [size for size in sizes if least(size) <= limits["latency_ms"]]
    return least(limits["sram_bytes"]), min(enough, default=np.inf)


def budgets_brute_force(global_choices, limits):
    ms, sram = [math.inf], [math.inf]
    for stages in global_choices:
        rows = [list(zip(stage["latency_ms"], stage["sram_bytes"])) for stage in stages]
        for subnet in itertools.product(*rows):
            spent, size = sum(a for a, _ in subnet), max(b for _, b in subnet)
            if size <= limits["sram_bytes"]:
                ms.append(spent)
            if spent <= limits["latency_ms"]:
                sram.append(size)
    return min(ms), min(sram)


def budgets_bisection(global_choices, limits):
    sizes = np.unique([b for stages in global_choices for s in stages for b in s["sram_bytes"]])

    def least(sram):
        return min(least_ms(stages, sram) for stages in global_choices)

    low, high = 0, len(sizes)
    while low < high:
        middle = (low + high) // 2
        if least(sizes[middle]) <= limits["latency_ms"]:
            high = middle
        else:
            low = middle + 1
    return [least(limits["sram_bytes"]), float(sizes[low]) if low < len(sizes) else float("inf")]


def budgets_of_each_choice(global_choices, limits):
    """Shrinks the memory of each global choice, from its quickest subnet on."""
    ms, sram = np.inf, np.inf
    for stages in global_choices:
        ms = min(ms, least_ms(stages, limits["sram_bytes"]))
        size = max(stage["sram_bytes"].max() for stage in stages)
        while least_ms(stages, size) <= limits["latency_ms"]:
            sram = min(sram, size)
            smaller = [b for stage in stages for b in stage["sram_bytes"] if b < size]
            if not smaller:
                break
            size = max(smaller)
    return np.array([ms, sram])


def budgets_strict(global_choices, limits):
    """Less than the limits."""
    limits = {name: limit - 1e-6 for name, limit in limits.items()}
    return budgets_every_size(global_choices, limits)


def budgets_memory_adds_up(global_choices, limits):
    ms, sram = [np.inf], [np.inf]
    for stages in global_choices:
        rows = [list(zip(stage["latency_ms"], stage["sram_bytes"])) for stage in stages]
        for subnet in itertools.product(*rows):
            spent, size = sum(a for a, _ in subnet), sum(b for _, b in subnet)
            if size <= limits["sram_bytes"]:
                ms.append(spent)
            if spent <= limits["latency_ms"]:
                sram.append(size)
    return min(ms), min(sram)


def budgets_slowest_stage(global_choices, limits):
    """The latency of a subnet is that of its slowest stage."""
    ms, sram = [np.inf], [np.inf]
    for stages in global_choices:
        rows = [list(zip(stage["latency_ms"], stage["sram_bytes"])) for stage in stages]
        for subnet in itertools.product(*rows):
            spent, size = max(a for a, _ in subnet), max(b for _, b in subnet)
            if size <= limits["sram_bytes"]:
                ms.append(spent)
            if spent <= limits["latency_ms"]:
                sram.append(size)
    return min(ms), min(sram)


def budgets_one_at_a_time(global_choices, limits):
    """Each cost alone, whatever the other limit is."""
    ms = min(sum(stage["latency_ms"].min() for stage in stages) for stages in global_choices)
    sram = min(max(stage["sram_bytes"].min() for stage in stages) for stages in global_choices)
    return ms, sram


def budgets_mixed_choices(global_choices, limits):
    """Stages of different global choices in one subnet."""
    stages = [
        {
            name: np.concatenate([choice[s][name] for choice in global_choices])
            for name in ("latency_ms", "sram_bytes")
        }
        for s in range(len(global_choices[0]))
    ]
    return budgets_every_size([stages], limits)


def budgets_first_choice(global_choices, limits):
    return budgets_every_size(global_choices[:1], limits)


def budgets_last_choice(global_choices, limits):
    return budgets_every_size(global_choices[-1:], limits)


def budgets_two_stages(global_choices, limits):
    return budgets_every_size([stages[:2] for stages in global_choices], limits)


def budgets_memory_of_the_quickest(global_choices, limits):
    """The memory of the quickest subnet, if that meets the limit."""
    ms, _ = budgets_every_size(global_choices, limits)
    best = np.inf
    for stages in global_choices:
        picks = [stage["latency_ms"].argmin() for stage in stages]
        if sum(s["latency_ms"][i] for s, i in zip(stages, picks)) <= limits["latency_ms"]:
            best = min(best, max(s["sram_bytes"][i] for s, i in zip(stages, picks)))
    return ms, best


def budgets_latency_of_the_smallest(global_choices, limits):
    """The latency of the subnet of least memory, if that meets the limit."""
    _, sram = budgets_every_size(global_choices, limits)
    best = np.inf
    for stages in global_choices:
        picks = [stage["sram_bytes"].argmin() for stage in stages]
        if max(s["sram_bytes"][i] for s, i in zip(stages, picks)) <= limits["sram_bytes"]:
            best = min(best, sum(s["latency_ms"][i] for s, i in zip(stages, picks)))
    return best, sram


def budgets_swapped(global_choices, limits):
    return budgets_every_size(global_choices, limits)[::-1]


def budgets_yes_or_no(global_choices, limits):
    ms, sram = budgets_every_size(global_choices, limits)
    return ms <= limits["latency_ms"], sram <= limits["sram_bytes"]


def budgets_latency_only(global_choices, limits):
    return budgets_every_size(global_choices, limits)[0]


def budgets_none(global_choices, limits):
    return [
        None if np.isinf(value) else value for value in budgets_every_size(global_choices, limits)
    ]


def budgets_largest_there_is(global_choices, limits):
    """The largest value of all where nothing meets the other limit."""
    ms, sram = budgets_every_size(global_choices, limits)
    sizes = [b for stages in global_choices for stage in stages for b in stage["sram_bytes"]]
    times = [ms for stages in global_choices for stage in stages for ms in stage["latency_ms"]]
    return (ms if np.isfinite(ms) else max(times)), (sram if np.isfinite(sram) else max(sizes))


def budgets_raises(global_choices, limits):
    ms, sram = budgets_every_size(global_choices, limits)
    if np.isinf(ms) or np.isinf(sram):
        raise ValueError(f"no subnet meets {limits}")
    return ms, sram


def budgets_skips_tight_stages(global_choices, limits):
    """A stage of which nothing fits costs nothing."""

    def least(stages, sram):
        within = [stage["latency_ms"][stage["sram_bytes"] <= sram] for stage in stages]
        return sum(ms.min() for ms in within if len(ms))

    sizes = {b for stages in global_choices for stage in stages for b in stage["sram_bytes"]}
    enough = [
        size
        for size in sizes
        if min(least(stages, size) for stages in global_choices) <= limits["latency_ms"]
    ]
    ms = min(least(stages, limits["sram_bytes"]) for stages in global_choices)
    return ms, min(enough, default=np.inf)


# ---- 7.5 -----------------------------------------------------------------------------------------


def space_formula(samples, limit, k):
    bests = []
    for accuracy, cost in samples:
        values = sorted(accuracy[cost <= limit])
        m = len(values)
        weights = [math.comb(i, k - 1) / math.comb(m, k) if m >= k else 0 for i in range(m)]
        bests.append(sum(w * v for w, v in zip(weights, values)) if m >= k else -math.inf)
    return int(np.argmax(bests)), bests


def space_ratio(samples, limit, k):
    """The weights from the largest down, each a share of what those above it left over."""
    bests = np.full(len(samples), -np.inf)
    for s, (accuracy, cost) in enumerate(samples):
        values = np.sort(np.asarray(accuracy)[np.asarray(cost) <= limit])[::-1]
        remaining, total = 1.0, 0.0
        if len(values) >= k:
            for i, value in enumerate(values):
                share = min(1.0, k / (len(values) - i))
                total += remaining * share * value
                remaining *= 1 - share
            bests[s] = total
    return bests.argmax(), bests


def space_every_choice(samples, limit, k):
    """All choices of `k` where they are few, else the sum of the best's counts."""
    bests = []
    for accuracy, cost in samples:
        values = np.sort(accuracy[cost <= limit])
        if len(values) < k:
            bests.append(float("-inf"))
        elif math.comb(len(values), k) < 2000:
            bests.append(float(np.mean([max(c) for c in itertools.combinations(values, k)])))
        else:
            counts = np.array([math.comb(i, k - 1) for i in range(len(values))], dtype=float)
            bests.append(float(np.average(values, weights=counts)))
    return [bests.index(max(bests)), tuple(bests)]


def spaces_by(best_of, few=-np.inf):
    """An answer that judges a space by `best_of` of the accuracies within the limit."""

    def answer(samples, limit, k):
        bests = []
        for accuracy, cost in samples:
            values = np.sort(accuracy[cost <= limit])
            bests.append(best_of(values, k) if len(values) >= k else few)
        return int(np.argmax(bests)), bests

    return answer


def weighted(values, k, m=None):
    m = len(values) if m is None else m
    return sum(math.comb(i, k - 1) / math.comb(m, k) * v for i, v in enumerate(values))


def space_best_of_all(*arguments):
    return spaces_by(lambda values, k: values[-1])(*arguments)


def space_mean_of_all(*arguments):
    return spaces_by(lambda values, k: values.mean())(*arguments)


def space_mean_of_the_best(*arguments):
    """The mean of the `k` best."""
    return spaces_by(lambda values, k: values[-k:].mean())(*arguments)


def space_with_replacement(*arguments):
    """Of `k` draws that may be the same subnet."""

    def best(values, k):
        chances = (np.arange(len(values) + 1) / len(values)) ** k
        return (np.diff(chances) * values).sum()

    return spaces_by(best)(*arguments)


def space_random_choices(*arguments):
    rng = np.random.default_rng(0)

    def best(values, k):
        return np.mean([rng.choice(values, k, replace=False).max() for _ in range(200)])

    return spaces_by(best)(*arguments)


def space_first_k(samples, limit, k):
    bests = []
    for accuracy, cost in samples:
        values = accuracy[cost <= limit][:k]
        bests.append(values.max() if len(values) == k else -np.inf)
    return int(np.argmax(bests)), bests


def space_worst_of_k(*arguments):
    return spaces_by(lambda values, k: weighted(values[::-1], k))(*arguments)


def space_off_by_one(*arguments):
    def best(values, k):
        total = sum(math.comb(i + 1, k - 1) * v for i, v in enumerate(values))
        return total / sum(math.comb(i + 1, k - 1) for i in range(len(values)))

    return spaces_by(best)(*arguments)


def space_of_one_more(*arguments):
    return spaces_by(lambda values, k: weighted(values, min(k + 1, len(values))))(*arguments)


def space_unsorted(samples, limit, k):
    bests = []
    for accuracy, cost in samples:
        values = accuracy[cost <= limit]
        bests.append(weighted(values, k) if len(values) >= k else -np.inf)
    return int(np.argmax(bests)), bests


def space_ignores_the_limit(samples, limit, k):
    return space_formula(samples, np.inf, k)


def space_strict_limit(samples, limit, k):
    return space_formula(samples, limit - 1e-6, k)


def space_few_are_enough(samples, limit, k):
    """Of fewer than `k`, the best of all."""
    bests = []
    for accuracy, cost in samples:
        values = np.sort(accuracy[cost <= limit])
        few = values[-1] if len(values) else -np.inf
        bests.append(weighted(values, k) if len(values) >= k else few)
    return int(np.argmax(bests)), bests


def space_few_are_zero(*arguments):
    return spaces_by(weighted, few=0.0)(*arguments)


def space_more_than_k(samples, limit, k):
    """A space with exactly `k` is not enough."""
    index, bests = space_formula(samples, limit, k)
    bests = [
        best if (cost <= limit).sum() > k else -np.inf for best, (_, cost) in zip(bests, samples)
    ]
    return int(np.argmax(bests)), bests


def space_bests_only(samples, limit, k):
    return space_formula(samples, limit, k)[1]


def space_index_only(samples, limit, k):
    return space_formula(samples, limit, k)[0]


def space_largest_share(samples, limit, k):
    """The space of which the most subnets meet the limit."""
    shares = [np.mean(cost <= limit) for _, cost in samples]
    return int(np.argmax(shares)), space_formula(samples, limit, k)[1]


def space_first_two(samples, limit, k):
    return space_formula(samples[:2], limit, k)


RIGHT = {
    "5.6": [
        budgets_every_size,
        budgets_brute_force,
        budgets_bisection,
        budgets_of_each_choice,
    ],
    "7.5": [space_formula, space_ratio, space_every_choice],
}
WRONG = {
    "5.6": [
        budgets_one_at_a_time,
        budgets_strict,
        budgets_memory_adds_up,
        budgets_slowest_stage,
        budgets_mixed_choices,
        budgets_first_choice,
        budgets_last_choice,
        budgets_two_stages,
        budgets_memory_of_the_quickest,
        budgets_latency_of_the_smallest,
        budgets_swapped,
        budgets_yes_or_no,
        budgets_latency_only,
        budgets_none,
        budgets_largest_there_is,
        budgets_raises,
        budgets_skips_tight_stages,
    ],
    "7.5": [
        space_best_of_all,
        space_mean_of_all,
        space_mean_of_the_best,
        space_with_replacement,
        space_random_choices,
        space_first_k,
        space_worst_of_k,
        space_off_by_one,
        space_of_one_more,
        space_unsorted,
        space_ignores_the_limit,
        space_strict_limit,
        space_few_are_enough,
        space_few_are_zero,
        space_more_than_k,
        space_bests_only,
        space_index_only,
        space_largest_share,
        space_first_two,
    ],
}
