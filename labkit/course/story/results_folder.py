"""What a student measured and fitted in one notebook, for those after it: a folder of results.

Files are read as if somebody else had written them. Under pytest (nbval) the folder is left alone,
so that a notebook's outputs do not depend on it; where answers are graded it cannot be read.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from labkit.course.exercises.message_lines import print_lines
from labkit.latency.devices import Device, MeasuredDevice, board_title, get_device
from labkit.latency.measured import latency_file
from labkit.space import SearchSpace
from labkit.space.binding import file_stem, require_space, space_fields
from labkit.storage.atomic_write import write_json
from labkit.storage.errors import LabError
from labkit.storage.npz_file import ArtifactError, read_npz, write_npz
from labkit.storage.paths import PACKAGE, cache_dir
from labkit.supernet.accuracy_files import AccuracyModel
from labkit.supernet.folder import TrainedSupernet
from labkit.tables.accuracy_predictor import SeparablePredictor

SCHEMA = "labkit-own-predictor-1"
ADVICE = "delete it, or run notebook 4 again"


def results_dir() -> Path:
    """`LABKIT_RESULTS`, else results/yours of the course's folder, else a folder of the cache."""
    configured = os.environ.get("LABKIT_RESULTS")
    if configured:
        return Path(configured)
    checkout = PACKAGE.parent
    course = checkout / "results" if (checkout / "notebooks").is_dir() else cache_dir()
    return course / "yours"


def _is_used() -> bool:
    return "PYTEST_VERSION" not in os.environ


# ---- the latency table of notebook 3 -------------------------------------------------------------


def keep_table(measured: dict, space: SearchSpace) -> None:
    """Keep the content of a latency file that was measured here."""
    if _is_used():
        latency_file.validate(measured, _table_path(space), space)
        write_json(_table_path(space), measured)
        print_lines(f"kept for the other notebooks: {_table_path(space)}")


def your_device(space: SearchSpace, otherwise: str) -> Device:
    """The machine of the table that the student measured for `space`; without a sound one, the
    device called `otherwise`. A line says which.
    """
    path, reason = _table_path(space), "notebook 3 keeps the table that you measure there"
    if _is_used() and path.is_file():
        try:
            latency_file.read(path, space)
        except LabError as error:
            reason = str(error)
        else:
            device = MeasuredDevice(
                name="yours",
                title=f"your machine, {board_title(path)}",
                precision="fp32",
                files={file_stem(space): path},
            )
            print_lines(f"The latency table is the one that you measured: {device.title}.")
            return device
    device = get_device(otherwise)
    print_lines(f"The latency table is that of {device.title}, {device.label} ({reason}).")
    return device


def _table_path(space: SearchSpace) -> Path:
    return results_dir() / f"latency-{file_stem(space)}.json"


# ---- the accuracy predictor of notebook 4 --------------------------------------------------------


def keep_predictor(predictor: SeparablePredictor, pairs: int, rmse: float) -> None:
    """Keep a predictor that was fitted to this many pairs, with its error on others, in points."""
    if _is_used():
        path, space = _predictor_path(predictor.space), predictor.space
        header = {"schema": SCHEMA, **space_fields(space), "pairs": pairs, "rmse": rmse}
        terms = {f"stage{s}": term for s, term in enumerate(predictor.terms)}
        write_npz(path, header, {"base": predictor.base, **terms})
        print_lines(f"kept for the next notebook: {path}")


def your_model(trained: TrainedSupernet, split: str) -> AccuracyModel:
    """The student's predictor, for the images of `split`; without a sound one, the supernet's. A
    line says which.

    What the images of `split` differ by is what is known of the supernet's. The error is that on
    the pairs that were measured on `split`.
    """
    model, whose = trained.predictor.on(split), "the lab's"
    path = _predictor_path(trained.space)
    if _is_used() and path.is_file():
        try:
            model, whose = _read_predictor(path, trained, split), "yours"
        except (ArtifactError, ValueError) as error:
            whose = f"the lab's, for yours cannot be used: {error}"
    print_lines(
        f"The accuracy predictor is {whose}: {model.label}, typical error {model.rmse:.2f} points"
    )
    return model


def _read_predictor(path: Path, trained: TrainedSupernet, split: str) -> AccuracyModel:
    space = trained.space
    names = ["base", *(f"stage{s}" for s in range(len(space.stages)))]

    def check_header(header: dict) -> None:
        require_space(header, path, space, ArtifactError, ADVICE)

    header, (base, *terms) = read_npz(path, SCHEMA, names, ADVICE, check_header)
    predictor = SeparablePredictor(space, base, terms)
    shifted = predictor.shifted(trained.predictor.shifts[split])
    accuracy = trained.pairs.unsearched[split]
    miss = shifted(trained.pairs.genes[: len(accuracy)]) - accuracy
    return replace(
        trained.predictor,
        predict=shifted,
        label=f"fitted by you to {header['pairs']:d} measured subnets, shifted to {split}",
        rmse=float(np.sqrt(np.mean(miss**2))),
        kernel=None,
        shifts={},
    )


def _predictor_path(space: SearchSpace) -> Path:
    return results_dir() / f"predictor-{file_stem(space)}.npz"
