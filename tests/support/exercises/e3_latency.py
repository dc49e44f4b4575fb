"""Answers to the exercises of 03_latency_lut: `RIGHT` must pass, `WRONG` must not."""

import itertools
import math
import statistics
import time

import numpy as np
import torch
from scipy.optimize import minimize

# ---- 3.1 -----------------------------------------------------------------------------------------


def timer(
    call,
    clock,
    warmup,
    tolerance,
    least,
    most,
    *,
    middle=np.median,
    spread=None,
    clear=True,
    factor=3.6,
    root=math.sqrt,
    scale=1e3,
):
    """The timer, with places to put mistakes in."""
    for _ in range(warmup):
        call()
    times = []
    while len(times) < most:
        start = clock()
        call()
        times.append(scale * (clock() - start))
        m = middle(times)
        mad = spread(times) if spread else np.median([abs(t - np.median(times)) for t in times])
        if len(times) >= least and factor * mad / root(len(times)) <= tolerance * m:
            break
    return m, len(times)


def timer_numpy(call, clock, warmup, tolerance, least, most):
    return timer(call, clock, warmup, tolerance, least, most)


def timer_sorted(call, clock, warmup, tolerance, least, most):
    def median(values):
        values = sorted(values)
        return (values[len(values) // 2] + values[(len(values) - 1) // 2]) / 2

    [call() for _ in range(warmup)]
    seconds = []
    for n in range(1, most + 1):
        before = clock()
        call()
        after = clock()
        seconds += [after - before]
        if n < least:
            continue
        m = median(seconds)
        if 3.6 * median([abs(s - m) for s in seconds]) <= tolerance * m * n**0.5:
            break
    return [1000 * median(seconds), n]


def timer_torch(call, clock, warmup, tolerance, least, most):
    def one():
        start = clock()
        call()
        return clock() - start

    for _ in range(warmup):
        one()
    times = [one() for _ in range(least)]
    while True:
        t = torch.tensor(times, dtype=torch.float64)
        m = t.quantile(0.5)
        half = 3.6 * (t - m).abs().quantile(0.5) / len(t) ** 0.5
        if half / m <= tolerance or len(t) == most:
            return 1e3 * m, len(t)
        times.append(one())


def timer_statistics(call, clock, warmup, tolerance, least, most):
    times = np.zeros(most)
    for n in range(-warmup, most):
        start = clock()
        call()
        stop = clock()
        if n < 0:
            continue
        times[n] = stop - start
        m = statistics.median(times[: n + 1])
        mad = statistics.median(np.abs(times[: n + 1] - m))
        if n + 1 >= least and not 3.6 * mad / np.sqrt(n + 1) > tolerance * m:
            break
    return np.array(1e3 * m), np.int64(n + 1)


def timer_no_warmup(call, clock, warmup, tolerance, least, most):
    return timer(call, clock, 0, tolerance, least, most)


def timer_one_more_warmup(call, clock, warmup, tolerance, least, most):
    return timer(call, clock, warmup + 1, tolerance, least, most)


def timer_counts_warmup(call, clock, warmup, tolerance, least, most):
    median, n = timer(call, clock, warmup, tolerance, least, most)
    return median, n + warmup


def timer_keeps_warmup(call, clock, warmup, tolerance, least, most):
    return timer(call, clock, 0, tolerance, least + warmup, most + warmup)


def timer_mean(call, clock, warmup, tolerance, least, most):
    return timer(call, clock, warmup, tolerance, least, most, middle=np.mean)


def timer_mean_at_the_end(call, clock, warmup, tolerance, least, most):
    times = []

    def logged():
        start = clock()
        call()
        times.append(clock() - start)
        return times[-1]

    for _ in range(warmup):
        call()
    while len(times) < most:
        logged()
        m = np.median(times)
        if (
            len(times) >= least
            and 3.6 * np.median(np.abs(times - m)) / len(times) ** 0.5 <= tolerance * m
        ):
            break
    return 1e3 * np.mean(times), len(times)


def timer_shortest(call, clock, warmup, tolerance, least, most):
    return timer(call, clock, warmup, tolerance, least, most, middle=min)


def timer_seconds(call, clock, warmup, tolerance, least, most):
    return timer(call, clock, warmup, tolerance, least, most, scale=1)


def timer_standard_deviation(call, clock, warmup, tolerance, least, most):
    return timer(call, clock, warmup, tolerance, least, most, spread=np.std, factor=1.96)


def timer_spread_around_mean(call, clock, warmup, tolerance, least, most):
    return timer(
        call,
        clock,
        warmup,
        tolerance,
        least,
        most,
        spread=lambda t: np.median(np.abs(np.array(t) - np.mean(t))),
    )


def timer_no_root(call, clock, warmup, tolerance, least, most):
    return timer(call, clock, warmup, tolerance, least, most, root=lambda n: n)


def timer_absolute_tolerance(call, clock, warmup, tolerance, least, most):
    times = []
    for _ in range(warmup):
        call()
    while len(times) < most:
        start = clock()
        call()
        times.append(1e3 * (clock() - start))
        m = np.median(times)
        if (
            len(times) >= least
            and 3.6 * np.median(np.abs(times - m)) / len(times) ** 0.5 <= tolerance
        ):
            break
    return m, len(times)


def timer_ignores_least(call, clock, warmup, tolerance, least, most):
    return timer(call, clock, warmup, tolerance, 2, most)


def timer_never_stops_early(call, clock, warmup, tolerance, least, most):
    return timer(call, clock, warmup, -1, least, most)


def timer_one_too_many(call, clock, warmup, tolerance, least, most):
    return timer(call, clock, warmup, tolerance, least, most + 1)


def timer_endless(call, clock, warmup, tolerance, least, most):
    return timer(call, clock, warmup, tolerance, least, math.inf)


def timer_must_be_tighter(call, clock, warmup, tolerance, least, most):
    for _ in range(warmup):
        call()
    times = []
    while len(times) < most:
        start = clock()
        call()
        times.append(1e3 * (clock() - start))
        m = np.median(times)
        if (
            len(times) >= least
            and 3.6 * np.median(np.abs(times - m)) / len(times) ** 0.5 < tolerance * m
        ):
            break
    return m, len(times)


def timer_laps(call, clock, warmup, tolerance, least, most):
    for _ in range(warmup):
        call()
    times, last = [], clock()
    while len(times) < most:
        call()
        now = clock()
        times.append(1e3 * (now - last))
        last = now
        m = np.median(times)
        if (
            len(times) >= least
            and 3.6 * np.median(np.abs(times - m)) / len(times) ** 0.5 <= tolerance * m
        ):
            break
    return m, len(times)


def timer_wall_clock(call, clock, warmup, tolerance, least, most):
    return timer(call, time.perf_counter, warmup, tolerance, least, least)


def timer_lower_middle(call, clock, warmup, tolerance, least, most):
    return timer(
        call,
        clock,
        warmup,
        tolerance,
        least,
        most,
        middle=lambda t: torch.tensor(t).median().item(),
    )


def timer_limit_with_warmup(call, clock, warmup, tolerance, least, most):
    return timer(call, clock, warmup, tolerance, min(least, most - warmup), most - warmup)


def timer_least_with_warmup(call, clock, warmup, tolerance, least, most):
    return timer(call, clock, warmup, tolerance, max(1, least - warmup), most)


def timer_at_least_two(call, clock, warmup, tolerance, least, most):
    return timer(call, clock, warmup, tolerance, max(2, least), most)


def timer_always_warms_up(call, clock, warmup, tolerance, least, most):
    return timer(call, clock, max(1, warmup), tolerance, least, most)


def timer_ends_one_before_most(call, clock, warmup, tolerance, least, most):
    return timer(call, clock, warmup, tolerance, least, max(least, most - 1))


def timer_checks_every_five(call, clock, warmup, tolerance, least, most):
    return timer(
        call,
        clock,
        warmup,
        tolerance,
        least,
        most,
        spread=lambda t: np.median(np.abs(t - np.median(t))) if len(t) % 5 == 0 else np.inf,
    )


# ---- 3.2 -----------------------------------------------------------------------------------------


def predict_loop(base, table, resolution, strides, stages):
    side, total = (resolution + 1) // 2, base[resolution]
    for s, (stride, blocks) in enumerate(zip(strides, stages)):
        for i, (kernel, expand) in enumerate(blocks):
            total += table[s, i == 0, side, kernel, expand]
            if i == 0:
                side = math.ceil(side / stride)
    return total


def predict_first_then_rest(base, table, resolution, strides, stages):
    side, times = -(-resolution // 2), []
    for s in range(len(stages)):
        kernel, expand = stages[s][0]
        times.append(table[(s, True, side, kernel, expand)])
        side = -(-side // strides[s])
        times += [table[(s, False, side, *block)] for block in stages[s][1:]]
    return np.float64(sum(times) + base[resolution])


def predict_recursive(base, table, resolution, strides, stages):
    def after(side, s):
        if s == len(stages):
            return 0.0
        out = (side - 1) // strides[s] + 1
        stage_ms = sum(
            table[s, not i, side if i == 0 else out, k, e] for i, (k, e) in enumerate(stages[s])
        )
        return stage_ms + after(out, s + 1)

    return torch.tensor(base[resolution] + after((resolution - 1) // 2 + 1, 0))


def predict_without_base(base, table, resolution, strides, stages):
    return predict_loop(base, table, resolution, strides, stages) - base[resolution]


def _predict(
    base,
    table,
    resolution,
    strides,
    stages,
    *,
    halve=lambda r: -(-r // 2),
    down=lambda m, s: -(-m // s),
    first=lambda s, i: i == 0,
    before=False,
    every_block=False,
):
    side, total = halve(resolution), base[resolution]
    for s, (stride, blocks) in enumerate(zip(strides, stages)):
        for i, (kernel, expand) in enumerate(blocks):
            after = down(side, stride) if every_block or i == 0 else side
            total += table[s, first(s, i), after if before else side, kernel, expand]
            side = after
    return total


def predict_rounds_down(*arguments):
    return _predict(*arguments, halve=lambda r: r // 2, down=lambda m, s: m // s)


def predict_rounds_stages_down(*arguments):
    return _predict(*arguments, down=lambda m, s: m // s)


def predict_side_of_output(*arguments):
    return _predict(*arguments, before=True)


def predict_no_stem(*arguments):
    return _predict(*arguments, halve=lambda r: r)


def predict_stride_everywhere(*arguments):
    return _predict(*arguments, every_block=True)


def predict_never_first(*arguments):
    return _predict(*arguments, first=lambda s, i: False)


def predict_only_network_first(*arguments):
    return _predict(*arguments, first=lambda s, i: s == i == 0)


def predict_always_first(*arguments):
    return _predict(*arguments, first=lambda s, i: True)


def predict_swaps_kernel_and_expand(base, table, resolution, strides, stages):
    return predict_loop(
        base, table, resolution, strides, [[(e, k) for k, e in blocks] for blocks in stages]
    )


def predict_mean(base, table, resolution, strides, stages):
    blocks = predict_without_base(base, table, resolution, strides, stages) / sum(map(len, stages))
    return base[resolution] + blocks


def predict_one_block_a_stage(base, table, resolution, strides, stages):
    return predict_loop(base, table, resolution, strides, [blocks[:1] for blocks in stages])


def predict_halves_for_any_stride(*arguments):
    return _predict(*arguments, down=lambda m, s: m if s == 1 else -(-m // 2))


def predict_three_stages(base, table, resolution, strides, stages):
    return predict_loop(base, table, resolution, strides[:3], stages[:3])


def predict_first_of_the_network_strides(*arguments):
    base, table, resolution, strides, stages = arguments
    return _predict(base, table, resolution, [strides[0]] * len(stages), stages)


def predict_base_of_the_side(base, table, resolution, strides, stages):
    start = base.get(-(-resolution // 2), 0)
    return predict_without_base(base, table, resolution, strides, stages) + start


def predict_sides_not_whole(*arguments):
    return _predict(*arguments, halve=lambda r: r / 2, down=lambda m, s: m / s)


# ---- 3.3 -----------------------------------------------------------------------------------------


def agree_pairs(predicted, measured, low, high):
    error = np.mean(np.abs(predicted - measured) / measured)
    score, count = 0, 0
    for i, j in itertools.combinations(range(len(measured)), 2):
        if high[i] < low[j] or high[j] < low[i]:
            score += np.sign(predicted[i] - predicted[j]) * np.sign(measured[i] - measured[j])
            count += 1
    return error, score / count


def agree_matrix(predicted, measured, low, high):
    slower = low[:, None] > high[None]  # row is slower than column for certain
    order = np.sign(predicted[:, None] - predicted[None])
    return [float(np.abs(predicted / measured - 1).mean()), (order * slower).sum() / slower.sum()]


def agree_torch(predicted, measured, low, high):
    p, m, low, high = map(torch.from_numpy, (predicted, measured, low, high))
    distinct = torch.maximum(low[:, None], low) > torch.minimum(high[:, None], high)
    signs = torch.sign(p[:, None] - p) * torch.sign(m[:, None] - m)
    return ((p - m).abs() / m).mean(), signs[distinct].mean()


def agree_counts(predicted, measured, low, high):
    n = len(predicted)
    agreeing = opposing = distinct = 0
    for i in range(n):
        for j in range(n):
            if low[i] <= high[j]:
                continue
            distinct += 1
            agreeing += bool(predicted[i] > predicted[j])
            opposing += bool(predicted[i] < predicted[j])
    return sum(abs(a - b) / b for a, b in zip(predicted, measured)) / n, (
        agreeing - opposing
    ) / distinct


def _agree(
    predicted,
    measured,
    low,
    high,
    *,
    error=lambda p, m: np.mean(np.abs(p - m) / m),
    tie=0,
    wrong=-1,
    distinct=lambda a, b: a < b,
    divide=None,
):
    score, counted = 0, 0
    for i, j in itertools.permutations(range(len(measured)), 2):
        if distinct(high[i], low[j]):
            difference = predicted[j] - predicted[i]
            score += 1 if difference > 0 else wrong if difference < 0 else tie
            counted += divide is None or bool(divide(difference))
    return error(predicted, measured), score / counted


def agree_percent(*arguments):
    return _agree(*arguments, error=lambda p, m: 100 * np.mean(np.abs(p - m) / m))


def agree_signed(*arguments):
    return _agree(*arguments, error=lambda p, m: np.mean((p - m) / m))


def agree_median(*arguments):
    return _agree(*arguments, error=lambda p, m: np.median(np.abs(p - m) / m))


def agree_relative_to_predicted(*arguments):
    return _agree(*arguments, error=lambda p, m: np.mean(np.abs(p - m) / p))


def agree_absolute(*arguments):
    return _agree(*arguments, error=lambda p, m: np.mean(np.abs(p - m)))


def agree_ratio_of_sums(*arguments):
    return _agree(*arguments, error=lambda p, m: np.abs(p - m).sum() / m.sum())


def agree_root_mean_square(*arguments):
    return _agree(*arguments, error=lambda p, m: np.sqrt(np.mean((p / m - 1) ** 2)))


def agree_touching(*arguments):
    return _agree(*arguments, distinct=lambda a, b: a <= b)


def agree_tie_is_right(*arguments):
    return _agree(*arguments, tie=1)


def agree_tie_is_wrong(*arguments):
    return _agree(*arguments, tie=-1)


def agree_ties_dropped(*arguments):
    return _agree(*arguments, divide=lambda difference: difference != 0)


def agree_wrong_counts_nothing(*arguments):
    return _agree(*arguments, wrong=0)


def agree_all_pairs(predicted, measured, low, high):
    return _agree(predicted, measured, measured, measured)


def agree_divides_by_all(predicted, measured, low, high):
    error, tau = agree_pairs(predicted, measured, low, high)
    n = len(measured)
    distinct = sum(high[i] < low[j] for i in range(n) for j in range(n))
    return error, tau * distinct / (n * (n - 1) / 2)


def agree_spearman(predicted, measured, low, high):
    ranks = [np.argsort(np.argsort(v)) for v in (predicted, measured)]
    return np.mean(np.abs(predicted - measured) / measured), np.corrcoef(*ranks)[0, 1]


def agree_swapped(predicted, measured, low, high):
    return agree_pairs(predicted, measured, low, high)[::-1]


def agree_error_of_pairs_only(predicted, measured, low, high):
    apart = low[:, None] > high[None]
    counts = apart.any(0) | apart.any(1)
    error = np.mean(np.abs(predicted - measured)[counts] / measured[counts])
    return error, agree_pairs(predicted, measured, low, high)[1]


def agree_neighbors_only(predicted, measured, low, high):
    """Only of networks that follow each other in the measured order."""
    order = np.argsort(measured)
    error, _ = agree_pairs(predicted, measured, low, high)
    signs = [
        np.sign(predicted[j] - predicted[i])
        for i, j in itertools.pairwise(order)
        if high[i] < low[j]
    ]
    return error, np.mean(signs) if signs else 1.0


def agree_measured_beyond_the_other(predicted, measured, low, high):
    return _agree(predicted, measured, low, measured)


# ---- 3.4 -----------------------------------------------------------------------------------------


def calibrate_lstsq(sums, blocks, measured):
    columns = np.stack([np.ones(len(sums)), blocks], 1) / measured[:, None]
    return np.linalg.lstsq(columns, (measured - sums) / measured, rcond=None)[0]


def calibrate_polyfit(sums, blocks, measured):
    slope, intercept = np.polyfit(blocks, measured - sums, 1, w=1 / measured)
    return intercept, slope


def calibrate_normal_equations(sums, blocks, measured):
    a = [
        [sum(1 / m**2 for m in measured), sum(b / m**2 for b, m in zip(blocks, measured))],
        [
            sum(b / m**2 for b, m in zip(blocks, measured)),
            sum(b * b / m**2 for b, m in zip(blocks, measured)),
        ],
    ]
    right = [
        sum((m - s) / m**2 for s, m in zip(sums, measured)),
        sum(b * (m - s) / m**2 for s, b, m in zip(sums, blocks, measured)),
    ]
    return tuple(np.linalg.solve(a, right))


def calibrate_torch(sums, blocks, measured):
    s, b, m = (torch.tensor(v, dtype=torch.float64) for v in (sums, blocks, measured))
    answer = torch.linalg.lstsq(torch.stack([1 / m, b / m], 1), (1 - s / m)[:, None]).solution
    return answer[0], answer[1]


def calibrate_newton(sums, blocks, measured):
    theta = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    s, b, m = (torch.tensor(v, dtype=torch.float64) for v in (sums, blocks, measured))
    optimizer = torch.optim.LBFGS(
        [theta],
        max_iter=200,
        tolerance_grad=1e-12,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimizer.zero_grad()
        loss = (((s + theta[0] + theta[1] * b - m) / m) ** 2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return theta.detach().tolist()


def calibrate_absolute(sums, blocks, measured):
    return np.polyfit(blocks, measured - sums, 1)[::-1]


def calibrate_weighted_twice(sums, blocks, measured):
    return np.polyfit(blocks, measured - sums, 1, w=1 / measured**2)[::-1]


def calibrate_weighted_by_root(sums, blocks, measured):
    return np.polyfit(blocks, measured - sums, 1, w=measured**-0.5)[::-1]


def calibrate_slope_first(sums, blocks, measured):
    return np.polyfit(blocks, measured - sums, 1, w=1 / measured)


def calibrate_other_sign(sums, blocks, measured):
    return np.polyfit(blocks, sums - measured, 1, w=1 / measured)[::-1]


def calibrate_with_factor(sums, blocks, measured):
    columns = np.stack([sums, np.ones(len(sums)), blocks], 1) / measured[:, None]
    return np.linalg.lstsq(columns, np.ones(len(sums)), rcond=None)[0][1:]


def calibrate_relative_to_sums(sums, blocks, measured):
    return np.polyfit(blocks, measured - sums, 1, w=1 / sums)[::-1]


def calibrate_right_side_only(sums, blocks, measured):
    columns = np.stack([np.ones(len(sums)), blocks], 1)
    return np.linalg.lstsq(columns, (measured - sums) / measured, rcond=None)[0]


def calibrate_intercept_only(sums, blocks, measured):
    weight = measured**-2
    return (weight * (measured - sums)).sum() / weight.sum(), 0.0


def calibrate_no_intercept(sums, blocks, measured):
    return 0.0, ((measured - sums) * blocks / measured**2).sum() / (blocks**2 / measured**2).sum()


def calibrate_ignores_sums(sums, blocks, measured):
    return np.polyfit(blocks, measured, 1, w=1 / measured)[::-1]


def calibrate_zeroes_what_was_measured(sums, blocks, measured):
    line = calibrate_polyfit(sums, blocks, measured)
    measured *= 0
    return line


def calibrate_minimize(method):
    def calibrate(sums, blocks, measured):
        def loss(line):
            return np.sum(((sums + line[0] + line[1] * blocks) / measured - 1) ** 2)

        return minimize(loss, [0.0, 0.0], method=method).x

    calibrate.__name__ = f"calibrate_{method}"
    return calibrate


def calibrate_ridge(penalty):
    def calibrate(sums, blocks, measured):
        columns = np.stack([np.ones(len(sums)), blocks], 1) / measured[:, None]
        squares = columns.T @ columns + penalty * np.eye(2)
        return np.linalg.solve(squares, columns.T @ (1 - sums / measured))

    calibrate.__name__ = f"calibrate_ridge_{penalty:g}"
    return calibrate


def calibrate_clipped(*bounds):
    def calibrate(sums, blocks, measured):
        return np.clip(calibrate_lstsq(sums, blocks, measured), *np.array(bounds).T)

    calibrate.__name__ = "calibrate_never_{}_{}".format(*(f"{low:g}" for low, _ in bounds))
    return calibrate


def calibrate_drops_the_worst(sums, blocks, measured):
    """A fit, and another one without the network that it fits worst."""
    intercept, slope = calibrate_lstsq(sums, blocks, measured)
    rest = np.argsort(np.abs((sums + intercept + slope * blocks) / measured - 1))[:-1]
    return calibrate_lstsq(sums[rest], blocks[rest], measured[rest])


def calibrate_least_absolute(sums, blocks, measured):
    """The least sum of the errors, not of their squares: by squares that are weighted again."""
    weight, columns = np.ones(len(sums)), np.stack([np.ones(len(sums)), blocks], 1)
    columns, missing = columns / measured[:, None], 1 - sums / measured
    for _ in range(50):
        root = np.sqrt(weight)
        answer = np.linalg.lstsq(columns * root[:, None], missing * root, rcond=None)[0]
        weight = 1 / np.maximum(np.abs(columns @ answer - missing), 1e-9)
    return answer


# ---- 3.5 -----------------------------------------------------------------------------------------


def where_loop(layers, peak, bandwidth, overhead):
    compute = memory = 0.0
    for macs, size in layers:
        arithmetic, traffic = macs / peak / 1e3, size / bandwidth / 1e3
        if arithmetic > traffic:
            compute += arithmetic
        else:
            memory += traffic
    return overhead * len(layers), compute, memory


def where_arrays(layers, peak, bandwidth, overhead):
    macs, size = np.array(layers, dtype=float).T
    c, m = macs / (peak * 1e9) * 1e6, size / (bandwidth * 1e9) * 1e6
    return np.array([len(layers) * overhead, c[c >= m].sum(), m[c < m].sum()])


def where_intensity(layers, peak, bandwidth, overhead):
    ridge = peak / bandwidth
    return (
        sum(overhead for _ in layers),
        sum(macs for macs, size in layers if macs / size >= ridge) / (1000 * peak),
        sum(size for macs, size in layers if macs / size < ridge) / (1000 * bandwidth),
    )


def where_torch(layers, peak, bandwidth, overhead):
    times = (
        torch.tensor(layers, dtype=torch.float64)
        / torch.tensor([peak, bandwidth], dtype=torch.float64)
        / 1e3
    )
    longer, which = times.max(1)
    return torch.stack(
        [
            torch.tensor(overhead * len(layers), dtype=torch.float64),
            longer[which == 0].sum(),
            longer[which == 1].sum(),
        ]
    )


def where_adds_both(layers, peak, bandwidth, overhead):
    return (
        overhead * len(layers),
        sum(m for m, _ in layers) / peak / 1e3,
        sum(b for _, b in layers) / bandwidth / 1e3,
    )


def where_network_as_one(layers, peak, bandwidth, overhead):
    total, compute, memory = where_adds_both(layers, peak, bandwidth, overhead)
    return total, compute if compute > memory else 0, memory if memory >= compute else 0


def where_one_overhead(layers, peak, bandwidth, overhead):
    return overhead, *where_loop(layers, peak, bandwidth, overhead)[1:]


def where_swapped(layers, peak, bandwidth, overhead):
    total, compute, memory = where_loop(layers, peak, bandwidth, overhead)
    return total, memory, compute


def where_shorter(layers, peak, bandwidth, overhead):
    times = [(macs / peak / 1e3, size / bandwidth / 1e3) for macs, size in layers]
    return (
        overhead * len(layers),
        sum(c for c, m in times if c < m),
        sum(m for c, m in times if m < c),
    )


def where_milliseconds(layers, peak, bandwidth, overhead):
    total, compute, memory = where_loop(layers, peak, bandwidth, overhead)
    return total, compute / 1e3, memory / 1e3


def where_seconds(layers, peak, bandwidth, overhead):
    return [time / 1e6 for time in where_loop(layers, peak, bandwidth, overhead)]


def where_nanoseconds(layers, peak, bandwidth, overhead):
    total, compute, memory = where_loop(layers, peak, bandwidth, overhead)
    return total, compute * 1e3, memory * 1e3


def where_overhead_in_each(layers, peak, bandwidth, overhead):
    compute = memory = 0.0
    for macs, size in layers:
        arithmetic, traffic = macs / peak / 1e3, size / bandwidth / 1e3
        compute += arithmetic + overhead if arithmetic > traffic else 0
        memory += traffic + overhead if arithmetic <= traffic else 0
    return overhead * len(layers), compute, memory


def where_counts(layers, peak, bandwidth, overhead):
    busy = sum(macs / peak > size / bandwidth for macs, size in layers)
    return overhead * len(layers), busy, len(layers) - busy


def where_total(layers, peak, bandwidth, overhead):
    return sum(where_loop(layers, peak, bandwidth, overhead))


def where_equal_counts_nowhere(layers, peak, bandwidth, overhead):
    unequal = [
        (macs, size) for macs, size in layers if not math.isclose(macs / peak, size / bandwidth)
    ]
    _, *times = where_loop(unequal, peak, bandwidth, overhead)
    return overhead * len(layers), *times


def where_equal_counts_twice(layers, peak, bandwidth, overhead):
    equal = [(macs, size) for macs, size in layers if math.isclose(macs / peak, size / bandwidth)]
    total, compute, memory = where_loop(layers, peak, bandwidth, overhead)
    _, *again = where_loop(equal, peak, bandwidth, overhead)
    other = sum(again)
    return (total, compute, memory + other) if again[0] else (total, compute + other, memory)


def where_layers_without_macs_left_out(layers, peak, bandwidth, overhead):
    return where_loop([layer for layer in layers if layer[0]], peak, bandwidth, overhead)


RIGHT = {
    "3.1": [timer_numpy, timer_sorted, timer_torch, timer_statistics],
    "3.2": [predict_loop, predict_first_then_rest, predict_recursive],
    "3.3": [agree_pairs, agree_matrix, agree_torch, agree_counts],
    "3.4": [
        calibrate_lstsq,
        calibrate_polyfit,
        calibrate_normal_equations,
        calibrate_torch,
        calibrate_newton,
        *map(calibrate_minimize, ("BFGS", "CG", "Nelder-Mead")),
    ],
    "3.5": [where_loop, where_arrays, where_intensity, where_torch],
}
WRONG = {
    "3.1": [
        timer_limit_with_warmup,
        timer_least_with_warmup,
        timer_at_least_two,
        timer_always_warms_up,
        timer_ends_one_before_most,
        timer_checks_every_five,
        timer_no_warmup,
        timer_one_more_warmup,
        timer_counts_warmup,
        timer_keeps_warmup,
        timer_mean,
        timer_mean_at_the_end,
        timer_shortest,
        timer_seconds,
        timer_standard_deviation,
        timer_spread_around_mean,
        timer_no_root,
        timer_absolute_tolerance,
        timer_ignores_least,
        timer_never_stops_early,
        timer_one_too_many,
        timer_endless,
        timer_must_be_tighter,
        timer_laps,
        timer_wall_clock,
        timer_lower_middle,
    ],
    "3.2": [
        predict_halves_for_any_stride,
        predict_three_stages,
        predict_first_of_the_network_strides,
        predict_base_of_the_side,
        predict_sides_not_whole,
        predict_without_base,
        predict_rounds_down,
        predict_rounds_stages_down,
        predict_side_of_output,
        predict_no_stem,
        predict_stride_everywhere,
        predict_never_first,
        predict_only_network_first,
        predict_always_first,
        predict_swaps_kernel_and_expand,
        predict_mean,
        predict_one_block_a_stage,
    ],
    "3.3": [
        agree_error_of_pairs_only,
        agree_neighbors_only,
        agree_measured_beyond_the_other,
        agree_percent,
        agree_signed,
        agree_median,
        agree_relative_to_predicted,
        agree_absolute,
        agree_ratio_of_sums,
        agree_root_mean_square,
        agree_touching,
        agree_tie_is_right,
        agree_tie_is_wrong,
        agree_ties_dropped,
        agree_wrong_counts_nothing,
        agree_all_pairs,
        agree_divides_by_all,
        agree_spearman,
        agree_swapped,
    ],
    "3.4": [
        *map(calibrate_ridge, (0.1, 1e-3, 1e-6)),
        calibrate_clipped((0, np.inf), (-np.inf, np.inf)),
        calibrate_clipped((-np.inf, np.inf), (0, np.inf)),
        calibrate_drops_the_worst,
        calibrate_least_absolute,
        calibrate_absolute,
        calibrate_weighted_twice,
        calibrate_weighted_by_root,
        calibrate_slope_first,
        calibrate_other_sign,
        calibrate_with_factor,
        calibrate_relative_to_sums,
        calibrate_right_side_only,
        calibrate_intercept_only,
        calibrate_no_intercept,
        calibrate_ignores_sums,
        calibrate_zeroes_what_was_measured,
    ],
    "3.5": [
        where_seconds,
        where_equal_counts_nowhere,
        where_equal_counts_twice,
        where_layers_without_macs_left_out,
        where_adds_both,
        where_network_as_one,
        where_one_overhead,
        where_swapped,
        where_shorter,
        where_milliseconds,
        where_nanoseconds,
        where_overhead_in_each,
        where_counts,
        where_total,
    ],
}
