"""What notebooks run on instead of a student's functions: labkit's, as the exercises call them.

Each has the name and the arguments of its exercise. The copy of labkit that answers are graded with
does not hold this file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from labkit.darts.bilevel import EPSILON
from labkit.search.pareto import nondominated
from labkit.space import SearchSpace, Stage
from labkit.supernet.batch_norm import Recorder
from labkit.supernet.elastic import ElasticDepthwise
from labkit.tables.accuracy_link import accuracy_of, log_error
from labkit.train.progressive_shrinking import by_importance
from labkit.train.step import distillation_loss, label_loss

# ---- 1: the supernet -----------------------------------------------------------------------------


@torch.no_grad()
def small_kernel(weight: Tensor, transform: Tensor, size: int) -> Tensor:
    channels, large = len(weight), weight.shape[-1]
    layer = ElasticDepthwise(channels, (size, large))
    layer.weight.copy_(weight)
    layer.transforms[f"{large}to{size}"].copy_(transform)
    return layer.active(channels, size)


def sort_channels(
    expand: Tensor, depthwise: Tensor, project: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    order = by_importance(project[:, :, None, None])
    return expand[order], depthwise[order], project[:, order]


def count_subnets(resolutions: int, stages: Sequence[tuple[Sequence[int], int, int]]) -> int:
    odd, whole = range(3, 99, 2), range(2, 99)
    return SearchSpace(
        "counted",
        tuple(range(8, 8 + resolutions)),
        tuple(
            Stage(8, 1, tuple(depths), tuple(odd[:kernels]), tuple(whole[:expands]))
            for depths, kernels, expands in stages
        ),
        in_channels=1,
        num_classes=10,
        stem_width=8,
    ).size()


def batch_norm_stats(batches: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    recorder, channels = Recorder(), batches[0].shape[1]
    for batch in batches:
        recorder.next_batch()
        recorder.normalize("norm", batch, torch.ones(channels), torch.zeros(channels), 1e-5)
    return recorder.stats["norm"]


def recalibrate_model(model: nn.Module, batches: Sequence[Tensor]) -> None:
    torch.optim.swa_utils.update_bn(batches, model)
    model.eval()


# ---- 2: training ---------------------------------------------------------------------------------


def sandwich(choices: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    genes = np.stack([choices - 1, 0 * choices, *(rng.integers(choices) for _ in range(n))])
    genes[:, 0] = rng.integers(choices[0])
    return genes


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    archs: Sequence[object],
    share: float,
) -> list[float]:
    optimizer.zero_grad()
    losses, teacher = [], None
    for arch in archs:
        logits = model(images, arch)
        loss = label_loss(logits, labels, 0.0)
        if teacher is None:
            teacher = logits.detach()
            entropy = distillation_loss(teacher, teacher)
        else:  # less its entropy, the cross entropy with the teacher is the divergence from it
            loss = loss.lerp(distillation_loss(logits, teacher) - entropy, share)
        loss.backward()
        losses.append(loss.item())
    optimizer.step()
    return losses


# ---- 3: latency ----------------------------------------------------------------------------------


def time_until_sure(
    call: Callable[[], object],
    clock: Callable[[], float],
    warmup: int,
    tolerance: float,
    least: int,
    most: int,
) -> tuple[float, int]:
    times_ms: list[float] = []
    for repeat in range(1 - warmup, most + 1):
        before = clock() if repeat > 0 else 0.0
        call()
        if repeat > 0:
            times_ms.append(1e3 * (clock() - before))
        if repeat >= least:
            middle = median(times_ms)
            reach = 3.6 * median(abs(time - middle) for time in times_ms) / repeat**0.5
            if reach <= tolerance * middle:
                break
    return median(times_ms), len(times_ms)


def predict_ms(
    base: Mapping[int, float],
    table: Mapping[tuple, float],
    resolution: int,
    strides: Sequence[int],
    stages: Sequence[Sequence[tuple[int, int]]],
) -> float:
    milliseconds, side = base[resolution], (resolution + 1) // 2
    for number, (stride, (first, *others)) in enumerate(zip(strides, stages)):
        milliseconds += table[(number, True, side, *first)]
        side = (side + stride - 1) // stride
        milliseconds += sum(table[(number, False, side, *block)] for block in others)
    return milliseconds


def error_and_tau(
    predicted: np.ndarray, measured: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[float, float]:
    slower, faster = np.nonzero(np.greater.outer(low, high))
    agrees = np.sign(predicted[slower] - predicted[faster])
    return float(np.abs(predicted / measured - 1).mean()), float(agrees.mean())


def calibrate(sums: np.ndarray, blocks: np.ndarray, measured: np.ndarray) -> np.ndarray:
    line = np.polynomial.Polynomial.fit(blocks, measured - sums, 1, w=1 / measured)
    return line.convert().coef


def where_time_goes(
    layers: Sequence[tuple[int, int]], peak: float, bandwidth: float, overhead: float
) -> tuple[float, float, float]:
    macs, size = np.reshape(np.array(layers, dtype=float), (-1, 2)).T
    compute, memory = macs / peak / 1e3, size / bandwidth / 1e3
    waits_for_memory = memory >= compute
    return (
        overhead * len(layers),
        float(compute[~waits_for_memory].sum()),
        float(memory[waits_for_memory].sum()),
    )


# ---- 4: search -----------------------------------------------------------------------------------


def one_hot(
    stages: Sequence[Sequence[tuple[int, int]]],
    depths: Sequence[int],
    kernels: Sequence[int],
    expands: Sequence[int],
) -> np.ndarray:
    absent = (None, None)
    slots = [
        block
        for blocks, depth in zip(stages, depths)
        for block in [*blocks, *[absent] * (depth - len(blocks))]
    ]
    return np.concatenate(
        [
            np.equal(value, choices)
            for slot in slots
            for value, choices in zip(slot, (kernels, expands))
        ]
    ).astype(float)


def fit_predictor(
    features: np.ndarray, accuracy: np.ndarray, held_out: np.ndarray, strength: float
) -> tuple[Callable[[np.ndarray], np.ndarray], float]:
    rows, link = features[~held_out], log_error(accuracy[~held_out])
    center, level = rows.mean(0), link.mean()
    # Ridge regression is least squares with a further row for each penalty.
    penalty = np.sqrt(strength) * np.eye(rows.shape[1])
    padded = np.concatenate([link - level, np.zeros(len(penalty))])
    weights = np.linalg.lstsq(np.vstack([rows - center, penalty]), padded)[0]

    def predict(some: np.ndarray) -> np.ndarray:
        return accuracy_of(level + (some - center) @ weights)

    miss = predict(features[held_out]) - accuracy[held_out]
    return predict, float(np.linalg.norm(miss) / np.sqrt(len(miss)))


def draw_best(
    draw: Callable[[], np.ndarray],
    latency: Callable[[np.ndarray], np.ndarray],
    accuracy: Callable[[np.ndarray], np.ndarray],
    limit: float,
    rounds: int,
) -> tuple[np.ndarray | None, list[float]]:
    scores: dict[tuple[int, ...], float] = {}  # of every row that met the limit
    history = []
    for _ in range(rounds):
        rows = draw()
        new = {tuple(row) for row in rows[latency(rows) <= limit].tolist()} - scores.keys()
        if new:
            scores.update(zip(new, accuracy(np.array(list(new), dtype=rows.dtype))))
        history.append(max(scores.values(), default=-np.inf))
    return (np.array(max(scores, key=scores.get)) if scores else None), history


def halve(
    count: int, measure: Callable[[int, int], float], images: int, most: int
) -> tuple[int, int]:
    ranked, spent = list(range(count)), 0
    while len(ranked) > 1:
        errors = {candidate: -measure(candidate, images) for candidate in sorted(ranked)}
        spent += images * len(ranked)
        ranked = sorted(errors, key=errors.get)  # stable: of equal ones the first stays first
        ranked = ranked[: 1 if images == most else -(-len(ranked) // 2)]
        images = min(2 * images, most)
    return ranked[0], spent


def mutate(
    genes: np.ndarray, choices: np.ndarray, rate: float, rng: np.random.Generator
) -> np.ndarray:
    # One roll says both whether a gene is drawn again and what to, as in `Variation`.
    roll = rng.random(genes.shape) / rate
    return np.where(roll < 1, (roll * choices).astype(genes.dtype), genes)


def cross_stages(
    mothers: np.ndarray, fathers: np.ndarray, stage_of: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    from_mother = rng.integers(2, size=(len(mothers), stage_of.max() + 1), dtype=bool)
    return np.where(from_mother.take(stage_of, axis=1), mothers, fathers)


def select(accuracy: np.ndarray, latency: np.ndarray, limit: float, n: int) -> np.ndarray:
    if latency.min() > limit:
        raise ValueError(
            f"the smallest latency is {latency.min():.4g} ms, the limit {limit:.4g} ms"
        )
    ranks = np.lexsort((-accuracy, latency > limit))
    return ranks[: min(n, np.count_nonzero(latency <= limit))]


def evolve(
    population: np.ndarray,
    score: Callable[[np.ndarray], np.ndarray],
    vary: Callable[[np.ndarray, int], np.ndarray],
    parents: int,
    generations: int,
) -> tuple[np.ndarray, list[float]]:
    history: list[float] = []
    while True:
        scores = score(population)
        ranked = population[scores.argsort()[::-1]]
        history.append(float(scores.max()))
        if len(history) > generations:
            return ranked[0], history
        population = np.concatenate(
            [ranked[:parents], vary(ranked[:parents], len(population) - parents)]
        )


def on_front(costs: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    points, which = np.unique(np.column_stack([costs, -accuracy]), axis=0, return_inverse=True)
    return np.isin(which.ravel(), nondominated(points))


# ---- 5: deployment -------------------------------------------------------------------------------


def fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    statistics = norm.running_mean, norm.running_var, norm.eps
    return fuse_conv_bn_weights(conv.weight, conv.bias, *statistics, norm.weight, norm.bias)


def quantize(x: np.ndarray, low: float, high: float) -> tuple[np.ndarray, float, int]:
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255
    zero_point = int(np.rint(-low / scale))
    return (np.rint(x / scale) + zero_point).clip(0, 255).astype(np.uint8), scale, zero_point


def int8_layer(
    x: np.ndarray,
    x_zero: int,
    weight: np.ndarray,
    bias: np.ndarray,
    multiplier: np.ndarray,
    y_zero: int,
) -> np.ndarray:
    # Whole numbers below 2**53 are exact in floats.
    sums = (x.astype(float) - x_zero) @ weight.astype(float).T + bias
    return (np.rint(sums * multiplier) + y_zero).clip(0, 255).astype(np.uint8)


def peak_memory(operators: Sequence[tuple[Sequence[str], str]], sizes: Mapping[str, int]) -> int:
    makers = {output: step for step, (_, output) in enumerate(operators)}
    end, peaks = len(operators) - 1, [0] * len(operators)
    for name, size in sizes.items():
        reads = [step for step, (inputs, _) in enumerate(operators) if name in inputs]
        for step in range(makers.get(name, 0), max(reads, default=end) + 1):
            peaks[step] += size
    return max(peaks)


def smallest_budgets(
    global_choices: Sequence[Sequence[Mapping[str, np.ndarray]]], limits: Mapping[str, float]
) -> tuple[float, float]:
    least_ms, least_bytes = np.inf, np.inf
    for stages in global_choices:
        sizes = np.unique(np.concatenate([stage["sram_bytes"] for stage in stages]))
        quickest = np.zeros(len(sizes))  # of the subnets that need at most so much memory
        for stage in stages:
            by_size = np.argsort(stage["sram_bytes"])
            at_most = stage["sram_bytes"][by_size].searchsorted(sizes, side="right")
            fitting = np.minimum.accumulate(np.append(np.inf, stage["latency_ms"][by_size]))
            quickest += fitting[at_most]
        least_ms = min(least_ms, quickest[sizes <= limits["sram_bytes"]].min(initial=np.inf))
        least_bytes = min(least_bytes, sizes[quickest <= limits["latency_ms"]].min(initial=np.inf))
    return least_ms, least_bytes


def thompson(
    mean: np.ndarray,
    covariance: np.ndarray,
    noise: float,
    measure: Callable[[int], float],
    steps: int,
    rng: np.random.Generator,
) -> tuple[list[int], np.ndarray]:
    order: list[int] = []
    while len(order) < steps:
        ranked = rng.multivariate_normal(mean, covariance).argsort()[::-1]
        order.append(next(i for i in ranked.tolist() if i not in order))
        column = covariance[order[-1]]
        surprise = (measure(order[-1]) - mean[order[-1]]) / (column[order[-1]] + noise)
        mean = mean + surprise * column
        covariance = covariance - np.outer(column, column) / (column[order[-1]] + noise)
    return order, mean


# ---- 6: gradients --------------------------------------------------------------------------------


def mixed_node(
    states: Sequence[Tensor], alphas: Tensor, operations: Sequence[Sequence[Callable]]
) -> Tensor:
    outputs = [
        torch.stack([operation(state) for operation in of_edge])
        for state, of_edge in zip(states, operations)
    ]
    return torch.einsum("eo,eonchw->nchw", alphas.softmax(1), torch.stack(outputs))


def mixed_product(
    gradient: Callable[[np.ndarray], np.ndarray], weights: np.ndarray, direction: np.ndarray
) -> np.ndarray:
    length = np.sqrt(direction @ direction)
    if not length:
        return 0 * gradient(weights)
    step = EPSILON * direction / length
    return (gradient(weights + step) - gradient(weights - step)) * length / (2 * EPSILON)


def derive_node(alphas: np.ndarray, names: Sequence[str]) -> list[tuple[int, str]]:
    shares = torch.tensor(alphas).softmax(1).numpy()
    columns = [column for column, name in enumerate(names) if name != "none"]
    best = shares[:, columns].argmax(1)
    strongest = sorted(range(len(shares)), key=lambda row: -shares[row, columns[best[row]]])
    return [(row, names[columns[best[row]]]) for row in strongest[:2]]


def expected_latency(
    alphas: Sequence[np.ndarray], latencies: Sequence[np.ndarray]
) -> tuple[float, list[np.ndarray]]:
    tensors = [torch.tensor(alpha, dtype=torch.double, requires_grad=True) for alpha in alphas]
    total = sum(
        tensor.softmax(0) @ torch.tensor(latency, dtype=torch.double)
        for tensor, latency in zip(tensors, latencies)
    )
    return total.item(), [each.numpy() for each in torch.autograd.grad(total, tensors)]


# ---- 7: costs ------------------------------------------------------------------------------------


IN_A_DAY = {"seconds": 86_400, "minutes": 1440, "hours": 24, "days": 1}


def gpu_days(runs: Sequence[Mapping], devices: int) -> tuple[float | None, float | None]:
    if any(run["time"] is None for run in runs):
        return None, None
    days = sum(
        run["gpus"] * run["time"] * (devices if run["per_device"] else 1) / IN_A_DAY[run["unit"]]
        for run in runs
    )
    return days, days / devices


def no_dearer(
    once: int, each: int, other_once: int, other_each: int
) -> tuple[int, int | None] | None:
    if each > other_each:
        last = (other_once - once) // (each - other_each)
        return (1, last) if last >= 1 else None
    if each < other_each:
        saved = other_each - each
        return max(1, (once - other_once + saved - 1) // saved), None
    return (1, None) if once <= other_once else None


def energy_kwh(seconds: np.ndarray, watts: np.ndarray, idle_watts: float) -> float | None:
    power = (watts - idle_watts)[:-1] + np.diff(watts) / 2
    energy = np.diff(seconds) @ power / 3.6e6
    return None if np.isnan(energy) else float(energy)


def bootstrap_interval(
    statistic: Callable[[np.ndarray, np.ndarray], float],
    x: np.ndarray,
    y: np.ndarray,
    level: float,
    resamples: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    samples = rng.choice(len(x), size=(resamples, len(x)))
    values = np.array([statistic(x[sample], y[sample]) for sample in samples])
    tail = 50 * (1 - level)
    low, high = np.percentile(values, (tail, 100 - tail))
    return float(low), float(high)


def better_space(
    samples: Sequence[tuple[np.ndarray, np.ndarray]], limit: float, k: int
) -> tuple[int, list[float]]:
    bests = []
    for accuracy, cost in samples:
        descending, expected, remaining = np.sort(accuracy[cost <= limit])[::-1], 0.0, 1.0
        for i, value in enumerate(descending):  # is the best if it is chosen and none above it is
            chance = min(1.0, k / (len(descending) - i))
            expected, remaining = expected + remaining * chance * value, remaining * (1 - chance)
        bests.append(expected if len(descending) >= k else -np.inf)
    return int(np.argmax(bests)), bests
