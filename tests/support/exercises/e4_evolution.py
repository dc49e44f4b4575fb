"""Answers to the exercises of 04_evolutionary_search: `RIGHT` must pass, `WRONG` must not."""

import numpy as np

# ---- 4.1 -----------------------------------------------------------------------------------------


def one_hot_loop(stages, depths, kernels, expands):
    vector = []
    for blocks, depth in zip(stages, depths):
        for i in range(depth):
            kernel, expand = blocks[i] if i < len(blocks) else (None, None)
            vector += [float(k == kernel) for k in kernels] + [float(e == expand) for e in expands]
    return np.array(vector)


def one_hot_indexed(stages, depths, kernels, expands):
    width = len(kernels) + len(expands)
    table = np.zeros((sum(depths), width), dtype=int)
    first = 0
    for blocks, depth in zip(stages, depths):
        for i, (kernel, expand) in enumerate(blocks):
            table[first + i, kernels.index(kernel)] = table[
                first + i, len(kernels) + expands.index(expand)
            ] = 1
        first += depth
    return table.ravel().tolist()


def one_hot_packed(stages, depths, kernels, expands):
    blocks = [block for stage in stages for block in stage]
    blocks += [(None, None)] * (sum(depths) - len(blocks))
    return np.array(
        [float(v) for k, e in blocks for v in [k == c for c in kernels] + [e == c for c in expands]]
    )


def one_hot_present_only(stages, depths, kernels, expands):
    return np.array(
        [
            float(v)
            for blocks in stages
            for k, e in blocks
            for v in [k == c for c in kernels] + [e == c for c in expands]
        ]
    )


def one_hot_expand_first(stages, depths, kernels, expands):
    vector = []
    for blocks, depth in zip(stages, depths):
        for k, e in [*blocks, *[(None, None)] * (depth - len(blocks))]:
            vector += [float(e == c) for c in expands] + [float(k == c) for c in kernels]
    return vector


def one_hot_absent_smallest(stages, depths, kernels, expands):
    filled = [
        [*blocks, *[(kernels[0], expands[0])] * (depth - len(blocks))]
        for blocks, depth in zip(stages, depths)
    ]
    return one_hot_loop(filled, depths, kernels, expands)


def one_hot_values(stages, depths, kernels, expands):
    return one_hot_loop(stages, depths, kernels, expands) * 2


def one_hot_concatenated(stages, depths, kernels, expands):
    eyes, width = (np.eye(len(kernels)), np.eye(len(expands))), len(kernels) + len(expands)
    kernel_at, expand_at = ({v: i for i, v in enumerate(c)} for c in (kernels, expands))
    parts = []
    for blocks, depth in zip(stages, depths):
        parts += [np.hstack([eyes[0][kernel_at[k]], eyes[1][expand_at[e]]]) for k, e in blocks]
        parts.append(np.zeros((depth - len(blocks)) * width))
    return np.concatenate(parts)


