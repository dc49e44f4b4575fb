"""Thompson sampling: a search that measures what it chooses, and learns from it.

The accuracy predictor is the mean of what is believed of accuracies. Its optimum is measured first.
From then on, a function is drawn at random from what is believed, its optimum under the budgets is
measured, and the measurement becomes part of what is believed (Thompson 1933; Russo et al., "A
Tutorial on Thompson Sampling", arXiv 1707.02038). So archs are measured as often as they are
believed to be the best, and what looks good only by the predictor's error is soon known for what it
is. Every drawn function is a sum over stages, so its optimum over all archs is exact.

Searching needs no torch: how an arch is measured is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from labkit.search import Budget, SearchResult
from labkit.space.binding import file_stem
from labkit.specialize.subnet_search import exact_subnet
from labkit.storage.atomic_write import write_json
from labkit.storage.json_fields import Fields, read_json
from labkit.storage.npz_file import ArtifactError
from labkit.storage.paths import cache_dir
from labkit.storage.provenance import sha256
from labkit.supernet.accuracy_files import SEARCHED
from labkit.supernet.folder import TrainedSupernet
from labkit.tables.accuracy_predictor import AccuracyPosterior

if TYPE_CHECKING:
    from labkit.supernet.evaluation import Evaluator

MEASURED_SCHEMA = "labkit-measured-1"
Measure = Callable[[np.ndarray], float]  # canonical genes (G,) -> accuracy in percent
FAILURES = 50  # kinds of archs that a microcontroller's planner may refuse before a search ends


@dataclass(frozen=True, eq=False)
class MeasuredSearch:
    """What a search measured, and what was believed before and after.

    The `accuracy` of `best` is the measured one, in percent, and its `history` the best so far.
    Archs that had been measured before are among `genes`, though they were not measured again.
    """

    best: SearchResult
    genes: np.ndarray  # (N, G) in the order in which they were looked at
    accuracy: np.ndarray  # (N,) measured, in percent
    measurements: int  # N, less the archs that had been measured before
    prior: AccuracyPosterior
    posterior: AccuracyPosterior


def thompson_search(
    prior: AccuracyPosterior,
    measure: Measure,
    budgets: Sequence[Budget] = (),
    *,
    measurements: int,
    rng: np.random.Generator,
    progress: bool = False,
) -> MeasuredSearch:
    """Measure this many archs within `budgets`, each chosen as often as it is believed to be the
    best of those that were not looked at yet.

    An arch that `prior` has a measurement of is not measured again. There are fewer measurements
    where all archs within the budgets were looked at, or `FAILURES` kinds of better ones than the
    next do not fit a microcontroller. Raises ValueError for less than one
    measurement, and InfeasibleBudget where no arch meets the budgets.

    >>> from labkit.space.presets import get_space
    >>> from labkit.tables.accuracy_predictor import fit_posterior
    >>> from labkit.tables.costs import macs_table
    >>> from labkit.tables.synthetic_accuracy import synthetic_accuracy
    >>> space, rng = get_space("fmnist"), np.random.default_rng(0)
    >>> genes, truth = space.sample(rng, 40), synthetic_accuracy(space, "rough")
    >>> prior = fit_posterior(space, genes, truth(genes), rng=rng)
    >>> limits = [Budget(macs_table(space), 3e6, "MACs")]
    >>> search = thompson_search(
    ...     prior, lambda genes: truth(genes[None])[0], limits, measurements=5, rng=rng
    ... )
    >>> print(f"{search.accuracy[0]:.2f} % at first, {search.best.accuracy:.2f} % in the end")
    74.44 % at first, 74.50 % in the end
    """
    if measurements < 1:
        raise ValueError(f"measurements {measurements}: want at least 1")
    space, posterior = prior.space, prior
    before = {row.tobytes(): value for row, value in zip(prior.genes, prior.accuracy)}
    found, accuracy, count = [], [], 0
    with tqdm(total=measurements, desc="measuring", unit="arch", disable=not progress) as bar:
        while count < measurements:
            function = posterior.sample(rng) if found else posterior.mean
            looked_at = [each.genes for each in found]
            candidate = exact_subnet(
                space, function, budgets, failures=FAILURES, excluded=looked_at
            )
            if candidate is None:
                break
            found.append(candidate)
            value = before.get(candidate.genes.tobytes())
            if value is None:
                value = measure(candidate.genes)
                posterior = posterior.condition(candidate.genes[None], np.array([value]))
                count += 1
                bar.update()
            accuracy.append(value)
    if not found:
        raise ValueError(
            "none of the archs that were tried fits as the interpreter's planner places it; lower"
            " the limit on SRAM"
        )
    genes, accuracy = np.stack([each.genes for each in found]), np.array(accuracy)
    best = replace(
        found[accuracy.argmax()],
        accuracy=float(accuracy.max()),
        evaluations=len(genes),
        history=np.maximum.accumulate(accuracy),
    )
    return MeasuredSearch(best, genes, accuracy, count, prior, posterior)


class MeasuredAccuracies:
    """How `thompson_search` measures in a trained supernet: on the images that search may see.

    What was measured is in a file of the cache folder as soon as it is known, so that a search that
    was interrupted goes on, and no search measures an arch again. Raises CheckpointError or
    DataError where weights or images are not there, ArtifactError for an unsound file.
    """

    def __init__(self, trained: TrainedSupernet, split: str = SEARCHED) -> None:
        trained.require_weights()
        self.trained, self.split = trained, split
        weights = sha256(trained.weights_path)  # which say of what space and which images they are
        self._header = {"schema": MEASURED_SCHEMA, "weights_sha256": weights, "split": split}
        name = f"{file_stem(trained.space)}-{split}-{weights[:16]}.json"
        self.path = cache_dir() / "measured" / name
        self._percent = self._read() if self.path.is_file() else {}

    def __call__(self, genes: np.ndarray) -> float:
        key = ",".join(map(str, genes.tolist()))
        if key not in self._percent:
            arch = self.trained.space.decode(genes[None])[0]
            self._percent[key] = self._evaluator.accuracy(arch)
            write_json(self.path, {**self._header, "percent": self._percent})
        return self._percent[key]

    @cached_property
    def _evaluator(self) -> Evaluator:
        from labkit.supernet.evaluation import Evaluator

        return Evaluator(self.trained.supernet, self.trained.dataset, self.split)

    def _read(self) -> dict[str, float]:
        advice = "remove it to measure again"
        value = read_json(self.path, ArtifactError, advice)
        fields = Fields(value, self.path, ArtifactError, advice=advice)
        if any(fields.get(name, str) != text for name, text in self._header.items()):
            raise ArtifactError(f"{self.path} is of other weights or images; {advice}")
        percent = fields.object("percent")
        for key in percent.value:
            if percent.amount(key) > 100:
                raise ArtifactError(f"{self.path}: {key}: {percent.value[key]} %; {advice}")
        return dict(percent.value)
