"""Search: random, evolutionary, multi-objective, and exact with proof.

>>> result = evolve(space, accuracy, [Budget(latency, 20.0, "latency", "ms")], rng=np.random.default_rng(0))
>>> certify(result, accuracy, limits).gap
"""

from labkit.search.bound import Optimum, best
from labkit.search.evolution import evolve
from labkit.search.exact import Front, front
from labkit.search.problem import Budget, InfeasibleBudget, SearchResult
from labkit.search.random import random_search

__all__ = ["Budget", "Front", "InfeasibleBudget", "Optimum", "SearchResult", "best", "evolve", "front",
           "random_search"]
