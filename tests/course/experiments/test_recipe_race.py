"""The race of recipes: the same subnets of every supernet, in order, with standard errors."""

import numpy as np

from labkit.course.experiments import recipe_race
from labkit.data import datasets


def test_every_way_is_judged_by_the_same_subnets_from_the_smallest_on(monkeypatch):
    few_steps = {name: (*way[:2], 2) for name, way in recipe_race.WAYS.items()}
    monkeypatch.setattr(recipe_race, "WAYS", few_steps)
    race = recipe_race.race(datasets.load(), images=100, randoms=1)
    assert list(race.accuracies) == list(few_steps)
    assert race.archs[0] == recipe_race.SPACE.smallest()
    assert race.archs[-1] == recipe_race.SPACE.largest()
    assert (np.diff(race.macs) > 0).all()
    for name, values in race.accuracies.items():
        assert values.shape == (3,)
        np.testing.assert_allclose(race.errors[name], np.sqrt(values * (100 - values) / 100))


def test_the_last_way_costs_what_the_sandwich_does():
    passes = {
        name: steps * len(sampler(np.random.default_rng(0)))
        for name, (_, sampler, steps) in recipe_race.WAYS.items()
    }
    assert list(passes.values()) == [300, 300, 900, 900]
