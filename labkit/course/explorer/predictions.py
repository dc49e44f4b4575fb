"""Predictions of the notebook on search: questions to commit to answers of, and the results."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labkit.latency.devices import get_device
from labkit.search import Budget, evolve, front, random_search
from labkit.specialize.device_costs import DeviceCosts
from labkit.specialize.subnet_search import search_subnet
from labkit.supernet.folder import TrainedSupernet

DEVICE = "pi4"
SEEDS = range(3)
SHARE_WITHIN = 0.1  # of random subnets: a limit that most break
LIMITS = 5  # along the front


@dataclass(frozen=True)
class Prediction:
    """A question, what an experiment answered, and what that means."""

    name: str
    question: str
    unit: str
    result: float
    lesson: str


def predictions(trained: TrainedSupernet) -> list[Prediction]:
    """The predictions that the notebook asks for, with the results for a supernet."""
    costs = DeviceCosts(trained.predictor.space, get_device(DEVICE))
    return [_evaluations(trained, costs), _front_size(trained, costs), _gap(trained, costs)]


def _short_title(costs: DeviceCosts) -> str:
    """The device's name for people, without its processor and runtime."""
    return costs.device.title.partition(" (")[0]


def _evaluations(trained: TrainedSupernet, costs: DeviceCosts) -> Prediction:
    space, predict = costs.space, trained.predictor.predict
    some = space.sample(np.random.default_rng(0), 10_000)
    limit_ms = float(np.quantile(costs.latency_ms(some), SHARE_WITHIN))
    limit = [Budget(costs.latency_ms, limit_ms, "latency", "ms")]
    evolved, drawn = (
        [search(space, predict, limit, rng=np.random.default_rng(seed)) for seed in SEEDS]
        for search in (evolve, random_search)
    )
    best_drawn = max(result.accuracy for result in drawn)
    passed = [int((np.array(result.history) < best_drawn).sum()) for result in evolved]
    per_generation = evolved[0].evaluations / len(evolved[0].history)
    return Prediction(
        "evolution passes random search after",
        f"The limit is {limit_ms:.2g} ms on the {_short_title(costs)} ({costs.device.label}), so"
        " tight that nine of ten random subnets break it. Random search and evolution may each"
        f" look at {drawn[0].evaluations:,} subnets. After how many has evolution passed the best"
        " that random search finds in the end?",
        "subnets",
        round(float(np.median(passed)) * per_generation),
        "Under a tight limit most random subnets are wasted; children of good parents are not."
        " The median of three runs is shown.",
    )


def _front_size(trained: TrainedSupernet, costs: DeviceCosts) -> Prediction:
    points = front(costs.space, trained.predictor.predict, costs.latency_ms)
    return Prediction(
        "size of the Pareto front",
        f"The space holds {costs.space.size():,} subnets. How many of them are on its Pareto"
        f" front on the {_short_title(costs)}: those for which no other one is nowhere worse and"
        " somewhere better, in predicted accuracy and latency?",
        "subnets",
        len(points),
        "Everything else can be thrown away, whatever the latency limit will be.",
    )


def _gap(trained: TrainedSupernet, costs: DeviceCosts) -> Prediction:
    predict = trained.predictor.predict
    points = front(costs.space, predict, costs.latency_ms)
    limits_ms = np.geomspace(points.cost[0], points.cost[-1], LIMITS + 2)[1:-1]
    gaps = [
        points.accuracy[points.best(ms)]
        - search_subnet(costs.space, predict, costs.budgets(latency_ms=ms), seed=2).accuracy
        for ms in limits_ms
    ]
    return Prediction(
        "evolution misses the optimum by",
        f"Evolution searches at {LIMITS} latency limits along that front. By how many points of"
        " predicted accuracy does it miss the exact optimum, at the limit where it does worst?",
        "points",
        round(float(max(gaps)), 3),
        "Only who knows the optimum can say so. The predictor's typical error is"
        f" {trained.predictor.rmse:.2f} points.",
    )
