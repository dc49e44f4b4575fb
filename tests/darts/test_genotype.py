"""Genotypes against a brute-force reading of the rule."""

import itertools
import json
import math

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.darts.genotype import Edge, Genotype, derive_cell, random_genotype
from labkit.darts.operations import PRIMITIVES


def brute_force(alphas: list[list[float]], nodes: int, edges: int) -> list[set[tuple[str, int]]]:
    """For each node, of all sets of `edges` incoming edges with all choices of operations but none,
    the heaviest.
    """
    rows, cell = iter(alphas), []
    for node in range(nodes):
        weights = []
        for _ in range(node + 2):
            row = next(rows)
            total = math.fsum(math.exp(a) for a in row)
            weights.append(
                {name: math.exp(a) / total for name, a in zip(PRIMITIVES, row) if name != "none"}
            )
        sets = []
        for states in itertools.combinations(range(node + 2), edges):
            for names in itertools.product(PRIMITIVES[1:], repeat=edges):
                sets.append(
                    (sum(weights[s][n] for s, n in zip(states, names)), set(zip(names, states)))
                )
        cell.append(max(sets, key=lambda item: item[0])[1])
    return cell


@st.composite
def cells(draw):
    nodes = draw(st.integers(1, 3))
    rows = sum(range(2, nodes + 2))
    # distinct values, so that the rule has one answer
    return nodes, draw(
        hnp.arrays(
            np.float64, (rows, 8), elements=st.floats(-3, 3).map(lambda v: round(v, 3)), unique=True
        )
    )


@given(cells(), st.integers(1, 2))
def test_derivation_agrees_with_brute_force(cell, edges):
    nodes, alphas = cell
    derived = derive_cell(alphas, edges)
    assert [set(map(tuple, node)) for node in derived] == brute_force(alphas.tolist(), nodes, edges)


def test_none_is_excluded_but_weakens_its_edge():
    alphas = np.zeros((5, 8))
    alphas[:, 4] = 1.0  # sep_conv_3x3 is the best operation everywhere
    alphas[[0, 2, 3], 0] = 5.0, 4.0, 9.0  # `none` takes most of the softmax of these edges
    first, second = derive_cell(alphas)
    assert first == (Edge("sep_conv_3x3", 0), Edge("sep_conv_3x3", 1))
    assert second == (
        Edge("sep_conv_3x3", 0),
        Edge("sep_conv_3x3", 2),
    )  # state 1's edge, row 3, is the weakest


def test_impossible_settings():
    with pytest.raises(ValueError, match="at least one node, got 0"):
        random_genotype(np.random.default_rng(0), nodes=0)
    with pytest.raises(ValueError, match="edges per node must be 1 to 2, got 3"):
        derive_cell(np.zeros((5, 8)), 3)
    with pytest.raises(ValueError, match="at least one node"):
        derive_cell(np.zeros((0, 8)))
    for shape in ((4, 8), (5, 7), (5,), ()):
        with pytest.raises(ValueError, match="2 . 3 . ... edges, 8 operations.*got shape"):
            derive_cell(np.zeros(shape))
    for value in (math.nan, math.inf):
        alphas = np.zeros((5, 8))
        alphas[3, 4] = value
        with pytest.raises(ValueError, match=f"sep_conv_3x3 on edge 3 is {value}"):
            derive_cell(alphas)


@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 2))
def test_random_genotypes_are_valid_and_repeatable(seed, nodes, edges):
    genotype = random_genotype(np.random.default_rng(seed), nodes, edges)
    assert genotype == random_genotype(np.random.default_rng(seed), nodes, edges)
    for cell in (genotype.normal, genotype.reduce):
        assert len(cell) == nodes
        for node, inputs in enumerate(cell):
            assert len({state for _, state in inputs}) == edges
            assert all(name != "none" and 0 <= state < node + 2 for name, state in inputs)
    assert Genotype.from_json(json.dumps(genotype.to_json())) == genotype


def test_random_genotypes_are_uniform():
    rng = np.random.default_rng(0)
    sampled = [
        edge for _ in range(400) for node in random_genotype(rng, 2).normal[1:] for edge in node
    ]
    for key, choices in ((0, PRIMITIVES[1:]), (1, range(3))):
        counts = [sum(edge[key] == choice for edge in sampled) for choice in choices]
        expected = len(sampled) / len(counts)
        assert (
            sum((c - expected) ** 2 / expected for c in counts) < 25
        )  # chi-squared, 6 degrees: p < 0.001


@pytest.mark.parametrize(
    "value,message",
    [
        ("{", "a genotype looks like"),
        ({"normal": []}, "a genotype looks like"),
        ({"normal": [], "reduce": []}, "no nodes"),
        (
            {"normal": [[["none", 0]]], "reduce": [[["skip_connect", 0]]]},
            "operation 'none' is not one of",
        ),
        (
            {"normal": [[["skip_connect", 2]]], "reduce": [[["skip_connect", 0]]]},
            "reads state 2, which must be 0 to 1",
        ),
        *(
            (
                {"normal": [[["skip_connect", state]]], "reduce": [[["skip_connect", 0]]]},
                "no whole number",
            )
            for state in (0.9, True, "1", math.inf)
        ),
        ("[" * 100_000, "a genotype looks like"),
        (
            {"normal": [[["skip_connect", 0]]] * 2, "reduce": [[["skip_connect", 0]]]},
            "2 nodes, the reduction cell 1",
        ),
    ],
)
def test_damaged_genotypes(value, message):
    with pytest.raises(ValueError, match=message):
        Genotype.from_json(value)


def test_count():
    genotype = Genotype.from_json(
        {
            "normal": [[["skip_connect", 0], ["skip_connect", 1]]],
            "reduce": [[["max_pool_3x3", 0], ["skip_connect", 1]]],
        }
    )
    assert genotype.count("skip_connect") == 3 and genotype.count("none") == 0
