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


# ---- 4.2 -----------------------------------------------------------------------------------------


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


# ---- 4.3 -----------------------------------------------------------------------------------------


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


# ---- 4.4 -----------------------------------------------------------------------------------------


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


# ---- 4.5 -----------------------------------------------------------------------------------------


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


# ---- 4.6 -----------------------------------------------------------------------------------------


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


RIGHT = {
    "4.1": [one_hot_loop, one_hot_indexed],
    "4.2": [mutate_where, mutate_loop, mutate_floor],
    "4.3": [cross_table, cross_loop],
    "4.4": [select_mask, select_infinity],
    "4.5": [evolve_concatenate, evolve_sorted_lists],
    "4.6": [front_broadcast, front_loop],
}
WRONG = {
    "4.1": [
        one_hot_packed,
        one_hot_present_only,
        one_hot_expand_first,
        one_hot_absent_smallest,
        one_hot_values,
    ],
    "4.2": [
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
    "4.3": [
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
    "4.4": [
        select_strict,
        select_ascending,
        select_inner_indices,
        select_limit_last,
        select_returns_nothing,
        select_names_the_limit,
        select_pads,
    ],
    "4.5": [
        evolve_without_elite,
        evolve_keeps_the_worst,
        evolve_random_parents,
        evolve_one_generation_short,
        evolve_history_without_start,
        evolve_mean_history,
        evolve_grows,
        evolve_first_row,
    ],
    "4.6": [
        front_strict_everywhere,
        front_beaten_by_itself,
        front_drops_copies,
        front_low_accuracy,
        front_first_cost_only,
        front_indices,
        front_beaten,
    ],
}