def one_hot_counts_in_twos(stages, depths, kernels, expands):
    """As if kernel sizes always went up by two."""
    slots = np.zeros((sum(depths), len(kernels) + len(expands)))
    first = 0
    for blocks, depth in zip(stages, depths):
        for i, (kernel, expand) in enumerate(blocks):
            slots[first + i, (kernel - kernels[0]) // 2] = 1
            slots[first + i, len(kernels) + expands.index(expand)] = 1
        first += depth
    return slots.ravel()


def one_hot_three_kernels(stages, depths, kernels, expands):
    return one_hot_loop(stages, depths, (3, 5, 7), expands)


def one_hot_three_expand_ratios(stages, depths, kernels, expands):
    return one_hot_loop(stages, depths, kernels, expands[:3])


def one_hot_three_stages(stages, depths, kernels, expands):
    return one_hot_loop(stages[:3], depths[:3], kernels, expands)


def one_hot_equal_slots(stages, depths, kernels, expands):
    return one_hot_loop(stages, [max(depths)] * len(depths), kernels, expands)


def one_hot_absent_first(stages, depths, kernels, expands):
    return one_hot_loop(
        [[*[(None, None)] * (depth - len(b)), *b] for b, depth in zip(stages, depths)],
        depths,
        kernels,
        expands,
    )


def one_hot_by_kind(stages, depths, kernels, expands):
    """All kernels of the network first, and then all expand ratios."""
    rows = one_hot_loop(stages, depths, kernels, expands).reshape(sum(depths), -1)
    return np.concatenate([rows[:, : len(kernels)].ravel(), rows[:, len(kernels) :].ravel()])


# ---- 4.4 -----------------------------------------------------------------------------------------


def mutate_where(genes, choices, rate, rng):
    return np.where(
        rng.random(genes.shape) < rate, rng.integers(0, choices, size=genes.shape), genes
    )


def mutate_loop(genes, choices, rate, rng):
    children = genes.copy()
    for row in children:
        for g, count in enumerate(choices):
            if rng.random() < rate:
                row[g] = rng.integers(count)
    return children


def mutate_floor(genes, choices, rate, rng):
    redrawn = np.floor(rng.random(genes.shape) * choices).astype(int)
    hit = rng.random(genes.shape) >= 1 - rate
    return hit * redrawn + ~hit * genes


def mutate_in_place(genes, choices, rate, rng):
    hit = rng.random(genes.shape) < rate
    genes[hit] = rng.integers(0, choices, size=genes.shape)[hit]
    return genes


def mutate_always_different(genes, choices, rate, rng):
    step = rng.integers(1, choices, size=genes.shape)
    return np.where(rng.random(genes.shape) < rate, (genes + step) % choices, genes)


def mutate_misses_last(genes, choices, rate, rng):
    return np.where(
        rng.random(genes.shape) < rate, rng.integers(0, choices - 1, size=genes.shape), genes
    )


def mutate_entire_rows(genes, choices, rate, rng):
    return np.where(
        rng.random((len(genes), 1)) < rate, rng.integers(0, choices, size=genes.shape), genes
    )


def mutate_same_roll_for_all(genes, choices, rate, rng):
    return np.where(
        rng.random(genes.shape[1]) < rate, rng.integers(0, choices, size=genes.shape), genes
    )


def mutate_same_value_for_all(genes, choices, rate, rng):
    return np.where(rng.random(genes.shape) < rate, rng.integers(0, choices), genes)


def mutate_keeps_at_rate(genes, choices, rate, rng):
    return np.where(
        rng.random(genes.shape) < rate / 2, rng.integers(0, choices, size=genes.shape), genes
    )


def mutate_global_random(genes, choices, rate, rng):
    return np.where(
        np.random.rand(*genes.shape) < rate, np.random.randint(0, choices, size=genes.shape), genes
    )


def mutate_one_gene(genes, choices, rate, rng):
    children = genes.copy()
    column = rng.integers(0, genes.shape[1], size=len(genes))
    children[np.arange(len(genes)), column] = rng.integers(0, choices[column])
    return children


def mutate_half_twice(genes, choices, rate, rng):
    half = (len(genes) // 2, genes.shape[1])
    redraw, redrawn = rng.random(half) < rate, rng.integers(0, choices, size=half)
    return np.where(np.vstack([redraw, redraw]), np.vstack([redrawn, redrawn]), genes)


def mutate_same_places_in_both_halves(genes, choices, rate, rng):
    redraw = rng.random((len(genes) // 2, genes.shape[1])) < rate
    return np.where(np.vstack([redraw, redraw]), rng.integers(0, choices, size=genes.shape), genes)


def mutate_same_values_in_both_halves(genes, choices, rate, rng):
    redrawn = rng.integers(0, choices, size=(len(genes) // 2, genes.shape[1]))
    return np.where(rng.random(genes.shape) < rate, np.vstack([redrawn, redrawn]), genes)


def mutate_to_and_fro(genes, choices, rate, rng):
    redraw = rng.random((len(genes) // 2, genes.shape[1])) < rate
    return np.where(
        np.vstack([redraw, redraw[::-1]]), rng.integers(0, choices, size=genes.shape), genes
    )


def mutate_ten_times_the_same(genes, choices, rate, rng):
    redraw = np.tile(rng.random((len(genes) // 10, genes.shape[1])) < rate, (10, 1))
    return np.where(redraw, rng.integers(0, choices, size=genes.shape), genes)


def mutate_each_row_twice(genes, choices, rate, rng):
    redraw = np.repeat(rng.random((len(genes) // 2, genes.shape[1])) < rate, 2, axis=0)
    return np.where(redraw, rng.integers(0, choices, size=genes.shape), genes)


def mutate_fixed_seed(genes, choices, rate, rng):
    return mutate_where(genes, choices, rate, np.random.default_rng(0))


def mutate_places_of_a_fixed_seed(genes, choices, rate, rng):
    redraw = np.random.default_rng(0).random(genes.shape) < rate
    return np.where(redraw, rng.integers(0, choices, size=genes.shape), genes)


def mutate_values_of_a_fixed_seed(genes, choices, rate, rng):
    values = np.random.default_rng(0).integers(0, choices, size=genes.shape)
    return np.where(rng.random(genes.shape) < rate, values, genes)


def mutate_neighbors(genes, choices, rate, rng):
    step = rng.integers(-1, 2, size=genes.shape)
    return np.where(rng.random(genes.shape) < rate, (genes + step) % choices, genes)


def mutate_three_thousand_by_five(genes, choices, rate, rng):
    return np.where(rng.random((3000, 5)) < rate, rng.integers(0, choices, size=(3000, 5)), genes)


# ---- 4.5 -----------------------------------------------------------------------------------------


def cross_table(mothers, fathers, stage_of, rng):
    coins = rng.random((len(mothers), stage_of.max() + 1)) < 0.5
    return np.where(coins[:, stage_of], mothers, fathers)


def cross_loop(mothers, fathers, stage_of, rng):
    children = fathers.copy()
    for stage in set(stage_of.tolist()):
        rows = np.flatnonzero(rng.integers(0, 2, size=len(mothers)))
        columns = np.flatnonzero(stage_of == stage)
        children[np.ix_(rows, columns)] = mothers[np.ix_(rows, columns)]
    return children


def cross_by_gene(mothers, fathers, stage_of, rng):
    return np.where(rng.random(mothers.shape) < 0.5, mothers, fathers)


def cross_one_coin(mothers, fathers, stage_of, rng):
    return np.where(rng.random((len(mothers), 1)) < 0.5, mothers, fathers)


def cross_same_for_all_children(mothers, fathers, stage_of, rng):
    return np.where((rng.random(stage_of.max() + 1) < 0.5)[stage_of], mothers, fathers)


def cross_biased(mothers, fathers, stage_of, rng):
    coins = rng.random((len(mothers), stage_of.max() + 1)) < 0.25
    return np.where(coins[:, stage_of], mothers, fathers)


def cross_averages(mothers, fathers, stage_of, rng):
    return (mothers + fathers) // 2


def cross_single_point(mothers, fathers, stage_of, rng):
    cut = rng.integers(0, stage_of.max() + 2, size=(len(mothers), 1))
    return np.where(stage_of < cut, mothers, fathers)


def cross_alternates(mothers, fathers, stage_of, rng):
    return np.where(stage_of % 2 == 0, mothers, fathers)


def cross_four_stages(mothers, fathers, stage_of, rng):
    coins = rng.random((len(mothers), 4)) < 0.5
    return np.where(coins[:, stage_of], mothers, fathers)


def cross_half_twice(mothers, fathers, stage_of, rng):
    coins = rng.random((len(mothers) // 2, stage_of.max() + 1)) < 0.5
    return np.where(np.vstack([coins, coins])[:, stage_of], mothers, fathers)


def cross_half_the_other_way(mothers, fathers, stage_of, rng):
    coins = rng.random((len(mothers) // 2, stage_of.max() + 1)) < 0.5
    return np.where(np.vstack([coins, ~coins])[:, stage_of], mothers, fathers)


def cross_one_hot(mothers, fathers, stage_of, rng):
    stages = np.arange(stage_of.max() + 1)
    of_mother = rng.choice([0, 1], size=(len(mothers), len(stages)))
    chosen = of_mother @ (stages[:, None] == stage_of)
    return fathers + chosen * (mothers - fathers)


def cross_fixed_seed(mothers, fathers, stage_of, rng):
    return cross_table(mothers, fathers, stage_of, np.random.default_rng(0))


def cross_one_stage_of_a_fixed_seed(mothers, fathers, stage_of, rng):
    children = cross_table(mothers, fathers, stage_of, rng)
    other = cross_table(mothers, fathers, stage_of, np.random.default_rng(0))
    return np.where(stage_of == 0, other, children)


def cross_stages_in_a_row(mothers, fathers, stage_of, rng):
    """Genes that lie side by side are a stage."""
    return cross_table(mothers, fathers, np.sort(stage_of), rng)


def cross_mothers_first_stage(mothers, fathers, stage_of, rng):
    return np.where(stage_of == 0, mothers, cross_table(mothers, fathers, stage_of, rng))


def cross_into_the_mothers(mothers, fathers, stage_of, rng):
    mothers[:] = cross_table(mothers, fathers, stage_of, rng)
    return mothers


def cross_shuffled_children(mothers, fathers, stage_of, rng):
    return rng.permutation(cross_table(mothers, fathers, stage_of, rng))


# ---- 4.6 -----------------------------------------------------------------------------------------


def select_mask(accuracy, latency, limit, n):
    if latency.min() > limit:
        raise ValueError(f"no subnet meets {limit} ms; the quickest takes {latency.min()} ms")
    feasible = np.flatnonzero(latency <= limit)
    return feasible[np.argsort(-accuracy[feasible])][:n]


def select_infinity(accuracy, latency, limit, n):
    score = np.where(latency > limit, -np.inf, accuracy)
    count = int(np.isfinite(score).sum())
    if count == 0:
        raise ValueError(f"the smallest possible latency is {min(latency):.3f} ms")
    return list(np.argsort(score)[::-1][: min(n, count)])


def select_strict(accuracy, latency, limit, n):
    feasible = np.flatnonzero(latency < limit)
    if not len(feasible):
        raise ValueError(f"smallest is {latency.min()}")
    return feasible[np.argsort(-accuracy[feasible])][:n]


def select_ascending(accuracy, latency, limit, n):
    return select_mask(accuracy, latency, limit, n)[::-1]


def select_inner_indices(accuracy, latency, limit, n):
    if latency.min() > limit:
        raise ValueError(f"smallest is {latency.min()}")
    return np.argsort(-accuracy[latency <= limit])[:n]


def select_limit_last(accuracy, latency, limit, n):
    if latency.min() > limit:
        raise ValueError(f"smallest is {latency.min()}")
    best = np.argsort(-accuracy)[:n]
    return best[latency[best] <= limit]


def select_returns_nothing(accuracy, latency, limit, n):
    feasible = np.flatnonzero(latency <= limit)
    return feasible[np.argsort(-accuracy[feasible])][:n]


def select_names_the_limit(accuracy, latency, limit, n):
    if latency.min() > limit:
        raise ValueError(f"no subnet meets {limit} ms")
    return select_mask(accuracy, latency, limit, n)


def select_pads(accuracy, latency, limit, n):
    if latency.min() > limit:
        raise ValueError(f"smallest is {latency.min()}")
    return np.argsort(-np.where(latency <= limit, accuracy, -np.inf))[:n]


def select_sorted_pairs(accuracy, latency, limit, n):
    pairs = sorted(((a, i) for i, a in enumerate(accuracy) if latency[i] <= limit), reverse=True)
    if not pairs:
        raise ValueError(f"too tight: {latency.min():.1f} ms is the least, not {limit}")
    return [i for _, i in pairs[:n]]


def select_two_decimals(accuracy, latency, limit, n):
    order = np.lexsort((-accuracy, latency > limit))
    count = int(np.sum(latency <= limit))
    if count == 0:
        raise ValueError(f"at least {np.round(latency.min(), 2)} ms", limit)
    return order[: min(n, count)]


def select_another_error(accuracy, latency, limit, n):
    if latency.min() > limit:
        raise RuntimeError(f"smallest is {latency.min()}")
    return select_mask(accuracy, latency, limit, n)


def select_names_no_decimal(accuracy, latency, limit, n):
    if latency.min() > limit:
        raise ValueError(f"smallest is {latency.min() + 0.5:.0f} ms")
    return select_mask(accuracy, latency, limit, n)


def select_names_the_second(accuracy, latency, limit, n):
    if latency.min() > limit:
        raise ValueError(f"smallest is {np.sort(latency)[1]:.1f} ms")
    return select_mask(accuracy, latency, limit, n)


def select_lists_all(accuracy, latency, limit, n):
    if latency.min() > limit:
        raise ValueError(f"none of {latency.tolist()} meets {limit}")
    return select_mask(accuracy, latency, limit, n)


def select_all(accuracy, latency, limit, n):
    return select_mask(accuracy, latency, limit, len(accuracy))


def select_fails_if_there_are_fewer(accuracy, latency, limit, n):
    if np.sum(latency <= limit) < n:
        raise ValueError(f"smallest is {latency.min()}")
    return select_mask(accuracy, latency, limit, n)


def select_fastest(accuracy, latency, limit, n):
    if latency.min() > limit:
        raise ValueError(f"smallest is {latency.min()}")
    return np.argsort(latency)[: min(n, int(np.sum(latency <= limit)))]


# ---- 4.7 -----------------------------------------------------------------------------------------


def evolve_concatenate(population, score, vary, parents, generations):
    size, scores = len(population), score(population)
    history = [scores.max()]
    for _ in range(generations):
        best = np.argsort(-scores)[:parents]
        children = vary(population[best], size - parents)
        population = np.concatenate([population[best], children])
        scores = score(population)
        history.append(scores.max())
    return population[scores.argmax()], history


def evolve_sorted_lists(population, score, vary, parents, generations):
    def ranked(rows):
        return sorted(
            ((float(score(np.array(row)[None])[0]), tuple(row)) for row in rows), reverse=True
        )

    people, size = ranked(population.tolist()), len(population)
    history = [people[0][0]]
    for _ in range(generations):
        elite = [row for _, row in people[:parents]]
        people = ranked(elite + vary(np.array(elite[::-1]), size - parents).tolist())
        history.append(people[0][0])
    return list(people[0][1]), np.array(history)


def evolve_without_elite(population, score, vary, parents, generations):
    history = [score(population).max()]
    for _ in range(generations):
        best = population[np.argsort(-score(population))[:parents]]
        population = vary(best, len(population))
        history.append(score(population).max())
    return population[score(population).argmax()], history


def evolve_keeps_the_worst(population, score, vary, parents, generations):
    return evolve_concatenate(population, lambda rows: -score(rows), vary, parents, generations)


def evolve_random_parents(population, score, vary, parents, generations):
    size, history = len(population), [score(population).max()]
    for _ in range(generations):
        best = population[:parents]
        population = np.concatenate([best, vary(best, size - parents)])
        history.append(score(population).max())
    return population[score(population).argmax()], history


def evolve_one_generation_short(population, score, vary, parents, generations):
    return evolve_concatenate(population, score, vary, parents, generations - 1)


def evolve_history_without_start(population, score, vary, parents, generations):
    best, history = evolve_concatenate(population, score, vary, parents, generations)
    return best, history[1:]


def evolve_mean_history(population, score, vary, parents, generations):
    size, scores = len(population), score(population)
    history = [scores.mean()]
    for _ in range(generations):
        best = population[np.argsort(-scores)[:parents]]
        population = np.concatenate([best, vary(best, size - parents)])
        scores = score(population)
        history.append(scores.mean())
    return population[scores.argmax()], history


def evolve_grows(population, score, vary, parents, generations):
    size, history = len(population), [score(population).max()]
    for _ in range(generations):
        best = population[np.argsort(-score(population))[:parents]]
        population = np.concatenate([population, vary(best, size)])
        history.append(score(population).max())
    return population[score(population).argmax()], history


def evolve_first_row(population, score, vary, parents, generations):
    best, history = evolve_concatenate(population, score, vary, parents, generations)
    return population[0], history


def evolve_partition(population, score, vary, parents, generations):
    """Scores of parents are kept, and the best are not sorted."""
    size, scores, history = len(population), np.asarray(score(population)), []
    for generation in range(generations + 1):
        history += [float(max(scores))]
        if generation < generations:
            best = np.argpartition(scores, -parents)[-parents:]
            children = vary(population[best], size - parents)
            scores = np.append(scores[best], score(children))
            population = np.vstack([population[best], children])
    return population[int(np.argmax(scores))], history


def evolve_starts_from_zero(population, score, vary, parents, generations):
    """Only a score above 0 is better than nothing."""
    size, best_score, best_row, history = len(population), 0.0, population[0], []
    for generation in range(generations + 1):
        scores = score(population)
        if scores.max() > best_score:
            best_score, best_row = scores.max(), population[scores.argmax()]
        history.append(best_score)
        if generation < generations:
            best = population[np.argsort(-scores)[:parents]]
            population = np.concatenate([best, vary(best, size - parents)])
    return best_row, history


def evolve_above_the_mean(population, score, vary, parents, generations):
    """By the distance to the mean, which is no number if one score is minus infinity."""
    with np.errstate(invalid="ignore"):
        return evolve_concatenate(
            population, lambda rows: score(rows) - score(rows).mean(), vary, parents, generations
        )


def evolve_feasible_only(population, score, vary, parents, generations):
    """The population is without the rows that break the limit, and so grows and shrinks."""
    return evolve_concatenate(
        population[np.isfinite(score(population))], score, vary, parents, generations
    )


def evolve_children_of_all(population, score, vary, parents, generations):
    size, scores = len(population), score(population)
    history = [scores.max()]
    for _ in range(generations):
        children = vary(population, size - parents)
        population = np.concatenate([population[np.argsort(-scores)[:parents]], children])
        scores = score(population)
        history.append(scores.max())
    return population[scores.argmax()], history


def evolve_as_many_children_as_rows(population, score, vary, parents, generations):
    size, scores = len(population), score(population)
    history = [scores.max()]
    for _ in range(generations):
        best = population[np.argsort(-scores)[:parents]]
        population = np.concatenate([best, vary(best, size)])
        scores = score(population)
        history.append(scores.max())
    return population[scores.argmax()], history


def evolve_best_only(population, score, vary, parents, generations):
    return evolve_concatenate(population, score, vary, parents, generations)[0]


def evolve_history_of_rows(population, score, vary, parents, generations):
    best, history = evolve_concatenate(population, score, vary, parents, generations)
    return best, [best] * len(history)


def evolve_never_selects_again(population, score, vary, parents, generations):
    """The parents of the first generation have all the children."""
    size, scores = len(population), score(population)
    best, history = population[np.argsort(-scores)[:parents]], [scores.max()]
    for _ in range(generations):
        population = np.concatenate([best, vary(best, size - parents)])
        history.append(max(history[-1], score(population).max()))
    return population[score(population).argmax()], history


# ---- 4.8 -----------------------------------------------------------------------------------------


def front_broadcast(costs, accuracy):
    points = np.column_stack([costs, -accuracy])
    nowhere_worse = (points[:, None] <= points[None]).all(2)
    somewhere_better = (points[:, None] < points[None]).any(2)
    return ~(nowhere_worse & somewhere_better).any(0)


def front_loop(costs, accuracy):
    mask = []
    for i in range(len(accuracy)):
        no_worse = (costs <= costs[i]).all(axis=1) & (accuracy >= accuracy[i])
        better = (costs < costs[i]).any(axis=1) | (accuracy > accuracy[i])
        mask.append(not (no_worse & better).any())
    return mask


def front_strict_everywhere(costs, accuracy):
    points = np.column_stack([costs, -accuracy])
    return ~(points[:, None] < points[None]).all(2).any(0)


def front_beaten_by_itself(costs, accuracy):
    points = np.column_stack([costs, -accuracy])
    return ~(points[:, None] <= points[None]).all(2).any(0)


def front_drops_copies(costs, accuracy):
    points = np.column_stack([costs, -accuracy])
    mask = front_broadcast(costs, accuracy)
    return mask & np.isin(np.arange(len(points)), np.unique(points, axis=0, return_index=True)[1])


def front_low_accuracy(costs, accuracy):
    return front_broadcast(costs, -accuracy)


def front_first_cost_only(costs, accuracy):
    return front_broadcast(costs[:, :1], accuracy)


def front_indices(costs, accuracy):
    return np.flatnonzero(front_broadcast(costs, accuracy))


def front_beaten(costs, accuracy):
    return ~front_broadcast(costs, accuracy)


def front_by_removal(costs, accuracy):
    """From the most accurate down: whom a subnet that is on the front beats is not."""
    points = [(*c, -a) for c, a in zip(costs.tolist(), accuracy.tolist())]
    mask = np.zeros(len(points), dtype=int)
    front = set()
    for point in sorted(set(points)):
        if not any(all(a <= b for a, b in zip(other, point)) for other in front):
            front.add(point)
    for i, point in enumerate(points):
        mask[i] = point in front
    return mask


def front_first_two_costs(costs, accuracy):
    return front_broadcast(costs[:, :2], accuracy)


def front_best_of_each(costs, accuracy):
    """The subnets that are best in one respect."""
    points = np.column_stack([costs, -accuracy])
    return (points == points.min(0)).any(1)


def front_of_the_sum(costs, accuracy):
    """All costs as one."""
    return front_broadcast(costs.sum(1, keepdims=True), accuracy)


def front_higher_costs(costs, accuracy):
    return front_broadcast(-costs, accuracy)


RIGHT = {
    "4.1": [one_hot_concatenated, one_hot_loop, one_hot_indexed],
    "4.4": [mutate_where, mutate_loop, mutate_floor],
    "4.5": [cross_one_hot, cross_table, cross_loop],
    "4.6": [select_sorted_pairs, select_two_decimals, select_mask, select_infinity],
    "4.7": [evolve_partition, evolve_concatenate, evolve_sorted_lists],
    "4.8": [front_by_removal, front_broadcast, front_loop],
}
WRONG = {
    "4.1": [
        one_hot_three_kernels,
        one_hot_counts_in_twos,
        one_hot_three_expand_ratios,
        one_hot_three_stages,
        one_hot_equal_slots,
        one_hot_absent_first,
        one_hot_by_kind,
        one_hot_packed,
        one_hot_present_only,
        one_hot_expand_first,
        one_hot_absent_smallest,
        one_hot_values,
    ],
    "4.4": [
        mutate_fixed_seed,
        mutate_places_of_a_fixed_seed,
        mutate_values_of_a_fixed_seed,
        mutate_neighbors,
        mutate_three_thousand_by_five,
        mutate_in_place,
        mutate_always_different,
        mutate_misses_last,
        mutate_entire_rows,
        mutate_same_roll_for_all,
        mutate_same_value_for_all,
        mutate_keeps_at_rate,
        mutate_global_random,
        mutate_one_gene,
        mutate_half_twice,
        mutate_same_places_in_both_halves,
        mutate_same_values_in_both_halves,
        mutate_to_and_fro,
        mutate_ten_times_the_same,
        mutate_each_row_twice,
    ],
    "4.5": [
        cross_fixed_seed,
        cross_one_stage_of_a_fixed_seed,
        cross_stages_in_a_row,
        cross_mothers_first_stage,
        cross_into_the_mothers,
        cross_shuffled_children,
        cross_by_gene,
        cross_one_coin,
        cross_same_for_all_children,
        cross_biased,
        cross_averages,
        cross_single_point,
        cross_alternates,
        cross_four_stages,
        cross_half_twice,
        cross_half_the_other_way,
    ],
    "4.6": [
        select_another_error,
        select_names_no_decimal,
        select_names_the_second,
        select_lists_all,
        select_all,
        select_fails_if_there_are_fewer,
        select_fastest,
        select_strict,
        select_ascending,
        select_inner_indices,
        select_limit_last,
        select_returns_nothing,
        select_names_the_limit,
        select_pads,
    ],
    "4.7": [
        evolve_starts_from_zero,
        evolve_above_the_mean,
        evolve_feasible_only,
        evolve_children_of_all,
        evolve_as_many_children_as_rows,
        evolve_best_only,
        evolve_history_of_rows,
        evolve_never_selects_again,
        evolve_without_elite,
        evolve_keeps_the_worst,
        evolve_random_parents,
        evolve_one_generation_short,
        evolve_history_without_start,
        evolve_mean_history,
        evolve_grows,
        evolve_first_row,
    ],
    "4.8": [
        front_first_two_costs,
        front_best_of_each,
        front_of_the_sum,
        front_higher_costs,
        front_strict_everywhere,
        front_beaten_by_itself,
        front_drops_copies,
        front_low_accuracy,
        front_first_cost_only,
        front_indices,
        front_beaten,
    ],
}
