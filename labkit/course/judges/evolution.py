"""Exercises of 04_evolutionary_search: encoding, variation, selection, the loop, the front. The
fitted predictor is in predictors.py, random search and successive halving in plain_searches.py.
"""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from labkit.course.exercises.exercise import Exercise, Size, Wrong
from labkit.course.exercises.judging import (
    as_array,
    as_items,
    as_number,
    require_close,
    require_fields,
    require_frequency,
    two_things,
)
from labkit.course.exercises.witness import Note, tell
from labkit.course.judges.plain_searches import (
    draw_inputs,
    draw_judge,
    draw_run,
    halve_inputs,
    halve_judge,
    halve_run,
)
from labkit.course.judges.predictors import fit_inputs, fit_judge, fit_run

# ---- 4.1 what a predictor sees -------------------------------------------------------------------


def one_hot_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    kernels, expands = [3, 5, 9, 11][: 2 + (seed + 1) % 3], [2, 3, 4, 6][: 3 + seed % 2]
    depths = [3, 2, 4, 1][: 3 + seed % 2]
    stages = [
        [
            [int(rng.choice(kernels)), int(rng.choice(expands))]
            for _ in range(rng.integers(1, depth + 1))
        ]
        for depth in depths
    ]
    return {"stages": stages, "depths": depths, "kernels": kernels, "expands": expands}


def one_hot_run(function: Callable, inputs: dict) -> object:
    stages = [[tuple(block) for block in blocks] for blocks in inputs["stages"]]
    return function(stages, *(tuple(inputs[name]) for name in ("depths", "kernels", "expands")))


def one_hot_judge(inputs: dict, returned: object) -> None:
    kernels, expands, depths = inputs["kernels"], inputs["expands"], inputs["depths"]
    width = len(kernels) + len(expands)
    result = as_array(returned, (sum(depths) * width,), "the vector")
    slots = [(s, i) for s, depth in enumerate(depths) for i in range(depth)]
    for slot, (s, i) in enumerate(slots):
        got = result[slot * width : (slot + 1) * width]
        kernel = expand = None
        what = "is not there, so all zeros"
        if i < len(inputs["stages"][s]):
            kernel, expand = inputs["stages"][s][i]
            what = f"kernel {kernel}, expand ratio {expand}"
        want = [float(value == kernel) for value in kernels]
        want += [float(value == expand) for value in expands]
        if got.tolist() != want:
            raise Wrong(
                f"block {i} of stage {s} ({what}) should be entries {slot * width} to"
                f" {slot * width + width - 1} of the vector, kernels {kernels} first, then expand"
                f" ratios {expands}; they hold {got.tolist()}"
            )


# ---- 4.4 mutation --------------------------------------------------------------------------------

ROWS = 3000


def mutate_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    choices = np.array([3, 2, 4, 5, 3])[rng.permutation(5)][: 5 - seed % 2]
    return {
        "genes": rng.integers(0, choices, size=(ROWS, len(choices))),
        "choices": choices,
        "rate": (0.2, 0.35, 0.5)[seed % 3],
        "seed": int(rng.integers(2**31)),
    }


def mutate_run(function: Callable, inputs: dict) -> object:
    genes, rate = inputs["genes"].copy(), inputs["rate"]
    children, again, other = (
        function(genes, inputs["choices"].copy(), rate, np.random.default_rng(seed))
        for seed in _generator_seeds(inputs)
    )
    return {"children": children, "again": again, "other": other, "parents": genes}


def _generator_seeds(inputs: dict) -> tuple[int, int, int]:
    """Of three generators, the first two alike."""
    return inputs["seed"], inputs["seed"], inputs["seed"] + 1


