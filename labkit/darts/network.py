"""Cells and networks: the one that is searched, and the one that a genotype stands for.

Both are the same stack (DARTS, sections 2.1 and 3.1): a 3x3 stem, then cells, of which those at one
third and two thirds of the depth halve the maps and double the width; each cell reads the two
before it; global pooling and a classifier end it.

Shapes in trailing comments: N images, C channels of the cell, H and W pixels, E edges, O
operations.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.darts.genotype import CELL_INPUTS, Cell, Genotype, num_edges
from labkit.darts.operations import (
    PRIMITIVES,
    FactorizedReduce,
    batch_norm,
    operation,
    relu_conv_norm,
)

MIN_CELLS = 3
STEM_MULTIPLIER = 3


class Alphas(NamedTuple):
    """Architecture weights before the softmax, shared by all cells of a kind."""

    normal: Tensor  # (E, O)
    reduce: Tensor  # (E, O)


def initial_alphas(nodes: int, seed: int) -> Alphas:
    """Nearly zero: every operation starts with nearly the same weight."""
    generator = torch.Generator().manual_seed(seed)
    return Alphas(
        *(
            1e-3 * torch.randn(num_edges(nodes), len(PRIMITIVES), generator=generator)
            for _ in range(2)
        )
    )


class MixedOp(nn.Module):
    """All operations on one edge: their sum, weighted by `weights` (O,) (DARTS, eq. 2)."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.operations = nn.ModuleList(
            operation(name, channels, stride, searching=True) for name in PRIMITIVES
        )

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        return sum(weight * op(x) for weight, op in zip(weights, self.operations))


class _Entry(nn.Module):
    """Brings the outputs of the two cells before to this cell's width, and to one size."""

    def __init__(
        self, widths: tuple[int, int], channels: int, after_reduction: bool, searching: bool
    ) -> None:
        super().__init__()
        self.older = (
            FactorizedReduce(widths[0], channels, searching=searching)
            if after_reduction
            else relu_conv_norm(widths[0], channels, searching=searching)
        )
        self.newer = relu_conv_norm(widths[1], channels, searching=searching)

    def forward(self, older: Tensor, newer: Tensor) -> list[Tensor]:
        return [self.older(older), self.newer(newer)]


def _stride(reduction: bool, state: int) -> int:
    """Only a reduction cell's inputs are halved; its nodes are small already."""
    return 2 if reduction and state < CELL_INPUTS else 1


class SearchCell(nn.Module):
    def __init__(
        self,
        widths: tuple[int, int],
        channels: int,
        nodes: int,
        reduction: bool,
        after_reduction: bool,
    ) -> None:
        super().__init__()
        self.nodes, self.reduction = nodes, reduction
        self.entry = _Entry(widths, channels, after_reduction, searching=True)
        self.edges = nn.ModuleList(
            MixedOp(channels, _stride(reduction, state))
            for node in range(nodes)
            for state in range(node + CELL_INPUTS)
        )

    def forward(self, older: Tensor, newer: Tensor, weights: Tensor) -> Tensor:
        states, first = self.entry(older, newer), 0
        for _ in range(self.nodes):
            incoming = zip(states, self.edges[first : first + len(states)], weights[first:])
            first += len(states)
            states.append(sum(edge(state, w) for state, edge, w in incoming))
        return torch.cat(states[CELL_INPUTS:], dim=1)  # (N, nodes * C, H, W)


class DerivedCell(nn.Module):
    def __init__(
        self,
        widths: tuple[int, int],
        channels: int,
        cell: Cell,
        reduction: bool,
        after_reduction: bool,
    ) -> None:
        super().__init__()
        self.cell = cell
        self.entry = _Entry(widths, channels, after_reduction, searching=False)
        self.operations = nn.ModuleList(
            operation(edge.operation, channels, _stride(reduction, edge.state), searching=False)
            for edges in cell
            for edge in edges
        )

    def forward(
        self, older: Tensor, newer: Tensor, drop_path: float, generator: torch.Generator | None
    ) -> Tensor:
        states, operations = self.entry(older, newer), iter(self.operations)
        for edges in self.cell:
            node = 0
            for (_, state), op in zip(edges, operations):
                y = op(states[state])
                # Identities are never dropped, as published: they keep the gradient's way through
                # the cell open.
                droppable = drop_path > 0 and not isinstance(op, nn.Identity)
                node = node + (_drop_path(y, drop_path, generator) if droppable else y)
            states.append(node)
        return torch.cat(states[CELL_INPUTS:], dim=1)


