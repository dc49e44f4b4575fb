"""Gradient-based search: DARTS cells, and gradient search over a supernet's own space.

`search_cell` finds a genotype, `train_derived` trains its network from scratch; `labkit.darts.on_space`
searches the space of a trained supernet for a budget.
"""

from labkit.darts.config import SEARCH_CONFIGS, TRAIN_CONFIGS, DartsConfig, TrainConfig
from labkit.darts.genotype import Genotype, derive_cell, random_genotype
from labkit.darts.network import Alphas, DerivedNetwork, SearchNetwork
from labkit.darts.search import SearchResult, derive, search_cell
from labkit.darts.train import accuracy, train_derived

__all__ = ["SEARCH_CONFIGS", "TRAIN_CONFIGS", "Alphas", "DartsConfig", "DerivedNetwork", "Genotype", "SearchNetwork",
           "SearchResult", "TrainConfig", "accuracy", "derive", "derive_cell", "random_genotype", "search_cell",
           "train_derived"]
