"""Thompson sampling on spaces whose archs can all be looked at."""

import numpy as np
import pytest
from spaces_for_tests import BROAD, WIDE
from trained_for_tests import trained_copy  # noqa: F401  (a fixture)

from labkit.firmware.memory import firmware_arena, firmware_flash
from labkit.search import Budget, InfeasibleBudget, best
from labkit.space import SearchSpace, Stage
from labkit.specialize.thompson import MeasuredAccuracies, thompson_search
from labkit.storage.npz_file import ArtifactError
from labkit.supernet.folder import TrainedSupernet
from labkit.tables.accuracy_link import accuracy_of
from labkit.tables.accuracy_predictor import fit_posterior
from labkit.tables.costs import macs_table
from labkit.tables.separable import StageTable
from labkit.tables.synthetic_accuracy import synthetic_accuracy

FEW = SearchSpace(
    "few",
    (16, 20),
    (
        Stage(8, 1, (1, 2), kernels=(3, 5), expands=(2, 3)),
        Stage(8, 2, (1,), kernels=(3, 5), expands=(2,)),
    ),
    1,
    2,
    8,
)


class Truth:
    """A tabulated function that does not add up over stages, and how often it was asked."""

    def __init__(self, space, seed=0):
        self.genes = space.encode(list(space.enumerate()))
        self.macs = macs_table(space)(self.genes)
        rough = synthetic_accuracy(space, "rough", seed)(self.genes) - 74
        size = np.log(self.macs / self.macs.min())
        self.values = accuracy_of(-2.9 + 0.3 * size - 0.011 * size**2 + 0.05 * rough)
        self._rows = {row.tobytes(): i for i, row in enumerate(self.genes)}
        self.asked = []

    def __call__(self, genes):
        self.asked.append(self._rows[genes.tobytes()])
        return self.values[self.asked[-1]]

    def posterior(self, space, count, rng):
        rows = rng.choice(len(self.genes), count, replace=False)
        return rows, fit_posterior(space, self.genes[rows], self.values[rows], rng=rng)


def test_it_ends_when_every_arch_within_the_budgets_was_looked_at():
    truth, rng = Truth(FEW), np.random.default_rng(0)
    before, prior = truth.posterior(FEW, 12, rng)
    limit = float(np.quantile(truth.macs, 0.12))
    within = set(np.flatnonzero(truth.macs <= limit).tolist())
    budgets = [Budget(macs_table(FEW), limit, "MACs")]
    search = thompson_search(prior, truth, budgets, measurements=1000, rng=rng)
    # No arch is measured twice, and none that had been measured before.
    assert len(set(truth.asked)) == len(truth.asked) == search.measurements
    assert set(truth.asked) == within - set(before.tolist())
    assert {row.tobytes() for row in search.genes} == {truth.genes[i].tobytes() for i in within}
    assert search.best.accuracy == max(truth.values[i] for i in within)
    assert search.best.costs["MACs"] <= limit and search.best.history[-1] == search.best.accuracy
    assert len(search.posterior.genes) == 12 + search.measurements and search.prior is prior


def test_of_firmware_it_looks_at_every_arch_whose_code_and_memory_fit():
    """Their code as it is linked and their SRAM as it is planned, whatever the tables bound."""
    truth, rng = Truth(FEW), np.random.default_rng(0)
    flash, sram = firmware_flash(FEW, "cortex-m3"), firmware_arena(FEW, "cortex-m3")
    linked = flash.linked(truth.genes)
    planned = np.array([sram.planned(row) for row in truth.genes])
    limits = float(np.quantile(linked, 0.4)), float(np.quantile(planned, 0.6))
    within = set(np.flatnonzero((linked <= limits[0]) & (planned <= limits[1])).tolist())
    assert 0 < len(within) < len(truth.genes)
    assert (flash(truth.genes[[*within]]) > limits[0]).any()
    _, prior = truth.posterior(FEW, 12, rng)
    budgets = [Budget(flash, limits[0], "flash"), Budget(sram, limits[1], "SRAM")]
    search = thompson_search(prior, truth, budgets, measurements=1000, rng=rng)
    assert {row.tobytes() for row in search.genes} == {truth.genes[i].tobytes() for i in within}
    assert search.best.costs["flash"] == flash.linked(search.best.genes[None])[0]


