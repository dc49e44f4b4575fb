"""Accuracy pairs and the accuracy predictor as files in the folder of a trained supernet.

Pairs are accuracies of random archs on val-search, the images that searches may look at. The first
of these archs were measured on val and test as well. What they show about the difference between
the image sets, the predictor's file has as a shift for each set, because a prediction that is
compared with a measurement on other images must not be blamed for it.

Both carry a header: schema, space and its digest, how the file was made, and the SHA-256 of the
files it was made from. A file that was made for another space, or from other weights or pairs than
those that lie beside it, is refused. Reading needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from labkit.space import SearchSpace
from labkit.space.binding import require_space, space_fields
from labkit.storage.json_fields import Fields, is_number
from labkit.storage.npz_file import ArtifactError, read_npz, write_npz
from labkit.storage.provenance import sha256
from labkit.supernet.weights_file import WEIGHTS
from labkit.tables.accuracy_link import Shift, accuracy_of
from labkit.tables.accuracy_predictor import AccuracyPosterior, SeparablePredictor
from labkit.tables.additive_process import Kernel
from labkit.tables.separable import Separable
from labkit.tables.synthetic_accuracy import synthetic_accuracy

PAIRS, PREDICTOR = "pairs.npz", "predictor.npz"
# Percent. Where pairs were measured on few images, archs far from all of them may be predicted
# below zero; nothing that was fitted to pairs is as far below as a damaged file.
LOWEST_PREDICTION = -1e4
PAIRS_SCHEMA, PREDICTOR_SCHEMA = "labkit-pairs-3", "labkit-predictor-3"
MADE_FROM = {PAIRS: (WEIGHTS,), PREDICTOR: (PAIRS, WEIGHTS)}
SEARCHED, UNSEARCHED = "val-search", ("val", "test")  # image sets: the pairs', and those of shifts


class Pairs(NamedTuple):
    """Archs and their measured accuracy, top-1 in percent."""

    genes: np.ndarray  # (N, G)
    accuracy: np.ndarray  # (N,) on val-search
    header: Mapping
    unsearched: Mapping[str, np.ndarray]  # on val and on test, each (K,) of the first K archs


@dataclass(frozen=True)
class AccuracyModel:
    """A predictor of top-1 accuracy in percent, and how far to trust it.

    What `predict` says holds for the images of the pairs, val-search; `on` says it for others.
    """

    predict: Separable
    label: str
    rmse: float | None  # points, on archs it was not fitted to; None if nothing was measured
    header: Mapping = field(default_factory=dict)  # of its file
    kernel: Kernel | None = None
    shifts: Mapping[str, Shift] = field(default_factory=dict)  # by image set

    @property
    def space(self) -> SearchSpace:
        """Of what it predicts: the supernet's, perhaps at some of its resolutions only."""
        return self.predict.space

    def at(self, space: SearchSpace) -> AccuracyModel:
        """The model in `space`, which has some of the resolutions."""
        if space == self.space:
            return self
        return replace(self, predict=self.predict.part(space))

    def on(self, split: str) -> AccuracyModel:
        """The model to compare with what is measured on `split`, "val" or "test".

        The order of archs stays what it is. Where nothing was measured there is no difference.

        >>> from labkit.supernet.folder import load
        >>> model = load("fmnist").predictor
        >>> print(model.on("val").label)
        fitted to 1000 measured subnets, shifted to val
        """
        if not isinstance(self.predict, SeparablePredictor) or split == SEARCHED:
            return self
        if split not in self.shifts:
            raise ValueError(f"no shift to {split!r}, known: {', '.join(self.shifts)}")
        predict = self.predict.shifted(self.shifts[split])
        rmse = self.header["shifts"][split]["rmse"]
        label = f"{self.label}, shifted to {split}"
        return replace(self, predict=predict, label=label, rmse=rmse, shifts={})


def synthetic_model(space: SearchSpace) -> AccuracyModel:
    """The model of a space in which no accuracies were measured, labeled as what it is."""
    label = "synthetic: no accuracies were measured in this space"
    return AccuracyModel(synthetic_accuracy(space), label, None)


def write_pairs(folder: Path, space: SearchSpace, pairs: Pairs) -> None:
    header = {"schema": PAIRS_SCHEMA, **space_fields(space), **pairs.header}
    accuracies = {"accuracy": pairs.accuracy, **pairs.unsearched}
    arrays = {name: values.astype(np.float32) for name, values in accuracies.items()}
    write_npz(folder / PAIRS, header, {"genes": pairs.genes, **arrays})


def read_pairs(folder: Path, space: SearchSpace) -> Pairs:
    """The pairs in `folder`; raises ArtifactError, naming the file and what is wrong with it."""
    path = folder / PAIRS
    names = ["genes", "accuracy", *UNSEARCHED]
    header, (genes, accuracy, *others) = _read(path, PAIRS_SCHEMA, space, names)
    try:
        space.check_genes(genes)
    except ValueError as error:
        raise ArtifactError(f"{path}: genes: {error}") from None
    images = Fields(header, path, ArtifactError, prefix="header", advice=_advice(path))
    for split in (SEARCHED, *UNSEARCHED):
        images.object("images").positive(split)
    _check_percentages(path, "accuracy", accuracy, len(genes))
    for name, values in zip(UNSEARCHED, others):
        _check_percentages(path, name, values, min(values.size, len(genes)))
    unsearched = {name: values.astype(float) for name, values in zip(UNSEARCHED, others)}
    return Pairs(genes, accuracy.astype(float), header, unsearched)


