"""Measuring accuracy pairs of a trained supernet, and fitting the accuracy predictor to them.

Some of the archs are measured on val and test as well. Nothing is chosen by these accuracies: they
say how much more difficult the images are than those of val-search.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from labkit.space import SearchSpace
from labkit.space.binding import file_stem, require_space, space_fields
from labkit.storage.npz_file import ArtifactError, read_npz, write_npz
from labkit.storage.paths import cache_dir
from labkit.storage.provenance import provenance, sha256
from labkit.supernet import accuracy_files
from labkit.supernet.accuracy_files import PAIRS, SEARCHED, UNSEARCHED, Pairs
from labkit.supernet.folder import TrainedSupernet
from labkit.tables.accuracy_link import Shift, fit_shift, imperfect
from labkit.tables.accuracy_predictor import SeparablePredictor, fit_posterior
from labkit.tables.predictor_quality import MODELS, agreement, cross_validate, separable

if TYPE_CHECKING:
    from labkit.runtime.distributed import World

ARCHS, HELD_OUT, SEED = 1000, 0.2, 0
SHIFT_ARCHS = 100  # that are measured on all image sets; their mean is known to 0.05 points
FEWEST_PAIRS = 12  # without the held-out ones, as few as a fit takes
ARCHS_AT_ONCE = 50  # measured between two saves: a minute or two of work
PARTIAL_SCHEMA = "labkit-pairs-partial-4"


def measure(
    trained: TrainedSupernet,
    archs: int = ARCHS,
    seed: int = SEED,
    progress: bool = True,
    device: str | None = "cpu",
) -> dict[str, dict[str, float]]:
    """Add pairs.npz, of `archs` random archs, and predictor.npz to a trained supernet's folder.

    Returns the errors of the predictor, and of simpler ones, on held-out pairs. What was measured
    is saved as it comes: after an interruption the same call goes on from there. Under torchrun
    every process calls this and measures a part; the first writes, into a folder that all see.
    Raises ArtifactError, before anything is replaced, for fewer archs than a fit takes;
    CheckpointError and DataError where weights or images are not there.
    """
    from labkit.runtime.distributed import world  # torch is for making pairs, not for reading them

    count = min(archs, trained.space.size())
    if count < min(archs, FEWEST_PAIRS):
        raise ArtifactError(
            f"space {trained.space.name!r} has only {count} subnets, and a predictor takes"
            f" {FEWEST_PAIRS} at least; `labkit evaluate --arch` measures each of them"
        )
    if count < FEWEST_PAIRS:
        raise ArtifactError(
            f"{count} pairs of {trained.name!r} are too few to fit a predictor and to judge it; it"
            f" takes {FEWEST_PAIRS} at least, {ARCHS} for a good one"
        )
    with world(device) as ranks:
        measure_pairs(trained, archs, seed, progress, ranks)
        ranks.wait()  # until the first one has written the pairs
        fresh = trained.using(images=trained.images)
        if ranks.leads:
            errors = fit_predictor(fresh, seed)
            _partial_file(trained, archs, seed).unlink(missing_ok=True)
        ranks.wait()
    return errors if ranks.leads else fresh.predictor.header["held_out"]


def measure_pairs(
    trained: TrainedSupernet, archs: int, seed: int, progress: bool, ranks: World
) -> None:
    """Write pairs.npz: the accuracy of random archs on val-search, and of the first `SHIFT_ARCHS`
    of them on val and test.

    Archs are measured in order of their genes, so that neighbors share the work of their first
    blocks. Each of the processes `ranks` measures a part of them.
    """
    from labkit.runtime.machine import machine
    from labkit.supernet.evaluation import RECALIBRATION_IMAGES, Evaluator

    trained.require_weights()
    space, weights = trained.space, trained.weights_path
    genes = random_genes(space, archs, seed)
    splits = (SEARCHED, *UNSEARCHED)
    counts = [len(genes), *[min(SHIFT_ARCHS, len(genes))] * len(UNSEARCHED)]
    partial = _partial_file(trained, archs, seed)
    accuracy, seconds = np.full((len(splits), len(genes)), np.nan), {}
    if ranks.leads and partial.is_file():
        accuracy, seconds = _measured_before(partial, space, genes)
    # Processes on other machines have another cache: what the first one has is what counts.
    accuracy = ranks.from_first(accuracy)
    order, images = np.lexsort(genes.T[::-1]), {}
    bar = tqdm(
        total=sum(counts),
        initial=int(np.isfinite(accuracy).sum()),
        desc=f"pairs of {trained.name}",
        unit="arch",
        disable=not (progress and ranks.leads),
    )
    archs_at_once = ARCHS_AT_ONCE * ranks.size
    with bar:
        for row, split, count in zip(accuracy, splits, counts):
            supernet = trained.supernet.to(ranks.device)
            evaluator = Evaluator(supernet, trained.dataset, split)
            images[split] = len(evaluator.labels)
            remaining = order[(order < count) & np.isnan(row[order])]
            for begin in range(0, len(remaining), archs_at_once):
                batch, start = remaining[begin : begin + archs_at_once], ranks.seconds()
                part = np.array_split(batch, ranks.size)[ranks.rank]
                measured = evaluator.accuracies(space.decode(genes[part])) if len(part) else []
                row[batch] = ranks.gather(measured)
                taken = ranks.size * ranks.mean(ranks.seconds() - start)
                seconds[ranks.kind] = seconds.get(ranks.kind, 0.0) + taken
                bar.update(len(batch))
                if not ranks.leads:
                    continue
                write_npz(
                    partial,
                    {"schema": PARTIAL_SCHEMA, **space_fields(space), "seconds": seconds},
                    {"genes": genes, "accuracy": accuracy},
                )
    if not ranks.leads:
        return
    header = {
        **provenance(f"labkit measure --supernet {trained.name} --pairs {archs}", [weights], seed),
        "split": SEARCHED,
        "images": images,
        "recalibration_images": RECALIBRATION_IMAGES,
        **{f"{kind}_hours": round(taken / 3600, 3) for kind, taken in seconds.items()},
        "machine": machine(ranks.device),
    }
    searched, *others = (row[:count] for row, count in zip(accuracy, counts))
    pairs = Pairs(genes, searched, header, dict(zip(UNSEARCHED, others)))
    accuracy_files.write_pairs(trained.path, space, pairs)


def _partial_file(trained: TrainedSupernet, archs: int, seed: int) -> Path:
    """Where accuracies are kept from the first until the predictor is fitted to all of them."""
    digest = sha256(trained.weights_path)[:16]
    return cache_dir() / "pairs" / f"{file_stem(trained.space)}-{archs}-{seed}-{digest}.npz"


def random_genes(space: SearchSpace, count: int, seed: int) -> np.ndarray:
    """(count, G) distinct random archs; fewer where the space has no more."""
    genes = np.unique(space.sample(np.random.default_rng(seed), 2 * count + 100), axis=0)
    genes = np.random.default_rng(seed).permutation(genes)[:count]  # np.unique sorts
    lacking = min(count, space.size()) - len(genes)
    if lacking > 0:  # only a small space repeats itself so often: take those that are drawn rarely
        drawn = {row.tobytes() for row in genes}
        every = space.encode(list(space.enumerate()))
        rest = np.array([row for row in every if row.tobytes() not in drawn])
        more = np.random.default_rng(seed).permutation(rest)[:lacking]
        genes = np.concatenate([genes, more])
    return genes


def _measured_before(
    partial: Path, space: SearchSpace, genes: np.ndarray
) -> tuple[np.ndarray, dict[str, float]]:
    """Accuracies (3, N) so far on val-search, val and test, NaN where there is none yet, and the
    seconds of CPUs or GPUs that they took.
    """
    advice = "remove it to measure from the start"

    def check_header(header: dict) -> None:
        require_space(header, partial, space, ArtifactError, advice)

    try:
        header, (rows, accuracy) = read_npz(
            partial, PARTIAL_SCHEMA, ["genes", "accuracy"], advice, check_header
        )
        seconds = {kind: float(header["seconds"][kind]) for kind in header["seconds"]}
    except (ArtifactError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"what an interrupted run left in {partial} cannot be used"
            f" ({error.__cause__ or error}); {advice}"
        ) from None
    if not np.array_equal(rows, genes) or accuracy.shape != (1 + len(UNSEARCHED), len(genes)):
        raise ArtifactError(f"{partial} holds other archs than this run measures; {advice}")
    return accuracy, seconds


def fit_predictor(trained: TrainedSupernet, seed: int = SEED) -> dict[str, dict[str, float]]:
    """Write predictor.npz, fitted to all pairs, and return the errors of one fitted to 80 % of them
    on the rest, beside those of simpler predictors.
    """
    space, (genes, accuracy, pairs_header, unsearched) = trained.space, trained.pairs
    images = pairs_header["images"]
    accuracy = imperfect(accuracy, images[SEARCHED])
    order = np.random.default_rng(seed).permutation(len(genes))
    held_out, training = np.split(order, [round(HELD_OUT * len(order))])
    models = {**MODELS, "separable": functools.partial(separable, images=images[SEARCHED])}
    folds = [(training, held_out)]
    errors = cross_validate(space, genes, accuracy, folds, models=models, seed=seed)
    rng = np.random.default_rng(seed)
    posterior = fit_posterior(space, genes, accuracy, rng=rng, images=images[SEARCHED])
    shifts = {
        split: _shift(posterior.mean, genes, imperfect(measured, images[split]), images[split])
        for split, measured in unsearched.items()
    }
    inputs = [trained.path / PAIRS]
    if trained.is_trained:
        inputs.append(trained.weights_path)
    header = {
        **provenance(f"labkit measure --supernet {trained.name}", inputs, seed),
        "pairs": len(order),
        "held_out_pairs": len(held_out),
        "held_out": errors,
    }
    accuracy_files.write_predictor(trained.path, space, posterior, shifts, header)
    return errors


def _shift(
    predict: SeparablePredictor, genes: np.ndarray, measured: np.ndarray, images: int
) -> tuple[Shift, float]:
    """The shift to `measured` (K,), of the first K archs, and the RMSE in points that remains."""
    predicted = predict(genes[: len(measured)])
    shift = fit_shift(predicted, measured, images)
    return shift, agreement(predict.shifted(shift)(genes[: len(measured)]), measured)["rmse"]
