"""Search: random, evolutionary, multi-objective, and exact with proof. Works without torch.

>>> limits = [Budget(latency, 20.0, "latency", "ms")]
>>> result = evolve(space, accuracy, limits, rng=np.random.default_rng(0))
>>> print(certify(result, accuracy, limits, rmse=0.3))
0.002 points below the exact optimum of 75.130 % predicted; the predictor's own RMSE is 0.30 points
"""

from labkit.search.budgets import Budget, InfeasibleBudget, SearchResult
from labkit.search.certificate import Certificate, certify
from labkit.search.dominance import hypervolume
from labkit.search.evolution import evolve
from labkit.search.exact import Optimum, best
from labkit.search.exact_front import Front, front, front_bound
from labkit.search.nsga2 import ParetoSet, nsga2
from labkit.search.random import random_search

__all__ = [
    "Budget",
    "Certificate",
    "Front",
    "InfeasibleBudget",
    "Optimum",
    "ParetoSet",
    "SearchResult",
    "best",
    "certify",
    "evolve",
    "front",
    "front_bound",
    "hypervolume",
    "nsga2",
    "random_search",
]
