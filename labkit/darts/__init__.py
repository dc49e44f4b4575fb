"""Gradient-based search: DARTS cells, and gradient search over a supernet's own space.

`search_cell` finds a genotype and `train_derived` trains its network from scratch;
`gradient_search` finds an arch of a trained supernet for a budget.
"""

from labkit.darts.cell_search import SearchResult, derive, search_cell
from labkit.darts.config import SEARCH_CONFIGS, TRAIN_CONFIGS, DartsConfig, TrainConfig
from labkit.darts.derived_training import TrainResult, accuracy, train_derived
from labkit.darts.genotype import Genotype, derive_cell, random_genotype
from labkit.darts.network import Alphas, DerivedNetwork, SearchNetwork
from labkit.darts.supernet_gradient import GradientConfig, GradientResult, gradient_search

__all__ = [
    "SEARCH_CONFIGS",
    "TRAIN_CONFIGS",
    "Alphas",
    "DartsConfig",
    "DerivedNetwork",
    "Genotype",
    "GradientConfig",
    "GradientResult",
    "SearchNetwork",
    "SearchResult",
    "TrainConfig",
    "TrainResult",
    "accuracy",
    "derive",
    "derive_cell",
    "gradient_search",
    "random_genotype",
    "search_cell",
    "train_derived",
]
