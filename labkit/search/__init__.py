"""Search: random, evolutionary, multi-objective, and exact with proof. Works without torch.

limits = [Budget(latency, 20.0, "latency", "ms")]
result = evolve(space, accuracy, limits, rng=np.random.default_rng(0))
print(best(space, accuracy, limits).accuracy - result.accuracy)
"""

from labkit.search.budgets import Budget, InfeasibleBudget
from labkit.search.evolution import evolve
from labkit.search.exact import best
from labkit.search.exact_front import Front, front, front_bound
from labkit.search.nsga2 import ParetoSet, nsga2
from labkit.search.pareto import hypervolume
from labkit.search.random import random_search
from labkit.search.scoring import SearchResult

__all__ = [
    "Budget",
    "Front",
    "InfeasibleBudget",
    "ParetoSet",
    "SearchResult",
    "best",
    "evolve",
    "front",
    "front_bound",
    "hypervolume",
    "nsga2",
    "random_search",
]