def _check_percentages(path: Path, name: str, values: np.ndarray, count: int) -> None:
    if values.shape != (count,) or values.dtype.kind != "f":
        raise ArtifactError(
            f"{path}: {name}: want {count} percentages, got {values.dtype} of shape {values.shape}"
        )
    outside = np.flatnonzero(~((values >= 0) & (values <= 100)))
    if len(outside):
        raise ArtifactError(
            f"{path}: {name}: want {count} percentages, number {outside[0]} is {values[outside[0]]}"
        )


def write_predictor(
    folder: Path,
    space: SearchSpace,
    posterior: AccuracyPosterior,
    shifts: Mapping[str, tuple[Shift, float]],
    header: Mapping,
) -> None:
    """`shifts` are those of `UNSEARCHED`, each with the RMSE in points that remains."""
    predictor = posterior.mean
    terms = {f"stage{s}": term.astype(np.float32) for s, term in enumerate(predictor.terms)}
    records = {split: {**asdict(shift), "rmse": rmse} for split, (shift, rmse) in shifts.items()}
    header = {"schema": PREDICTOR_SCHEMA, **space_fields(space), **header, "shifts": records}
    arrays = {"base": predictor.base, **terms, "kernel": posterior.kernel.vector()}
    write_npz(folder / PREDICTOR, header, arrays)


def read_predictor(folder: Path, space: SearchSpace) -> AccuracyModel:
    """The stage-separable predictor in `folder`, whose header has its errors on held-out pairs.

    Raises ArtifactError, naming the file and what is wrong with it.
    """
    path = folder / PREDICTOR
    names = ["base", *(f"stage{s}" for s in range(len(space.stages))), "kernel"]
    header, (base, *terms, vector) = _read(path, PREDICTOR_SCHEMA, space, names)
    fields = Fields(header, path, ArtifactError, prefix="header", advice=_advice(path))
    rmse = fields.object("held_out").object("separable").amount("rmse")
    pairs = fields.get("pairs", int)
    shifts = {split: _shift(fields.object("shifts").object(split)) for split in UNSEARCHED}
    try:
        predictor = _predictor(space, base, terms)
        kernel = Kernel.of_vector(vector, len(space.stages))
    except ValueError as error:
        raise ArtifactError(f"{path}: {error}; {_advice(path)}") from None
    label = f"fitted to {pairs} measured subnets"
    return AccuracyModel(predictor, label, rmse, header, kernel, shifts)


def _shift(fields: Fields) -> Shift:
    fields.amount("rmse")
    intercept = fields.get("intercept", (float, int))
    if not is_number(intercept):
        fields.fail("intercept", "a finite number")
    images = int(fields.positive("images"))
    return Shift(intercept, fields.positive("slope"), fields.amount("noise"), images)


def _predictor(space: SearchSpace, base: np.ndarray, terms: list[np.ndarray]) -> SeparablePredictor:
    """Raises ValueError unless the arrays are a predictor of accuracies below 100 %."""
    types = sorted({str(array.dtype) for array in (base, *terms)})
    if any(array.dtype.kind != "f" for array in (base, *terms)):
        raise ValueError(f"want real numbers, got {', '.join(types)}")
    predictor = SeparablePredictor(
        space, base.astype(float), [term.astype(float) for term in terms]
    )
    lowest = predictor.base + sum(term.min(axis=1) for term in predictor.terms)
    highest = predictor.base + sum(term.max(axis=1) for term in predictor.terms)
    low, high = accuracy_of(lowest.min()), accuracy_of(highest.max())
    if low < LOWEST_PREDICTION or high >= 100:
        raise ValueError(f"predicts from {low:.6g} to {high:.6g} %")
    return predictor


def _read(
    path: Path, schema: str, space: SearchSpace, names: list[str]
) -> tuple[dict, list[np.ndarray]]:
    def check_header(header: dict) -> None:
        require_space(header, path, space, ArtifactError, _advice(path))
        inputs = dict(header["inputs"])
        for name in MADE_FROM[path.name]:
            source, digest = path.parent / name, str(inputs.get(name, "unrecorded"))
            if source.is_file() and sha256(source) != digest:
                raise ArtifactError(
                    f"{path} was made from another {name} than the one beside it (SHA-256"
                    f" {digest[:12]}, not {sha256(source)[:12]}); make it again with `labkit"
                    f" measure --supernet {path.parent}`"
                )

    return read_npz(path, schema, names, _advice(path), check_header)


def _advice(path: Path) -> str:
    return f"restore it, or make it again with `labkit measure --supernet {path.parent}`"
