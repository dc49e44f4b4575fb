"""A DARTS search short enough for a notebook, with its architecture weights along the way.

It takes half a minute instead of days: enough to see the weights move, far too little for a good
cell.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from labkit.darts import Alphas, DartsConfig, Genotype, derive
from labkit.darts.cell_search import CellSearchState, halves
from labkit.darts.genotype import CELL_INPUTS, Cell, num_edges
from labkit.darts.operations import PRIMITIVES
from labkit.data import datasets as data
from labkit.data.datasets import DataSet, Split
from labkit.supernet.evaluation import spread

# A 250th of the paper's steps: with the published learning rates, nothing would be seen to move.
SHORT_SEARCH = DartsConfig(
    channels=4,
    cells=3,
    nodes=3,
    stem_stride=2,
    order=1,
    batch=32,
    learning_rate=0.1,
    arch_learning_rate=0.03,
)
CERTAIN = 100.0  # an architecture weight so far above zero that the softmax is 1


@dataclass(frozen=True, eq=False)
class SearchRecord:
    """A search, and the softmax weights of its normal cell after some of its steps."""

    state: CellSearchState
    steps: np.ndarray  # (T,) after which the weights were recorded
    weights: np.ndarray  # (T, edges, operations)
    losses: np.ndarray  # training loss of every step

    @property
    def genotype(self) -> Genotype:
        return derive(self.state.alphas, self.state.config.edges_per_node)


def record_search(
    dataset: DataSet,
    *,
    steps: int = 80,
    config: DartsConfig = SHORT_SEARCH,
    every: int = 4,
    progress: bool = True,
) -> SearchRecord:
    """Search for `steps` steps.

    One half of the training images trains the weights, the other half the architecture weights.
    """
    state = CellSearchState(config, dataset, torch.device("cpu"))
    generator = torch.Generator().manual_seed(config.seed)
    training, validation = halves(dataset.splits["train"], config.seed)

    def batch(split: Split) -> tuple[Tensor, Tensor]:
        indices = torch.randint(len(split.images), (config.batch,), generator=generator)
        return data.normalize(split.images[indices], dataset), split.labels[indices]

    recorded, losses = [_weights(state)], []
    # To the output of prints: a notebook gives the other one the background of an error.
    bar = {"desc": "DARTS, first order", "unit": "step", "file": sys.stdout}
    for step in tqdm(range(1, steps + 1), disable=not progress, **bar):
        losses.append(state.advance(batch(training), batch(validation)))
        if step % every == 0:
            recorded.append(_weights(state))
    return SearchRecord(
        state, np.arange(len(recorded)) * every, np.stack(recorded), np.array(losses)
    )


def _weights(state: CellSearchState) -> np.ndarray:
    return F.softmax(state.alphas.normal.detach(), -1).numpy()


def alphas_of_cell(cell: Cell) -> Tensor:
    """(E, O) architecture weights of a mixed cell that computes `cell`: other edges are `none`."""
    alphas = torch.zeros(num_edges(len(cell)), len(PRIMITIVES))
    first = 0
    for node, edges in enumerate(cell):
        for operation, state in edges:
            alphas[first + state, PRIMITIVES.index(operation)] = CERTAIN
        first += node + CELL_INPUTS
    alphas[(alphas == 0).all(1), PRIMITIVES.index("none")] = CERTAIN
    return alphas


@torch.no_grad()
def accuracy(
    record: SearchRecord, dataset: DataSet, alphas: Alphas, *, images: int = 500, batch: int = 250
) -> float:
    """Percent of validation images that the searched network gets right with these alphas.

    Its batch norms normalize by the batch, so that it needs no statistics.
    """
    split = dataset.splits["val"]
    indices = spread(len(split.images), images)
    pictures, labels = data.normalize(split.images[indices], dataset), split.labels[indices]
    guesses = torch.cat(
        [record.state.network(part, alphas).argmax(1) for part in pictures.split(batch)]
    )
    return 100 * (guesses == labels).double().mean().item()
