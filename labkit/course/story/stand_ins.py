"""What notebooks run on instead of a student's functions: labkit's, as the exercises call them.

Each has the name and the arguments of its exercise, whose text says what they are. The copy of
labkit that answers are graded with does not hold this file.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import count as numbers
from statistics import median

import numpy as np
import torch
from torch.nn.utils.fusion import fuse_conv_bn_weights

from labkit.course.judges.budgets import expected_bests
from labkit.course.judges.deployment import peak_of
from labkit.course.judges.latency import half_width, rows_of_subnet, weighted_line
from labkit.course.judges.predictors import conditioned, ridge
from labkit.darts.bilevel import EPSILON, central_difference
from labkit.darts.genotype import strongest_edges
from labkit.search.pareto import nondominated
from labkit.space import SearchSpace, Stage
from labkit.supernet.batch_norm import Recorder
from labkit.supernet.elastic import ElasticDepthwise
from labkit.tables.accuracy_link import accuracy_of, log_error
from labkit.tables.predictor_quality import agreement
from labkit.train.progressive_shrinking import by_importance
from labkit.train.step import distillation_loss, label_loss

# ---- 1: the supernet -----------------------------------------------------------------------------


@torch.no_grad()
def small_kernel(weight, transform, size):
    channels, large = len(weight), weight.shape[-1]
    layer = ElasticDepthwise(channels, (size, large))
    layer.weight.copy_(weight)
    layer.transforms[f"{large}to{size}"].copy_(transform)
    return layer.active(channels, size)


def sort_channels(expand, depthwise, project):
    order = by_importance(project[:, :, None, None])
    return expand[order], depthwise[order], project[:, order]


def count_subnets(resolutions, stages):
    odd, whole = range(3, 99, 2), range(2, 99)
    stages = tuple(
        Stage(8, 1, tuple(depths), tuple(odd[:kernels]), tuple(whole[:expands]))
        for depths, kernels, expands in stages
    )
    sides = tuple(range(8, 8 + resolutions))
    space = SearchSpace("counted", sides, stages, in_channels=1, num_classes=10, stem_width=8)
    return space.size()


def batch_norm_stats(batches):
    recorder, channels = Recorder(), batches[0].shape[1]
    for batch in batches:
        recorder.next_batch()
        recorder.normalize("norm", batch, torch.ones(channels), torch.zeros(channels), 1e-5)
    return recorder.stats["norm"]


def recalibrate_model(model, batches):
    torch.optim.swa_utils.update_bn(batches, model)
    model.eval()


# ---- 2: training ---------------------------------------------------------------------------------


def soft_loss(student, teacher, labels, temperature, share):
    student_soft, teacher_soft = student / temperature, teacher.detach() / temperature
    # Less the teacher's entropy, the cross entropy with the teacher is the divergence from it.
    entropy = distillation_loss(teacher_soft, teacher_soft)
    divergence = distillation_loss(student_soft, teacher_soft) - entropy
    return label_loss(student, labels, 0.0).lerp(temperature**2 * divergence, share)


def sandwich(choices, n, rng):
    genes = np.stack([choices - 1, 0 * choices, *(rng.integers(choices) for _ in range(n))])
    genes[:, 0] = rng.integers(choices[0])
    return genes


def allowed_choices(step, phases, choices):
    counts = dict.fromkeys(choices, 1)
    counts.update((name, count) for first_step, name, count in phases if first_step <= step)
    return {name: values[len(values) - counts[name] :] for name, values in choices.items()}


def add_gradients(model, images, labels, archs):
    model.zero_grad()
    total = 0.0
    for arch in archs:
        loss = label_loss(model(images, arch), labels, 0.0)
        loss.backward()
        total += loss.item()
        del loss  # and with it the activations, before there are others
    return total


def train_step(model, optimizer, images, labels, archs, share):
    optimizer.zero_grad()
    losses, teacher = [], None
    for arch in archs:
        logits = model(images, arch)
        learned = 0.0 if teacher is None else share
        teacher = logits.detach() if teacher is None else teacher
        loss = soft_loss(logits, teacher, labels, 1.0, learned)
        loss.backward()
        losses.append(loss.item())
    optimizer.step()
    return losses


# ---- 3: latency ----------------------------------------------------------------------------------


def time_until_sure(call, clock, warmup, tolerance, least, most):
    for _ in range(warmup):
        call()
    times_ms = []
    for repeat in numbers(1):
        before = clock()
        call()
        times_ms.append(1e3 * (clock() - before))
        if repeat == most or repeat >= least and half_width(times_ms) <= tolerance:
            return median(times_ms), repeat


def predict_ms(base, table, resolution, strides, stages):
    subnet = {"resolution": resolution, "strides": strides, "stages": stages}
    return base[resolution] + sum(table[row] for row in rows_of_subnet(subnet))


def error_and_tau(predicted, measured, low, high):
    slower, faster = np.nonzero(np.greater.outer(low, high))
    agrees = np.sign(predicted[slower] - predicted[faster])
    return np.abs(predicted / measured - 1).mean(), agrees.mean()


def calibrate(sums, blocks, measured):
    return weighted_line(blocks, measured - sums, measured**-2.0)


def where_time_goes(layers, peak, bandwidth, overhead):
    macs, size = np.reshape(np.array(layers, dtype=float), (-1, 2)).T
    compute, memory = macs / peak / 1e3, size / bandwidth / 1e3
    computes = compute > memory
    return overhead * len(layers), compute[computes].sum(), memory[~computes].sum()


# ---- 4: search -----------------------------------------------------------------------------------


def one_hot(stages, depths, kernels, expands):
    slots = [
        block
        for blocks, depth in zip(stages, depths)
        for block in [*blocks, *[(None, None)] * (depth - len(blocks))]
    ]
    of_slots = [np.append(np.equal(k, kernels), np.equal(e, expands)) for k, e in slots]
    return np.concatenate(of_slots).astype(float)


def fit_predictor(features, accuracy, held_out, strength):
    constant, weights = ridge(features[~held_out], log_error(accuracy[~held_out]), strength)

    def predict(rows):
        return accuracy_of(constant + rows @ weights)

    return predict, agreement(predict(features[held_out]), accuracy[held_out])["rmse"]


def draw_best(draw, latency, accuracy, limit, rounds):
    scores, history = {}, []  # scores of every row that met the limit
    for _ in range(rounds):
        rows = draw()
        new = {tuple(row) for row in rows[latency(rows) <= limit].tolist()} - scores.keys()
        if new:
            scores.update(zip(new, accuracy(np.array(list(new), dtype=rows.dtype))))
        history.append(max(scores.values(), default=-np.inf))
    return (np.array(max(scores, key=scores.get)) if scores else None), history


def halve(count, measure, images, most):
    ranked, spent = range(count), 0
    while len(ranked) > 1:
        errors = {candidate: -measure(candidate, images) for candidate in sorted(ranked)}
        spent += images * len(ranked)
        size = 1 if images == most else -(-len(ranked) // 2)
        ranked = sorted(errors, key=errors.get)[:size]  # of equal ones the first stays first
        images = min(2 * images, most)
    return ranked[0], spent


def mutate(genes, choices, rate, rng):
    # One roll says both whether a gene is drawn again and what to, as in `Variation`.
    roll = rng.random(genes.shape) / rate
    return np.where(roll < 1, (roll * choices).astype(genes.dtype), genes)


def cross_stages(mothers, fathers, stage_of, rng):
    from_mother = rng.integers(2, size=(len(mothers), stage_of.max() + 1), dtype=bool)
    return np.where(from_mother.take(stage_of, axis=1), mothers, fathers)


def select(accuracy, latency, limit, n):
    smallest, within = latency.min(), latency <= limit
    if smallest > limit:
        raise ValueError(f"the smallest latency is {smallest:.4g} ms, the limit {limit:.4g} ms")
    return np.lexsort((-accuracy, ~within))[: min(n, within.sum())]


def evolve(population, score, vary, parents, generations):
    history = []
    while True:
        scores = score(population)
        ranked = population[scores.argsort()[::-1]]
        history.append(scores.max())
        if len(history) > generations:
            return ranked[0], history
        children = vary(ranked[:parents], len(population) - parents)
        population = np.concatenate([ranked[:parents], children])


def on_front(costs, accuracy):
    points, which = np.unique(np.column_stack([costs, -accuracy]), axis=0, return_inverse=True)
    return np.isin(which.ravel(), nondominated(points))


# ---- 5: deployment -------------------------------------------------------------------------------


def fold(conv, norm):
    statistics = norm.running_mean, norm.running_var, norm.eps
    return fuse_conv_bn_weights(conv.weight, conv.bias, *statistics, norm.weight, norm.bias)


def quantize(x, low, high):
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255
    zero_point = int(np.rint(-low / scale))
    return (np.rint(x / scale) + zero_point).clip(0, 255).astype(np.uint8), scale, zero_point


def int8_layer(x, x_zero, weight, bias, multiplier, y_zero):
    # Whole numbers below 2**53 are exact in floats.
    sums = (x.astype(float) - x_zero) @ weight.astype(float).T + bias
    return (np.rint(sums * multiplier) + y_zero).clip(0, 255).astype(np.uint8)


def peak_memory(operators, sizes):
    return peak_of({"operators": operators, "sizes": sizes})


def choose(global_choices, limits):
    best, answer = np.inf, None  # the lowest negative score
    for r, stages in enumerate(global_choices):
        spent, picks = np.zeros((1, 3)), np.zeros((1, 0), dtype=int)  # of the stages so far
        for stage in stages:
            terms = np.stack([stage["latency_ms"], stage["flash_bytes"], -stage["score"]], 1)
            fitting = np.flatnonzero(stage["sram_bytes"] <= limits["sram_bytes"])
            fitting = fitting[_front(terms[fitting])]
            sums = spent[:, None] + terms[fitting]  # (picks so far, configurations, 3)
            within = (sums[..., :2] <= [limits["latency_ms"], limits["flash_bytes"]]).all(2)
            before, last = np.nonzero(within)
            spent, picks = sums[within], np.column_stack([picks[before], fitting[last]])
            if stage is not stages[-1]:
                front = _front(spent)
                spent, picks = spent[front], picks[front]
        if len(spent) and spent[:, 2].min() < best:
            best, answer = spent[:, 2].min(), (r, picks[spent[:, 2].argmin()].tolist())
    return answer


def _front(points):
    return nondominated(points) if len(points) else np.zeros(0, dtype=int)


def smallest_budgets(global_choices, limits):
    least_ms = least_bytes = np.inf
    for stages in global_choices:

        def quickest(sram_bytes, stages=stages):  # of the subnets that need at most so much
            fitting = [stage["latency_ms"][stage["sram_bytes"] <= sram_bytes] for stage in stages]
            return sum(times.min(initial=np.inf) for times in fitting)

        sizes = np.unique(np.concatenate([stage["sram_bytes"] for stage in stages]))
        first = bisect_left(sizes, True, key=lambda size: quickest(size) <= limits["latency_ms"])
        least_ms = min(least_ms, quickest(limits["sram_bytes"]))
        least_bytes = min([least_bytes, *sizes[first : first + 1]])
    return least_ms, least_bytes


def thompson(mean, covariance, noise, measure, steps, rng):
    believed, order, values = (mean, covariance), [], np.zeros(len(mean))
    while len(order) < steps:
        ranked = rng.multivariate_normal(*believed).argsort()[::-1]
        order.append(next(i for i in ranked.tolist() if i not in order))
        values[order[-1]] = measure(order[-1])
        believed = conditioned(mean, covariance, noise, order, values)
    return order, believed[0]


# ---- 6: gradients --------------------------------------------------------------------------------


def mixed_node(states, alphas, operations):
    return sum(
        share * operation(state)
        for state, shares, of_edge in zip(states, alphas.softmax(1), operations)
        for share, operation in zip(shares, of_edge)
    )


def mixed_product(gradient, weights, direction):
    length = np.linalg.norm(direction)
    if length == 0:
        return 0 * gradient(weights)
    step = EPSILON / length
    return central_difference(lambda by: [gradient(weights + by * direction)], step)[0]


def derive_node(alphas, names):
    edges = strongest_edges(alphas, names.index("none"), 2)
    return [(state, names[column]) for state, column in edges]


def expected_latency(alphas, latencies):
    tensors = [torch.tensor(alpha, dtype=torch.double, requires_grad=True) for alpha in alphas]
    blocks = zip(tensors, latencies)
    total = sum((tensor.softmax(0) * torch.tensor(latency)).sum() for tensor, latency in blocks)
    return total.item(), [each.numpy() for each in torch.autograd.grad(total, tensors)]


# ---- 7: costs ------------------------------------------------------------------------------------


IN_A_DAY = {"seconds": 86_400, "minutes": 1440, "hours": 24, "days": 1}


def gpu_days(runs, devices):
    if any(run["time"] is None for run in runs):
        return None, None
    days = sum(
        run["gpus"] * run["time"] * (devices if run["per_device"] else 1) / IN_A_DAY[run["unit"]]
        for run in runs
    )
    return days, days / devices


def no_dearer(once, each, other_once, other_each):
    if each > other_each:
        last = (other_once - once) // (each - other_each)
        return (1, last) if last >= 1 else None
    if each < other_each:
        return max(1, -((other_once - once) // (other_each - each))), None
    return (1, None) if once <= other_once else None


def energy_kwh(seconds, watts, idle_watts):
    energy = np.trapezoid(watts - idle_watts, seconds) / 3.6e6
    return None if np.isnan(energy) else energy


def bootstrap_interval(statistic, x, y, level, resamples, rng):
    samples = rng.choice(len(x), size=(resamples, len(x)))
    tail = 50 * (1 - level)
    values = [statistic(x[sample], y[sample]) for sample in samples]
    return tuple(np.percentile(values, (tail, 100 - tail)))


def better_space(samples, limit, k):
    spaces = [{"accuracy": accuracy, "cost": cost} for accuracy, cost in samples]
    bests = expected_bests({"samples": spaces, "limit": limit, "k": k})
    return int(np.argmax(bests)), bests
