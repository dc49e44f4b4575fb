"""The files in data/ that are made from others: accuracy pairs and the accuracy predictor.

Every artifact carries a header: its schema, the space, how it was made, and the SHA-256 of the
files it was made from. `stale` compares those with the files that are there; `rebuild` makes
everything again that depends on the shipped supernet. Reading needs no torch.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from datetime import date
from pathlib import Path

import numpy as np

from labkit.space import SearchSpace
from labkit.space.presets import get_space
from labkit.storage.errors import LabError
from labkit.storage.npz_file import ArtifactError, read_npz, write_npz
from labkit.storage.paths import cache_dir, data_dir
from labkit.storage.provenance import code_revision, sha256
from labkit.tables.accuracy_predictor import SeparablePredictor, accuracy_of, fit_separable
from labkit.tables.predictor_quality import cross_validate

PAIRS, HELD_OUT, SEED = 2000, 0.2, 0
LEAST_PAIRS = 12  # what is left of them without the held-out ones is as few as a fit takes
PAIRS_AT_ONCE = 50  # archs measured between two saves: a minute or two of work
PARTIAL = "labkit-pairs-partial-1"


def supernet_path(space: str) -> Path:
    return data_dir() / "supernets" / f"{space}.safetensors"


def pairs_path(space: str) -> Path:
    return data_dir() / "pairs" / f"{space}.npz"


def predictor_path(space: str) -> Path:
    return data_dir() / "predictors" / f"{space}.npz"


def provenance(space: str, command: str, inputs: list[Path], seed: int) -> dict:
    """Header fields that say how a file was made. `inputs` are files in data/."""
    return {
        "space": space,
        "command": command,
        "seed": seed,
        "date": date.today().isoformat(),
        "revision": code_revision(),
        "inputs": {path.relative_to(data_dir()).as_posix(): sha256(path) for path in inputs},
    }


def _read(
    path: Path, schema: str, space: SearchSpace, names: list[str], advice: str = ""
) -> tuple[dict, list[np.ndarray]]:
    """Header and the arrays `names` of an artifact of `space`; raises ArtifactError."""
    advice = advice or (
        f"restore it with `git checkout -- {path.parent.name}/{path.name}` in data/, or make it"
        " with `make artifacts`"
    )

    def check_space(header: dict) -> None:
        if header.get("space") != space.name:
            raise ArtifactError(f"{path} is for space {header.get('space')!r}, not {space.name!r}")

    return read_npz(path, schema, names, advice, check_space)


def load_pairs(space: SearchSpace, path: Path | None = None) -> tuple[np.ndarray, np.ndarray, dict]:
    """Genes (N, G), accuracies (N,) in percent, and the header."""
    path = path or pairs_path(space.name)
    header, (genes, accuracy) = _read(path, "labkit-pairs-1", space, ["genes", "accuracy"])
    try:
        space.check_genes(genes)
    except ValueError as error:
        raise ArtifactError(f"{path}: genes: {error}") from None
    if accuracy.shape != genes.shape[:1] or accuracy.dtype.kind != "f":
        raise ArtifactError(
            f"{path}: accuracy: want {len(genes)} percentages, got {accuracy.dtype} of shape "
            f"{accuracy.shape}"
        )
    bad = np.flatnonzero(~((accuracy >= 0) & (accuracy <= 100)))
    if len(bad):
        raise ArtifactError(
            f"{path}: accuracy: want {len(genes)} percentages, number {bad[0]} is"
            f" {accuracy[bad[0]]}"
        )
    return genes, accuracy.astype(float), header


def load_predictor(space: SearchSpace, path: Path | None = None) -> tuple[SeparablePredictor, dict]:
    """The stage-separable accuracy predictor of `space`, and its header with its errors on held-out
    pairs.
    """
    path = path or predictor_path(space.name)
    names = ["base", *(f"stage{s}" for s in range(len(space.stages)))]
    header, (base, *terms) = _read(path, "labkit-predictor-1", space, names)
    try:
        if not (
            0 <= header["held_out"]["separable"]["rmse"] < math.inf and type(header["pairs"]) is int
        ):
            raise TypeError
    except (KeyError, TypeError):
        raise ArtifactError(
            f"{path}: header: want numbers in pairs and held_out.separable.rmse; make it again with"
            " `make artifacts`"
        ) from None
    try:
        if any(array.dtype.kind != "f" for array in (base, *terms)):
            raise ValueError(
                "want real numbers, got"
                f" {', '.join(sorted({str(a.dtype) for a in (base, *terms)}))}"
            )
        predictor = SeparablePredictor(
            space, base.astype(float), [term.astype(float) for term in terms]
        )
        low, high = (
            accuracy_of(end(predictor.base + sum(end(term, axis=1) for term in predictor.terms)))
            for end in (np.min, np.max)
        )
        if low < 0 or high >= 100:
            raise ValueError(f"predicts from {low:.6g} to {high:.6g} %")
    except ValueError as error:
        raise ArtifactError(
            f"{path}: {error}; restore it from the repository, or make it again with `make"
            " artifacts`"
        ) from None
    return predictor, header


def stale() -> list[str]:
    """What in data/ was made from files that have changed since: one line each, empty when all is
    well.
    """
    problems = []
    for path in sorted(
        [*(data_dir() / "pairs").glob("*.npz"), *(data_dir() / "predictors").glob("*.npz")]
    ):
        with np.load(path, allow_pickle=False) as file:
            inputs = json.loads(str(file["header"]))["inputs"]
        for name, recorded in inputs.items():
            source = data_dir() / name
            if not source.is_file() or sha256(source) != recorded:
                problems.append(
                    f"{path.relative_to(data_dir())} was made from another {name}; run `make"
                    " artifacts`"
                )
    return problems


def measure_pairs(space: SearchSpace, archs: int = PAIRS, seed: int = SEED) -> None:
    """Accuracy of random archs of the shipped supernet on val-search, into data/pairs/.

    Archs are measured in order of their genes, neighbors together, because they share their first
    blocks. What is measured is kept in the cache folder, so that a run that was killed goes on from
    there.
    """
    from tqdm.auto import tqdm

    from labkit.data import datasets as data
    from labkit.runtime.machine import machine
    from labkit.supernet import (
        weights_file as pretrained,  # torch is for making pairs, not for reading them
    )
    from labkit.supernet.evaluation import RECALIBRATION_IMAGES, Evaluator

    supernet, record = pretrained.load(supernet_path(space.name))
    genes = random_genes(space, archs, seed)
    order = np.lexsort(genes.T[::-1])
    partial = (
        cache_dir()
        / "pairs"
        / f"{space.name}-{archs}-{seed}-{sha256(supernet_path(space.name))[:16]}.npz"
    )
    accuracy, cpu_seconds = _measured_before(partial, space, genes)
    evaluator = Evaluator(
        supernet, data.load(pretrained.dataset_of(supernet_path(space.name), record)), "val-search"
    )
    todo = [i for i in order if np.isnan(accuracy[i])]
    with tqdm(
        total=len(genes), initial=len(genes) - len(todo), desc=f"pairs of {space.name}", unit="arch"
    ) as bar:
        for begin in range(0, len(todo), PAIRS_AT_ONCE):
            now, start = todo[begin : begin + PAIRS_AT_ONCE], time.process_time()
            accuracy[now] = evaluator.accuracies(space.decode(genes[now]))
            cpu_seconds += time.process_time() - start
            write_npz(
                partial,
                {"schema": PARTIAL, "space": space.name, "cpu_seconds": cpu_seconds},
                {"genes": genes, "accuracy": accuracy},
            )
            bar.update(len(now))
    command = f"python -m labkit.supernet.artifacts --space {space.name} --pairs {archs}"
    header = {
        "schema": "labkit-pairs-1",
        **provenance(space.name, command, [supernet_path(space.name)], seed),
        "split": "val-search",
        "recalibration_images": RECALIBRATION_IMAGES,
        "cpu_hours": round(cpu_seconds / 3600, 3),
        "machine": machine(),
    }
    write_npz(
        pairs_path(space.name), header, {"genes": genes, "accuracy": accuracy.astype(np.float32)}
    )
    partial.unlink()


def random_genes(space: SearchSpace, count: int, seed: int) -> np.ndarray:
    """(count, G) different random archs; fewer where the space has not as many, or hardly more."""
    genes = np.unique(space.sample(np.random.default_rng(seed), 2 * count + 100), axis=0)
    return np.random.default_rng(seed).permutation(genes)[:count]  # np.unique sorts


def _measured_before(
    partial: Path, space: SearchSpace, genes: np.ndarray
) -> tuple[np.ndarray, float]:
    """Accuracies (N,) so far, NaN where there is none yet, and the CPU seconds that they took."""
    if not partial.is_file():
        return np.full(len(genes), np.nan), 0.0
    try:
        header, (theirs, accuracy) = _read(
            partial, PARTIAL, space, ["genes", "accuracy"], "remove it"
        )
        seconds = float(header["cpu_seconds"])
    except (ArtifactError, KeyError, TypeError, ValueError) as error:  # no repository has this file
        raise ArtifactError(
            f"what an interrupted run left in {partial} cannot be used"
            f" ({error.__cause__ or error}); remove it to measure from the start"
        ) from None
    if not np.array_equal(theirs, genes) or accuracy.shape != genes.shape[:1]:
        raise ArtifactError(f"{partial} holds other archs than this run measures; remove it")
    return accuracy, seconds


def fit_predictor(space: SearchSpace, seed: int = SEED) -> dict:
    """Fit on 80 % of the pairs, report on the rest beside the baselines; ship the one fitted on
    them all.
    """
    genes, accuracy, _ = load_pairs(space)
    order = np.random.default_rng(seed).permutation(len(genes))
    held_out, kept = np.split(order, [round(HELD_OUT * len(genes))])
    report = cross_validate(space, genes, accuracy, [(kept, held_out)], seed=seed)
    predictor = fit_separable(space, genes, accuracy, rng=np.random.default_rng(seed))
    made = provenance(
        space.name,
        f"python -m labkit.supernet.artifacts --space {space.name}",
        [pairs_path(space.name)],
        seed,
    )
    header = {
        "schema": "labkit-predictor-1",
        **made,
        "pairs": len(genes),
        "held_out_pairs": len(held_out),
        "held_out": report,
    }
    write_npz(
        predictor_path(space.name),
        header,
        {
            "base": predictor.base,
            **{f"stage{s}": t.astype(np.float32) for s, t in enumerate(predictor.terms)},
        },
    )
    return report


def rebuild(space: SearchSpace, archs: int) -> None:
    """Measure `archs` pairs and fit the predictor; raises ArtifactError, before anything is
    replaced, for too few.
    """
    count = min(archs, space.size())
    if count < LEAST_PAIRS:
        raise ArtifactError(
            f"{count} pairs of space {space.name!r} are too few to fit a predictor and to judge it;"
            f" it takes {LEAST_PAIRS} at least, {PAIRS} for a good one"
        )
    measure_pairs(space, archs)
    for name, scores in fit_predictor(space).items():
        print(
            f"{name:<12} RMSE {scores['rmse']:.3f} points, Kendall tau {scores['kendall_tau']:.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Make everything in data/ again that derives from the supernet."
    )
    parser.add_argument("--space", default="fmnist")
    parser.add_argument(
        "--pairs", type=int, default=PAIRS, help="archs to measure (default: %(default)s)"
    )
    arguments = parser.parse_args()
    try:
        rebuild(get_space(arguments.space), arguments.pairs)
    except (LabError, ValueError, OSError) as error:
        raise SystemExit(f"labkit: {error}") from None


if __name__ == "__main__":
    main()