def test_it_measures_the_predictors_optimum_first_and_repeats_itself():
    truth = Truth(WIDE)
    _, prior = truth.posterior(WIDE, 60, np.random.default_rng(1))
    budgets = [Budget(macs_table(WIDE), float(np.quantile(truth.macs, 0.3)), "MACs")]
    searches = [
        thompson_search(prior, truth, budgets, measurements=4, rng=np.random.default_rng(seed))
        for seed in (5, 5)
    ]
    optimum = best(WIDE, prior.mean, budgets)
    assert (searches[0].genes[0] == optimum.genes).all()
    assert (searches[0].genes == searches[1].genes).all()
    assert (macs_table(WIDE)(searches[0].genes) <= budgets[0].limit).all()


def test_it_leaves_half_of_what_measuring_random_archs_leaves():
    """The regret of 30 measurements, each counted on 5,000 images, in a space of 20 global choices
    and a range of 200 in MACs.
    """
    regrets = []
    for seed in range(3):
        truth, rng = Truth(BROAD, seed), np.random.default_rng(seed)
        counted = rng.binomial(5000, truth.values / 100) / 50
        rows = rng.choice(len(truth.genes), 150, replace=False)
        prior = fit_posterior(BROAD, truth.genes[rows], counted[rows], rng=rng)
        limit = float(np.quantile(truth.macs, 0.3))
        within = np.flatnonzero(truth.macs <= limit)
        search = thompson_search(
            prior,
            lambda genes, truth=truth, counted=counted: (truth(genes), counted[truth.asked[-1]])[1],
            [Budget(macs_table(BROAD), limit, "MACs")],
            measurements=30,
            rng=rng,
        )
        sample = rng.choice(within, 30, replace=False)
        results = (
            truth.values[truth.asked[int(np.argmax(counted[truth.asked]))]],
            truth.values[sample[np.argmax(counted[sample])]],
        )
        assert search.best.accuracy == counted[truth.asked].max()
        regrets.append(truth.values[within].max() - np.array(results))
    thompsons, random = np.mean(regrets, axis=0)
    assert thompsons <= random / 2


def test_what_it_cannot_do():
    truth = Truth(FEW)
    _, prior = truth.posterior(FEW, 12, np.random.default_rng(0))
    with pytest.raises(ValueError, match="measurements 0: want at least 1"):
        thompson_search(prior, truth, measurements=0, rng=np.random.default_rng(0))
    with pytest.raises(InfeasibleBudget, match="the smallest achievable value is"):
        limit = Budget(macs_table(FEW), 10.0, "MACs")
        thompson_search(prior, truth, [limit], measurements=3, rng=np.random.default_rng(0))
    assert not truth.asked
    other = StageTable(WIDE, np.zeros(6), [np.zeros((6, size)) for size in WIDE.stage_sizes])
    with pytest.raises(ValueError, match="a table of space 'wide'"):
        thompson_search(
            prior, truth, [Budget(other, 1.0)], measurements=3, rng=np.random.default_rng(0)
        )


def test_an_interrupted_search_measures_nothing_twice(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    asked, stop_at = [], [2]

    class Interrupted:
        def __init__(self, supernet, dataset, split):
            assert split == "val-search"

        def accuracy(self, arch):
            if len(asked) == stop_at[0]:
                raise KeyboardInterrupt
            asked.append(arch)
            return 90 + len(asked) / 8

    monkeypatch.setattr("labkit.supernet.evaluation.Evaluator", Interrupted)
    for name in ("supernet", "dataset"):
        monkeypatch.setattr(TrainedSupernet, name, None)

    def search():
        measure, rng = MeasuredAccuracies(trained), np.random.default_rng(0)
        return thompson_search(trained.posterior, measure, measurements=4, rng=rng)

    with pytest.raises(KeyboardInterrupt):
        search()
    stop_at[0] = 4
    result = search()
    assert result.measurements == 4 and len(asked) == len(set(asked)) == 4
    assert trained.space.decode(result.genes) == asked
    assert result.accuracy.tolist() == [90.125, 90.25, 90.375, 90.5]
    stop_at[0] = 0  # all are known now
    assert search().accuracy.tolist() == result.accuracy.tolist()
    # Of other weights nothing is known, and a file of them under this name is refused.
    path = MeasuredAccuracies(trained).path
    text = path.read_text()
    path.write_text(text.replace('"weights_sha256": "', '"weights_sha256": "x'))
    with pytest.raises(ArtifactError, match=f"{path} is of other weights.*remove it"):
        MeasuredAccuracies(trained)
    path.write_text(text.replace("90.5", "900.5"))
    with pytest.raises(ArtifactError, match="900.5 %; remove it to measure again"):
        MeasuredAccuracies(trained)
    trained.weights_path.write_bytes(b"others")
    assert MeasuredAccuracies(trained).path != path
