"""A supernet that is trained unless it is there already, as it was asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from labkit.storage.tensor_file import CheckpointError
from labkit.supernet.folder import TrainedSupernet, load
from labkit.supernet.weights_file import WEIGHTS
from labkit.train import TrainConfig, train


def trained_once(
    config: TrainConfig,
    folder: Path,
    *,
    progress: bool = True,
    device: str | None = None,
    clock: Callable[[], float] | None = None,
) -> TrainedSupernet:
    """The supernet in `folder`, trained by `config` now unless it was before; an interrupted
    training goes on. With a `clock`, as that of `train`, for as many epochs as fit.

    Raises CheckpointError where another configuration trained what is there, and what `train` does.
    """
    if not (folder / WEIGHTS).is_file():
        train(config, folder, resume=True, progress=progress, device=device, clock=clock)
    trained = load(folder)
    if clock is not None:
        config = replace(config, epochs=trained.record["config"]["epochs"])
    if difference := config.difference(trained.record["config"]):
        option, recorded, current = (str(value)[:60] for value in difference)
        raise CheckpointError(
            f"{folder} holds a supernet that was trained with {option}={recorded}, not {current}:"
            " give another folder, or remove this one to train again"
        )
    return trained