def mutate_judge(inputs: dict, returned: object) -> None:
    genes, choices, rate = inputs["genes"], inputs["choices"], inputs["rate"]
    children = _integer_rows(returned, "children", genes.shape)
    _unchanged_and_repeatable(inputs["genes"], returned, children, "parents")
    outside = (children < 0) | (children >= choices)
    if outside.any():
        row, column = map(int, np.argwhere(outside)[0])
        raise Wrong(
            f"gene {column} of a child is {children[row, column]:g}, allowed are 0 to"
            f" {choices[column] - 1}"
        )
    changed = children != genes
    for column, count in enumerate(choices):
        for value in range(count):
            others = genes[:, column] != value
            require_frequency(
                int((children[others, column] == value).sum()),
                int(others.sum()),
                rate / count,
                f"gene {column} ({count} choices, rate {rate}) turned from another value into"
                f" {value}",
            )
    chance = rate * (1 - 1 / choices)
    other = _integer_rows(returned, "other", genes.shape)
    _judge_other_generator(changed, other != genes, children == other, rate, choices)
    for a, b in itertools.combinations(range(len(choices)), 2):
        require_frequency(
            int((changed[:, a] & changed[:, b]).sum()),
            ROWS,
            chance[a] * chance[b],
            f"genes {a} and {b} of a row both changed (each rolls for itself, at rate {rate})",
        )
        both = (genes[:, a] != 0) & (genes[:, b] != 0)
        require_frequency(
            int((children[both][:, [a, b]] == 0).all(1).sum()),
            int(both.sum()),
            rate**2 / choices[a] / choices[b],
            f"genes {a} and {b} of a row both turned into 0 (each is drawn for itself)",
        )
    for first, second in _pairs_of_rows():
        # Chances differ between genes; a count over all genes is bounded as if each had the mean.
        where = f"of rows such as {first[0]} and {second[0]}"
        both, trials = changed[first] & changed[second], len(first) * len(choices)
        require_frequency(
            int(both.sum()),
            trials,
            float((chance**2).mean()),
            f"a gene {where} changed in both (each row rolls for itself)",
        )
        new_to_both = choices - 1 - (genes[first] != genes[second])  # values that are new to both
        require_frequency(
            int((both & (children[first] == children[second])).sum()),
            trials,
            float((rate**2 * new_to_both / choices**2).mean()),
            f"a gene {where} turned into the same new value in both (each is drawn for itself)",
        )


def _judge_other_generator(
    changed: np.ndarray,
    changed_by_other: np.ndarray,
    equal: np.ndarray,
    rate: float,
    choices: np.ndarray,
) -> None:
    """Wrong unless another generator draws other genes, and other values for them."""
    both, chance = changed & changed_by_other, rate * (1 - 1 / choices)
    advice = "(`rng` is the only source of chance)"
    require_frequency(
        int(both.sum()),
        both.size,
        float((chance**2).mean()),
        f"with two generators a gene changed in both {advice}",
    )
    require_frequency(
        int((both & equal).sum()),
        both.size,
        float((rate**2 * (choices - 1) / choices**2).mean()),
        f"with two generators a gene turned into the same new value in both {advice}",
    )