def _drop_path(x: Tensor, rate: float, generator: torch.Generator | None) -> Tensor:
    """Zero whole images' paths with probability `rate` and scale up the others.

    As in FractalNet (arXiv 1605.07648).
    """
    keep = (torch.rand(len(x), 1, 1, 1, generator=generator) >= rate).to(x)
    return x * keep / (1 - rate)


class _Stack(nn.Module):
    """Stem, cells, classifier. Subclasses say which cell goes where (`_cell`)."""

    def __init__(
        self,
        *,
        channels: int,
        cells: int,
        nodes: int,
        in_channels: int,
        num_classes: int,
        stem_stride: int,
        searching: bool,
    ) -> None:
        super().__init__()
        if cells < MIN_CELLS:
            raise ValueError(
                f"a network has at least {MIN_CELLS} cells, two of which reduce; got {cells}"
            )
        if channels < 2:
            raise ValueError(f"cells need at least 2 channels, got {channels}")
        stem_width = STEM_MULTIPLIER * channels
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, stem_width, 3, stem_stride, 1, bias=False),
            batch_norm(stem_width, searching=searching),
        )
        self.cells, widths, after_reduction = nn.ModuleList(), (stem_width, stem_width), False
        for i in range(cells):
            reduction = i in (cells // 3, 2 * cells // 3)
            channels *= 2 if reduction else 1
            self.cells.append(self._cell(widths, channels, reduction, after_reduction))
            widths, after_reduction = (widths[1], nodes * channels), reduction
        self.classifier = nn.Linear(widths[1], num_classes)

    def _stem(self, x: Tensor) -> Tensor:
        return self.stem(x).contiguous(
            memory_format=torch.channels_last
        )  # faster on CPUs, for depthwise above all


class SearchNetwork(_Stack):
    """Every edge runs every operation. `network(images, alphas)` -> logits (N, classes).

    Architecture weights are an argument, not a state: the weights of the network are its only
    parameters.
    """

    def __init__(self, *, nodes: int, **stack: int) -> None:
        self._nodes = nodes
        super().__init__(nodes=nodes, searching=True, **stack)

    def _cell(
        self, widths: tuple[int, int], channels: int, reduction: bool, after_reduction: bool
    ) -> SearchCell:
        return SearchCell(widths, channels, self._nodes, reduction, after_reduction)

    def forward(self, x: Tensor, alphas: Alphas) -> Tensor:
        normal, reduce = (F.softmax(a, dim=-1) for a in alphas)
        older = newer = self._stem(x)
        for cell in self.cells:
            older, newer = newer, cell(older, newer, reduce if cell.reduction else normal)
        return self.classifier(newer.mean((2, 3)))


class DerivedNetwork(_Stack):
    """The network of a genotype, freshly initialized. `network(images)` -> logits (N, classes).

    `drop_path` is the probability that a path is dropped for an image; `generator` decides which.
    """

    def __init__(self, genotype: Genotype, **stack: int) -> None:
        self._genotype = genotype
        super().__init__(nodes=genotype.nodes, searching=False, **stack)

    def _cell(
        self, widths: tuple[int, int], channels: int, reduction: bool, after_reduction: bool
    ) -> DerivedCell:
        cell = self._genotype.reduce if reduction else self._genotype.normal
        return DerivedCell(widths, channels, cell, reduction, after_reduction)

    def forward(
        self, x: Tensor, drop_path: float = 0.0, generator: torch.Generator | None = None
    ) -> Tensor:
        older = newer = self._stem(x)
        for cell in self.cells:
            older, newer = newer, cell(older, newer, drop_path, generator)
        return self.classifier(newer.mean((2, 3)))
