"""A DARTS search small enough for a notebook, its architecture weights noted on the way.

Half a minute instead of the published search's days: enough to see the weights move, far too little
for a good cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from labkit.darts import Alphas, DartsConfig, Genotype, derive
from labkit.darts.cell_search import SearchState, halves
from labkit.darts.genotype import CELL_INPUTS, Cell, num_edges
from labkit.darts.operations import PRIMITIVES
from labkit.data import datasets as data
from labkit.data.datasets import DataSet, Split
from labkit.supernet.evaluation import spread

# A 250th of the paper's steps: both rates are far larger than published, or nothing would be seen
# to move.
LIVE = DartsConfig(
    channels=4,
    cells=3,
    nodes=3,
    stem_stride=2,
    order=1,
    batch=32,
    learning_rate=0.1,
    arch_learning_rate=0.03,
)
CHOSEN = 100.0  # an architecture weight so far above zero that the softmax is 1


@dataclass(frozen=True, eq=False)
class Watched:
    """A search and what was noted: after each of `steps` (T,) the normal cell's weights (T, edges,
    operations).
    """

    state: SearchState
    steps: np.ndarray
    weights: np.ndarray
    losses: np.ndarray  # training loss of every step

    @property
    def genotype(self) -> Genotype:
        return derive(self.state.alphas, self.state.config.edges_per_node)


def watch(
    dataset: DataSet,
    *,
    steps: int = 80,
    config: DartsConfig = LIVE,
    every: int = 4,
    progress: bool = True,
) -> Watched:
    """Search for `steps` steps, half of the training images for the weights, half for the
    architecture weights.
    """
    state = SearchState(config, dataset, torch.device("cpu"))
    generator = torch.Generator().manual_seed(config.seed)
    training, validation = halves(dataset.splits["train"], config.seed)

    def batch(split: Split) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(split.images), (config.batch,), generator=generator)
        return data.normalize(split.images[chosen], dataset), split.labels[chosen]

    noted, losses = [_weights(state)], []
    for step in tqdm(
        range(1, steps + 1), desc="DARTS, first order", unit="step", disable=not progress
    ):
        losses.append(state.advance(batch(training), batch(validation)))
        if step % every == 0:
            noted.append(_weights(state))
    return Watched(state, np.arange(len(noted)) * every, np.stack(noted), np.array(losses))


def _weights(state: SearchState) -> np.ndarray:
    return F.softmax(state.alphas.normal.detach(), -1).numpy()


def only(cell: Cell) -> Tensor:
    """(E, O) architecture weights with which a mixed cell computes exactly `cell`: every other edge
    is `none`.
    """
    alphas = torch.zeros(num_edges(len(cell)), len(PRIMITIVES))
    first = 0
    for node, edges in enumerate(cell):
        for operation, state in edges:
            alphas[first + state, PRIMITIVES.index(operation)] = CHOSEN
        first += node + CELL_INPUTS
    alphas[(alphas == 0).all(1), PRIMITIVES.index("none")] = CHOSEN
    return alphas


@torch.no_grad()
def accuracy(
    watched: Watched, dataset: DataSet, alphas: Alphas, *, images: int = 500, batch: int = 250
) -> float:
    """Percent of validation images that the searched network gets right with these architecture
    weights.

    Its batch norm always normalizes by the batch, so that no statistics have to fit.
    """
    split = dataset.splits["val"]
    picked = spread(len(split.images), images)
    pictures, labels = data.normalize(split.images[picked], dataset), split.labels[picked]
    guesses = torch.cat(
        [watched.state.network(part, alphas).argmax(1) for part in pictures.split(batch)]
    )
    return 100 * (guesses == labels).double().mean().item()