def _pairs_of_rows() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of row numbers (first, second), in several ways.

    An answer that draws for fewer rows and repeats them, to and fro or k times, makes the rows of
    one of these ways alike. Within a way, no row comes twice, so that its pairs are independent.
    """
    rows = np.arange(ROWS)
    yield rows[: ROWS // 2], rows[::-1][: ROWS // 2]
    for lag in sorted({ROWS // k for k in range(2, ROWS + 1)}):
        first = rows[:-lag][rows[:-lag] // lag % 2 == 0]
        yield first, first + lag


def _integer_rows(returned: object, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if not isinstance(returned, dict) or name not in returned:
        raise Wrong("the result could not be read")
    result = as_array(returned[name], shape, f"the {name}")
    if (result % 1 != 0).any():
        raise Wrong(f"the {name} hold numbers that are not whole")
    return result


def _unchanged_and_repeatable(
    before: np.ndarray, returned: dict, children: np.ndarray, parents: str
) -> None:
    if not np.array_equal(as_array(returned.get(parents), before.shape, f"the {parents}"), before):
        raise Wrong(f"the {parents} were changed; work on a copy, they are still needed")
    if not np.array_equal(
        as_array(returned.get("again"), children.shape, "the second result"), children
    ):
        raise Wrong("the same seed gave another result: draw from `rng` only")


# ---- 4.5 crossover -------------------------------------------------------------------------------


def cross_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    stage_of = np.repeat(np.arange(5 + seed % 3), rng.integers(1, 4, size=5 + seed % 3))
    if seed % 3 == 1:
        stage_of = rng.permutation(stage_of)
    mothers = rng.integers(0, 5, size=(ROWS, len(stage_of)))
    return {
        "mothers": mothers,
        "fathers": mothers + rng.integers(1, 5, size=mothers.shape),
        "stage_of": stage_of,
        "seed": int(rng.integers(2**31)),
    }


def cross_run(function: Callable, inputs: dict) -> object:
    mothers, fathers = inputs["mothers"].copy(), inputs["fathers"].copy()
    children, again, other = (
        function(mothers, fathers, inputs["stage_of"].copy(), np.random.default_rng(seed))
        for seed in _generator_seeds(inputs)
    )
    parents = {"mothers": mothers, "fathers": fathers}
    return {"children": children, "again": again, "other": other, **parents}


def cross_judge(inputs: dict, returned: object) -> None:
    mothers, fathers, stage_of = inputs["mothers"], inputs["fathers"], inputs["stage_of"]
    children = _integer_rows(returned, "children", mothers.shape)
    _unchanged_and_repeatable(mothers, returned, children, "mothers")
    _unchanged_and_repeatable(fathers, returned, children, "fathers")
    other_children = _integer_rows(returned, "other", mothers.shape)
    for rows in (children, other_children):
        mixed = (rows != mothers) & (rows != fathers)
        if mixed.any():
            row, column = map(int, np.argwhere(mixed)[0])
            raise Wrong(
                f"gene {column} of child {row} is {rows[row, column]:g}: neither its mother's "
                f"({mothers[row, column]}) nor its father's ({fathers[row, column]})"
            )
    from_mother, from_mother_by_other = children == mothers, other_children == mothers
    coins = {}
    for stage in np.unique(stage_of):
        of_stage = from_mother[:, stage_of == stage]
        mixed_rows = np.flatnonzero(of_stage.any(1) & ~of_stage.all(1))
        if len(mixed_rows):
            raise Wrong(
                f"stage {stage} of child {mixed_rows[0]} mixes genes of both parents; it is"
                " inherited as a whole"
            )
        coins[int(stage)] = of_stage[:, 0]
        require_frequency(
            int(of_stage[:, 0].sum()), ROWS, 0.5, f"stage {stage} came from the mother"
        )
        require_frequency(
            int((coins[int(stage)] == from_mother_by_other[:, stage_of == stage][:, 0]).sum()),
            ROWS,
            0.5,
            f"with two generators stage {stage} came from the same parent (`rng` is the only source"
            " of chance)",
        )
    for (a, coin_a), (b, coin_b) in itertools.combinations(coins.items(), 2):
        require_frequency(
            int((coin_a == coin_b).sum()),
            ROWS,
            0.5,
            f"stages {a} and {b} came from the same parent",
        )
    coin_sides = np.stack(list(coins.values()), 1)
    for first, second in _pairs_of_rows():
        require_frequency(
            int((coin_sides[first] == coin_sides[second]).sum()),
            len(first) * len(coins),
            0.5,
            f"a stage of children such as {first[0]} and {second[0]} came from the same side (each"
            " child tosses coins of its own)",
        )


# ---- 4.6 selection under a limit -----------------------------------------------------------------


def select_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    accuracy = rng.permutation(40) / 4 + 85
    latency = rng.permutation(40) / 8 + rng.integers(10, 20) / 8
    ordered = np.sort(latency)
    limits = [float(ordered[30]), float(ordered[4]), float(ordered[0]), float(ordered[0] * 0.7)]
    return {"accuracy": accuracy, "latency": latency, "limits": limits, "n": 8 + seed % 3}


def select_run(function: Callable, inputs: dict) -> object:
    answers = []
    for limit in inputs["limits"]:
        try:
            accuracy, latency = inputs["accuracy"].copy(), inputs["latency"].copy()
            answers.append({"selected": function(accuracy, latency, limit, inputs["n"])})
        except ValueError as error:
            answers.append({"refused": str(error)})
    return answers


def select_judge(inputs: dict, returned: object) -> None:
    accuracy, latency, n = inputs["accuracy"], inputs["latency"], inputs["n"]
    for limit, answer in zip(inputs["limits"], as_items(returned, len(inputs["limits"]))):
        possible = [i for i in range(len(latency)) if latency[i] <= limit]
        expected = sorted(possible, key=lambda i: accuracy[i], reverse=True)[:n]
        if not isinstance(answer, dict) or len(answer) != 1:
            raise Wrong("the result could not be read")
        if not expected:
            _judge_refusal(answer, limit, latency)
            continue
        if "refused" in answer:
            raise Wrong(
                f"ValueError for a limit of {limit:g} ms, which {len(possible)} subnets meet (the"
                f" quickest takes exactly {latency.min():g} ms): {answer['refused']}"
            )
        selected = as_array(
            answer.get("selected"),
            (len(expected),),
            f"the choice of {n} among the {len(possible)} subnets within the limit of {limit:g} ms",
        )
        selected = [int(i) for i in selected]
        slow = [i for i in selected if not 0 <= i < len(latency) or latency[i] > limit]
        if slow:
            raise Wrong(
                f"index {slow[0]} was chosen, which does not meet the limit of {limit:g} ms"
            )
        if set(selected) != set(expected):
            raise Wrong(
                f"those chosen under {limit:g} ms are not the {len(expected)} most accurate that"
                " meet it"
            )
        if selected != expected:
            raise Wrong("the right subnets are chosen, but the most accurate should come first")


def _judge_refusal(answer: dict, limit: float, latency: np.ndarray) -> None:
    smallest = latency.min()
    message = answer.get("refused")
    if not isinstance(message, str):
        raise Wrong(
            f"no subnet meets {limit:g} ms, so a ValueError is asked for; got a choice instead"
        )
    numbers = re.findall(r"\d+(?:\.\d+)?", message)
    # The limit, a count and an index may be somebody's latency, too.
    if sum(any(_names(text, value) for text in numbers) for value in latency) > 5:
        raise Wrong(
            f"the error lists the latencies; it should name the smallest, {smallest:g} ms, alone"
        )
    if not any(_names(text, smallest) for text in numbers):
        raise Wrong(
            f"the error should name the smallest latency there is, {smallest:g} ms; it says:"
            f" {message!r}"
        )


def _names(text: str, value: float) -> bool:
    """Whether the digits of a number are those of `value`, rounded to one decimal or more."""
    decimals = len(text.partition(".")[2])
    return abs(float(text) - value) <= (0.5 * 10**-decimals if decimals else 0) + 1e-9


# ---- 4.7 the loop --------------------------------------------------------------------------------


def evolve_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    population, parents = rng.integers(0, 4, size=(18 + seed % 3, 12)), 5 + seed % 3
    # All scores are below zero, and those of rows that break a limit -inf; enough others start.
    weights = rng.normal(-2.5, 1, size=(12, 4))
    weights[0, 3] = -np.inf
    population[: parents + 3, 0] = rng.integers(0, 3, size=parents + 3)
    population[parents + 3, 0] = 3
    return {
        "population": rng.permutation(population),
        "weights": weights,
        "parents": parents,
        "generations": 6 + seed % 3,
        "seed": int(rng.integers(2**31)),
    }


def evolve_run(function: Callable, inputs: dict) -> object:
    """The witness is told which parents `vary` gets, and decides on their children: who has none
    from it knows none.
    """
    turns = itertools.count()

    def table(rows: np.ndarray) -> np.ndarray:
        # A wrong shape is refused at once: it could grow with each generation and fill all memory.
        rows, (size, genes) = np.asarray(rows), inputs["population"].shape
        if rows.ndim != 2 or rows.shape[1] != genes or len(rows) > 4 * size:
            raise Wrong(
                f"score and vary take rows of {genes} genes, of a population of {size}; they got an"
                f" array of shape {rows.shape}"
            )
        return rows

    def score(rows: np.ndarray) -> np.ndarray:
        return _score(inputs["weights"], table(rows))

    def vary(rows: np.ndarray, n: int) -> np.ndarray:
        rows, n = table(rows), operator.index(n)
        number = tell("vary", [n, *rows.ravel()])
        return _children(inputs, rows, n, next(turns), number)

    returned = function(
        inputs["population"].copy(), score, vary, inputs["parents"], inputs["generations"]
    )
    what = "the best row, and the history as a list"
    best, history = two_things(returned, "evolve", what, second=list)
    return {"best": best, "history": history}


def _children(inputs: dict, parents: np.ndarray, n: int, turn: int, number: float) -> np.ndarray:
    """The `n` children that `vary` makes in its call number `turn`."""
    rng = np.random.default_rng([inputs["seed"], turn, int(2**32 * number)])
    children = parents[rng.integers(0, len(parents), n)]
    return np.where(rng.random(children.shape) < 0.15, rng.integers(0, 4, children.shape), children)


def _score(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return weights[np.arange(len(weights)), np.asarray(rows)].sum(1)


def evolve_judge(inputs: dict, returned: object, notes: Sequence[Note]) -> None:
    require_fields(
        returned, {"best", "history"}, "evolve should return the best row and the history"
    )
    population, weights = inputs["population"], inputs["weights"]
    parents, size = inputs["parents"], len(inputs["population"])
    if len(notes) != inputs["generations"]:
        raise Wrong(
            f"{inputs['generations']} generations were asked for; vary was called"
            f" {len(notes)} times"
        )
    expected, rows_seen = [_score(weights, population).max()], [population]
    for generation, note in enumerate(notes):
        told_parents = np.reshape(note.told[1:], (-1, population.shape[1]))
        selected = as_array(
            told_parents,
            (parents, population.shape[1]),
            f"what vary gets in generation {generation}",
        )
        scores = _score(weights, population)
        best = population[np.argsort(-scores)[:parents]]
        if not np.array_equal(_sorted_rows(selected), _sorted_rows(best)):
            raise Wrong(
                f"in generation {generation} vary should get the {parents} best of the population:"
                " the parents of the generation before, who stay, and their children"
            )
        children = as_array(
            _children(inputs, told_parents, int(note.told[0]), generation, note.number),
            (size - parents, population.shape[1]),
            f"the children of generation {generation} (so that the population stays at {size})",
        )
        population = np.concatenate([best, children.astype(int)])
        rows_seen.append(population)
        expected.append(max(expected[-1], _score(weights, population).max()))
    require_close(
        returned["history"],
        np.array(expected),
        "the history",
        rtol=1e-9,
        hint="One entry for the start and one for each generation: the best score so far",
    )
    best = as_array(returned["best"], population.shape[1:], "the best row")
    if not (np.concatenate(rows_seen) == best).all(1).any():
        raise Wrong("the best row was never in the population")
    value = as_number(_score(weights, best.astype(int)[None]), "its score")
    if value < expected[-1] - 1e-9:
        raise Wrong(f"the best row scores {value:.4g}, a better one was seen: {expected[-1]:.4g}")


def _sorted_rows(rows: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows, dtype=float)
    return rows[np.lexsort(rows.T)]


# ---- 4.8 the Pareto front ------------------------------------------------------------------------


def front_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    costs = rng.integers(1, 7, size=(40, 2 + seed % 2)) / 2
    accuracy = rng.integers(80, 90, size=40) / 1.0
    twin = int(rng.integers(20))
    # Two equal subnets that are on the front.
    costs[20:22] = costs.min(0) - [0.5] * costs.shape[1]
    accuracy[20:22] = accuracy.min()
    costs[22], accuracy[22] = costs[twin], accuracy[twin]
    return {"costs": costs, "accuracy": accuracy}


def front_run(function: Callable, inputs: dict) -> object:
    return function(inputs["costs"].copy(), inputs["accuracy"].copy())


def front_judge(inputs: dict, returned: object) -> None:
    costs, accuracy = inputs["costs"].tolist(), inputs["accuracy"].tolist()
    result = as_array(returned, (len(accuracy),), "the mask")
    if not np.isin(result, (0, 1)).all():
        raise Wrong("the result should be a mask: one True or False for each subnet")
    for i, (cost, value) in enumerate(zip(costs, accuracy)):
        beaten_by = [
            j
            for j, (other, other_accuracy) in enumerate(zip(costs, accuracy))
            if all(a <= b for a, b in zip(other, cost))
            and other_accuracy >= value
            and (other, other_accuracy) != (cost, value)
        ]
        if bool(result[i]) and beaten_by:
            j = beaten_by[0]
            raise Wrong(
                f"subnet {i} (costs {cost}, {value:g} %) is not on the front: subnet {j} (costs"
                f" {costs[j]}, {accuracy[j]:g} %) is nowhere worse and somewhere better"
            )
        if not result[i] and not beaten_by:
            raise Wrong(
                f"subnet {i} (costs {cost}, {value:g} %) is on the front, but the mask says False:"
                " none is nowhere worse and somewhere better. A copy of it does not beat it"
            )


EXERCISES = (
    Exercise(
        "4.1",
        3,
        "one_hot",
        one_hot_inputs,
        one_hot_run,
        one_hot_judge,
        ("labkit.official.accuracy_mlp.AccuracyMlp._features",),
        sizes=(Size({"stages": 0, "depths": 0}),),
    ),
    Exercise(
        "4.2",
        5,
        "fit_predictor",
        fit_inputs,
        fit_run,
        fit_judge,
        sizes=(
            Size({"others": 0}),
            Size({"features": 0, "accuracy": 0, "held_out": 0}, least=4),
            Size({"features": 1, "others": 1}),
        ),
        is_valid=lambda inputs: inputs["held_out"].any() and (~inputs["held_out"]).sum() > 2,
    ),
    Exercise(
        "4.3",
        3,
        "draw_best",
        draw_inputs,
        draw_run,
        draw_judge,
        ("labkit.search.random.random_search",),
        witnessed=True,
        sizes=(
            Size({"cases": 0}),
            Size({"cases/0/rounds": 0}),
            Size({"cases/0/rounds/0": 0}),
        ),
    ),
    Exercise(
        "4.4",
        2,
        "mutate",
        mutate_inputs,
        mutate_run,
        mutate_judge,
        ("labkit.space.genes.GeneMatrices.mutate", "labkit.search.evolution.Variation.mutants"),
        sizes=(Size({"genes": 1, "choices": 0}),),
    ),
    Exercise(
        "4.5",
        2,
        "cross_stages",
        cross_inputs,
        cross_run,
        cross_judge,
        ("labkit.search.evolution.Variation.crossed",),
    ),
    Exercise(
        "4.6",
        4,
        "select",
        select_inputs,
        select_run,
        select_judge,
        ("labkit.search.evolution.select",),
        sizes=(
            Size({"limits": 0}),
            Size({"accuracy": 0, "latency": 0}),
        ),
    ),
    Exercise(
        "4.7",
        6,
        "evolve",
        evolve_inputs,
        evolve_run,
        evolve_judge,
        ("labkit.search.evolution.evolve",),
        witnessed=True,
        sizes=(Size({"population": 1, "weights": 0}),),
    ),
    Exercise(
        "4.8",
        3,
        "on_front",
        front_inputs,
        front_run,
        front_judge,
        (
            "labkit.search.pareto.pareto_front",
            "labkit.search.pareto.prune_dominated",
            "labkit.search.pareto.nondominated",
            "labkit.search.pareto._without_plainly_dominated",
            "labkit.search.pareto._covered",
        ),
        sizes=(
            Size({"costs": 0, "accuracy": 0}),
            Size({"costs": 1}),
        ),
    ),
    Exercise(
        "4.9",
        4,
        "halve",
        halve_inputs,
        halve_run,
        halve_judge,
        witnessed=True,
        sizes=(Size({"cases": 0}), Size({"cases/0/hits": 0})),
    ),
)
