"""Accuracy pairs and the accuracy predictor as files in the folder of a trained supernet.

Both carry a header: schema, space and its digest, how the file was made, and the SHA-256 of the
files it was made from. A file that was made for another space, or from other weights or pairs than
those that lie beside it, is refused. Reading needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from labkit.space import SearchSpace
from labkit.space.binding import require_space, space_fields
from labkit.storage.npz_file import ArtifactError, read_npz, write_npz
from labkit.storage.provenance import sha256
from labkit.tables.accuracy_predictor import SeparablePredictor, accuracy_of
from labkit.tables.separable import Separable
from labkit.tables.synthetic_accuracy import synthetic_accuracy

PAIRS, PREDICTOR = "pairs.npz", "predictor.npz"
# Percent. Where pairs were measured on few images, archs far from all of them may be predicted
# below zero; nothing that was fitted to pairs is as far below as a damaged file.
LOWEST_PREDICTION = -1e4
PAIRS_SCHEMA, PREDICTOR_SCHEMA = "labkit-pairs-2", "labkit-predictor-2"


class Pairs(NamedTuple):
    """Archs and their measured accuracy."""

    genes: np.ndarray  # (N, G)
    accuracy: np.ndarray  # (N,) top-1 in percent
    header: Mapping


@dataclass(frozen=True)
class AccuracyModel:
    """A predictor of top-1 accuracy in percent, and how far to trust it."""

    predict: Separable
    label: str
    rmse: float | None  # points, on pairs it was not fitted to; None if there are none
    header: Mapping = field(default_factory=dict)  # of its file


def synthetic_model(space: SearchSpace) -> AccuracyModel:
    """The model of a space in which no accuracies were measured, labeled as what it is."""
    label = "synthetic: no accuracies were measured in this space"
    return AccuracyModel(synthetic_accuracy(space), label, None)


def write_pairs(folder: Path, space: SearchSpace, pairs: Pairs) -> None:
    header = {"schema": PAIRS_SCHEMA, **space_fields(space), **pairs.header}
    arrays = {"genes": pairs.genes, "accuracy": pairs.accuracy.astype(np.float32)}
    write_npz(folder / PAIRS, header, arrays)


def read_pairs(folder: Path, space: SearchSpace) -> Pairs:
    """The pairs in `folder`; raises ArtifactError, naming the file and what is wrong with it."""
    path = folder / PAIRS
    header, (genes, accuracy) = _read(path, PAIRS_SCHEMA, space, ["genes", "accuracy"])
    try:
        space.check_genes(genes)
    except ValueError as error:
        raise ArtifactError(f"{path}: genes: {error}") from None
    if accuracy.shape != genes.shape[:1] or accuracy.dtype.kind != "f":
        raise ArtifactError(
            f"{path}: accuracy: want {len(genes)} percentages, got {accuracy.dtype} of shape "
            f"{accuracy.shape}"
        )
    outside = np.flatnonzero(~((accuracy >= 0) & (accuracy <= 100)))
    if len(outside):
        raise ArtifactError(
            f"{path}: accuracy: want {len(genes)} percentages, number {outside[0]} is"
            f" {accuracy[outside[0]]}"
        )
    return Pairs(genes, accuracy.astype(float), header)


def write_predictor(
    folder: Path, space: SearchSpace, predictor: SeparablePredictor, header: Mapping
) -> None:
    terms = {f"stage{s}": term.astype(np.float32) for s, term in enumerate(predictor.terms)}
    header = {"schema": PREDICTOR_SCHEMA, **space_fields(space), **header}
    write_npz(folder / PREDICTOR, header, {"base": predictor.base, **terms})


def read_predictor(folder: Path, space: SearchSpace) -> AccuracyModel:
    """The stage-separable predictor in `folder`, whose header has its errors on held-out pairs.

    Raises ArtifactError, naming the file and what is wrong with it.
    """
    path = folder / PREDICTOR
    names = ["base", *(f"stage{s}" for s in range(len(space.stages)))]
    header, (base, *terms) = _read(path, PREDICTOR_SCHEMA, space, names)
    try:
        rmse, pairs = header["held_out"]["separable"]["rmse"], header["pairs"]
        if not (0 <= rmse < math.inf and type(pairs) is int):
            raise TypeError
    except (KeyError, TypeError):
        raise ArtifactError(
            f"{path}: header: want numbers in pairs and held_out.separable.rmse; {_advice(path)}"
        ) from None
    try:
        predictor = _predictor(space, base, terms)
    except ValueError as error:
        raise ArtifactError(f"{path}: {error}; {_advice(path)}") from None
    return AccuracyModel(predictor, f"fitted to {pairs} measured subnets", rmse, header)


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
        for name, digest in dict(header["inputs"]).items():
            source = path.parent / name
            if source.is_file() and sha256(source) != digest:
                raise ArtifactError(
                    f"{path} was made from another {name} than the one beside it (SHA-256"
                    f" {str(digest)[:12]}, not {sha256(source)[:12]}); make it again with `labkit"
                    f" measure --supernet {path.parent}`"
                )

    return read_npz(path, schema, names, _advice(path), check_header)


def _advice(path: Path) -> str:
    return f"restore it, or make it again with `labkit measure --supernet {path.parent}`"
