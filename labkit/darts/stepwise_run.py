"""A run in steps that can be interrupted: the search and the training of a derived network both are
one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tqdm.auto import tqdm

from labkit.storage import tensor_file as checkpoint


class State(Protocol):
    """What a run has reached; `save` and `load` hold all that decides its next step."""

    step: int
    losses: list[float]  # of the epoch so far
    history: list[dict]  # an entry a finished epoch
    cpu_seconds: float
    wall_seconds: float

    def save(self, path: Path) -> None: ...

    def load(self, path: Path) -> None: ...


def begin(state: State, path: Path, *, resume: bool) -> None:
    """Go on from the checkpoint at `path`, or write the first one.

    Raises FileExistsError if there is one and `resume` is not asked for, OSError if none can be
    written (an unwritable folder or a full disk shows before any work is done), CheckpointError for
    another run's.
    """
    if path.exists() and not resume:
        raise FileExistsError(f"{path} exists; resume it, or choose another folder")
    if path.exists():
        state.load(path)
    else:
        state.save(path)
    checkpoint.remove_unfinished(path)


def run(
    state: State,
    path: Path,
    *,
    epochs: int,
    epoch_steps: int,
    advance: Callable[[int, int], float],
    summary: Callable[[int], dict],
    learning_rate: float,
    checkpoint_every: int,
    progress: bool,
    name: str,
) -> None:
    """Take the steps that are left, with a bar and a checkpoint at `path` now and then.

    `advance(epoch, within)` takes one step and returns its loss; `summary(epoch)` is an epoch's
    entry in the history. Raises FloatingPointError when the loss is no longer finite,
    CheckpointError if `state` is not one of this run's.
    """
    total = epoch_steps * epochs
    checkpoint.check_step(path, state.step, total)
    cpu_before, wall_before = (
        state.cpu_seconds - time.process_time(),
        state.wall_seconds - time.perf_counter(),
    )
    with tqdm(total=total, initial=state.step, unit="step", disable=not progress, desc=name) as bar:
        while state.step < total:
            epoch, within = divmod(state.step, epoch_steps)
            loss = advance(epoch, within)
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"training loss is {loss} at step {state.step}; lower the learning rate "
                    f"({learning_rate}). The last checkpoint is in {path}"
                )
            state.losses.append(loss)
            bar.update()
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            if state.step % epoch_steps == 0:
                state.history.append(summary(epoch))
                state.losses = []
            if state.step % epoch_steps == 0 or state.step % checkpoint_every == 0:
                state.cpu_seconds = cpu_before + time.process_time()
                state.wall_seconds = wall_before + time.perf_counter()
                state.save(path)
