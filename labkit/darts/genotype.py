"""Genotypes: the discrete cells that architecture weights stand for.

A cell has two inputs, the outputs of the two cells before it, and `nodes` nodes in order. Node i
may read states 0 to i + 1: the cell's inputs are states 0 and 1, node i is state i + 2. Each
(state, node) pair is an edge; architecture weights are one matrix for each kind of cell, one row an
edge, one column an operation of `PRIMITIVES`, rows ordered by node and then by state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from labkit.darts.operations import PRIMITIVES

CELL_INPUTS = 2


class Edge(NamedTuple):
    operation: str
    state: int


Cell = tuple[tuple[Edge, ...], ...]  # for each node, its edges


@dataclass(frozen=True)
class Genotype:
    """The two cells of a network: one that keeps the size of the maps, one that halves it."""

    normal: Cell
    reduce: Cell

    def __post_init__(self) -> None:
        for kind in ("normal", "reduce"):
            cell = getattr(self, kind)
            if not cell:
                raise ValueError(f"the {kind} cell has no nodes")
            for node, edges in enumerate(cell):
                if not edges:
                    raise ValueError(f"{kind} cell, node {node}: no edges")
                for operation, state in edges:
                    if operation not in PRIMITIVES or operation == "none":
                        raise ValueError(
                            f"{kind} cell, node {node}: operation {operation!r} is not one of "
                            f"{', '.join(PRIMITIVES[1:])}"
                        )
                    if not 0 <= state < node + CELL_INPUTS:
                        raise ValueError(
                            f"{kind} cell, node {node}: reads state {state}, "
                            f"which must be 0 to {node + CELL_INPUTS - 1}"
                        )
        if len(self.normal) != len(self.reduce):
            raise ValueError(
                f"the normal cell has {len(self.normal)} nodes, the reduction cell"
                f" {len(self.reduce)}"
            )

    @property
    def nodes(self) -> int:
        return len(self.normal)

    def count(self, operation: str) -> int:
        """How many edges of the two cells run `operation`.

        Many skip connections are DARTS's known collapse.
        """
        return sum(
            edge.operation == operation
            for cell in (self.normal, self.reduce)
            for edges in cell
            for edge in edges
        )

    def to_json(self) -> dict:
        return {
            kind: [[list(edge) for edge in edges] for edges in getattr(self, kind)]
            for kind in ("normal", "reduce")
        }

    @classmethod
    def from_json(cls, value: Mapping | str) -> Genotype:
        """Read `{"normal": [[[operation, state], ...], ...], "reduce": ...}` (or its JSON text).

        Raises ValueError for another structure, an unknown operation, or a state that the node
        cannot read.
        """

        def edge(operation: object, state: object) -> Edge:
            if isinstance(state, bool) or not isinstance(state, int):
                raise TypeError(f"state {state!r} is no whole number")
            return Edge(str(operation), state)

        try:
            value = json.loads(value) if isinstance(value, str) else value
            cells = {
                kind: tuple(
                    tuple(edge(operation, state) for operation, state in edges)
                    for edges in value[kind]
                )
                for kind in ("normal", "reduce")
            }
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(
                'a genotype looks like {"normal": [[["skip_connect", 0], ...], ...], "reduce":'
                f" ...}}; got {str(value)[:120]!r} ({type(error).__name__}: {error})"
            ) from None
        return cls(**cells)


def check_cell(nodes: int, edges_per_node: int) -> None:
    """Raise ValueError unless each of `nodes` nodes can have `edges_per_node` edges."""
    if not isinstance(nodes, int) or nodes < 1:
        raise ValueError(f"a cell needs at least one node, got {nodes!r}")
    if not isinstance(edges_per_node, int) or not 1 <= edges_per_node <= CELL_INPUTS:
        raise ValueError(
            f"edges per node must be 1 to {CELL_INPUTS}, got {edges_per_node!r}: the first node has"
            f" no more than the cell's {CELL_INPUTS} inputs to read"
        )


def num_edges(nodes: int) -> int:
    return sum(node + CELL_INPUTS for node in range(nodes))


def derive_cell(alphas: np.ndarray, edges_per_node: int = 2) -> Cell:
    """Discretize the architecture weights (edges, operations) of one kind of cell.

    Each edge is represented by its strongest operation other than `none`, its strength being that
    operation's weight in the softmax over all operations, `none` included; each node keeps its
    `edges_per_node` strongest edges from distinct states (DARTS, section 2.4). Of equals the first
    wins. Raises ValueError for weights that are not finite or of another shape.
    """
    alphas = np.atleast_1d(np.asarray(alphas, dtype=np.float64))
    nodes = next((n for n in range(alphas.shape[0] + 1) if num_edges(n) >= alphas.shape[0]), 0)
    if (
        alphas.ndim != 2
        or num_edges(nodes) != alphas.shape[0]
        or alphas.shape[1] != len(PRIMITIVES)
    ):
        raise ValueError(
            f"architecture weights are (2 + 3 + ... edges, {len(PRIMITIVES)} operations), "
            f"got shape {alphas.shape}"
        )
    check_cell(nodes, edges_per_node)
    if not np.isfinite(alphas).all():
        edge, column = np.argwhere(~np.isfinite(alphas))[0]
        raise ValueError(
            f"architecture weight of {PRIMITIVES[column]} on edge {edge} is {alphas[edge, column]};"
            " the search diverged, lower its learning rates"
        )
    cell, first = [], 0
    for node in range(nodes):
        incoming = alphas[first : first + node + CELL_INPUTS]
        edges = sorted(strongest_edges(incoming, 0, edges_per_node))
        cell.append(tuple(Edge(PRIMITIVES[column], state) for state, column in edges))
        first += len(incoming)
    return tuple(cell)


def strongest_edges(alphas: np.ndarray, none: int, count: int) -> list[tuple[int, int]]:
    """The `count` strongest of a node's edges and the operation of each, as rows and columns of
    architecture weights (edges, operations), the strongest first; column `none` is never one.
    """
    weights = np.exp(alphas - alphas.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    weights[:, none] = -1
    best = weights.argmax(1)
    order = np.argsort(-weights.max(1), kind="stable")[:count]
    return [(int(row), int(best[row])) for row in order]


def random_genotype(rng: np.random.Generator, nodes: int = 4, edges_per_node: int = 2) -> Genotype:
    """Each node reads distinct states at random, each through an operation at random (not `none`).

    The random baseline that DARTS, section 3.2, and Li & Talwalkar (arXiv 1902.07638) compare with.
    """
    check_cell(nodes, edges_per_node)

    def cell() -> Cell:
        return tuple(
            tuple(
                Edge(PRIMITIVES[rng.integers(1, len(PRIMITIVES))], int(state))
                for state in sorted(rng.choice(node + CELL_INPUTS, edges_per_node, replace=False))
            )
            for node in range(nodes)
        )

    return Genotype(normal=cell(), reduce=cell())
