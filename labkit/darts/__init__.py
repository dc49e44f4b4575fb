"""Gradient-based search: DARTS cells, and gradient search over a supernet's own space.

`search_cell` finds a genotype and `train_derived` trains its network from scratch;
`gradient_search` finds an arch of a trained supernet for a budget.
"""

from labkit.darts.cell_search import CellSearchResult, derive, search_cell
from labkit.darts.config import (
    CELL_SEARCH_CONFIGS,
    DERIVED_TRAINING_CONFIGS,
    DartsConfig,
    DerivedTrainingConfig,
)
from labkit.darts.derived_training import DerivedTrainingResult, accuracy, train_derived
from labkit.darts.genotype import Genotype, derive_cell, random_genotype
from labkit.darts.network import Alphas, DerivedNetwork, SearchNetwork
from labkit.darts.supernet_search import GradientConfig, GradientResult, gradient_search

__all__ = [
    "CELL_SEARCH_CONFIGS",
    "DERIVED_TRAINING_CONFIGS",
    "Alphas",
    "CellSearchResult",
    "DartsConfig",
    "DerivedNetwork",
    "DerivedTrainingConfig",
    "DerivedTrainingResult",
    "Genotype",
    "GradientConfig",
    "GradientResult",
    "SearchNetwork",
    "accuracy",
    "derive",
    "derive_cell",
    "gradient_search",
    "random_genotype",
    "search_cell",
    "train_derived",
]
