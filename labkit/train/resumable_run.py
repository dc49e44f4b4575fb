"""A run in steps that can be interrupted at any moment and goes on from its last checkpoint.

Training a supernet, searching a DARTS cell, training the network of a cell and gradient search in
a supernet are such runs. Each has a `RunState`, which says what its checkpoints hold, and one loop:

    run = Run(state, path, total=1000, ...)
    run.begin(resume=True)
    for step in run.steps():
        loss = ...  # one step
        run.report(loss)

`Run` shows the progress, stops a run whose loss is no longer a number, counts the time, and writes
the checkpoints.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer
from tqdm.auto import tqdm

from labkit.runtime.distributed import World
from labkit.storage import tensor_file
from labkit.storage.atomic_write import check_room, one_at_a_time
from labkit.storage.errors import LabError
from labkit.storage.tensor_file import CheckpointError

NUMBER = (int, float)
HEADER = {"config": dict, "step": int, "cpu_seconds": NUMBER, "wall_seconds": NUMBER}


class Diverged(LabError, FloatingPointError):
    """The loss or the weights of a run are no longer finite numbers."""


class RunState:
    """All that changes while a run goes on, and the checkpoint that holds it.

    A subclass says what a checkpoint holds: `schema` names its format, `saved` the attributes that
    are written as JSON, with their types, and `tensors` returns the tensors.

    `options` decide the result of a run: a checkpoint that was made with others is refused.
    `defaults` are the options of a checkpoint that was written before these options existed.
    `seconds` is what the run has taken so far: of CPU cores where it computes on a CPU, of GPUs
    where it computes on one, and by the clock.
    """

    schema: str
    saved: Mapping[str, type | tuple[type, ...]]

    def __init__(self, options: dict, defaults: dict | None = None) -> None:
        self.options, self.defaults = options, defaults or {}
        self.step = 0  # steps that were taken
        self.seconds = {"cpu": 0.0, "gpu": 0.0, "wall": 0.0}

    def tensors(self) -> dict[str, Tensor]:
        """All tensors that decide the next step: not copies, because `load` writes into them."""
        raise NotImplementedError

    def start(self) -> None:
        """What a run does once, before its first step."""

    def check(self, path: Path, header: dict) -> None:
        """Raise CheckpointError if a checkpoint with this header does not belong to this run."""

    def timings(self) -> dict[str, float]:
        return {f"{kind}_seconds": seconds for kind, seconds in self.seconds.items()}

    def save(self, path: Path) -> None:
        """Write a checkpoint in one step; raises OSError, and leaves the last one, if it cannot."""
        header = {
            "schema": self.schema,
            "config": self.options,
            "step": self.step,
            **self.timings(),
            **{name: getattr(self, name) for name in self.saved},
        }
        tensor_file.save(path, self.tensors(), header)

    def load(self, path: Path) -> None:
        """Go back to a checkpoint; raises CheckpointError if it is damaged or of another run."""
        tensors, header = tensor_file.read(path)
        if header.get("schema") != self.schema:
            raise CheckpointError(
                f"{path} has schema {header.get('schema')!r}, this run wants {self.schema!r}"
            )
        tensor_file.check_fields(path, header, {**HEADER, **self.saved})
        other = first_difference(self.options, {**self.defaults, **header["config"]})
        if other:
            option, recorded, current = other
            raise CheckpointError(
                f"{path} was made with {option}={recorded!r}, this run has {current!r}; "
                "use the same options or another folder"
            )
        self.check(path, header)
        state = self.tensors()
        tensor_file.check_tensors(path, tensors, state)
        for name, tensor in state.items():
            tensor.copy_(tensors[name])
        for name in self.saved:
            setattr(self, name, header.get(name))
        self.step = header["step"]
        self.seconds = {kind: header.get(f"{kind}_seconds", 0.0) for kind in self.seconds}


def first_difference(current: Mapping, recorded: Mapping) -> tuple[str, object, object] | None:
    """The first option in which a recorded run differs: its name, recorded value, current value.

    Of an option that is an object, or the JSON text of one, such as a space: its first field.

    >>> first_difference({"space": '{"stem": 8, "act": "relu"}'}, {"space": '{"stem": 8}'})
    ('space.act', None, 'relu')
    """
    for option in {**recorded, **current}:
        values = recorded.get(option), current.get(option)
        if values[0] != values[1]:
            objects = [_object(value) for value in values]
            if None not in objects and (inner := first_difference(objects[1], objects[0])):
                return f"{option}.{inner[0]}", *inner[1:]
            return option, *values
    return None


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _object(value: object) -> Mapping | None:
    if isinstance(value, str) and value.startswith("{"):
        value = json.loads(value)
    return value if isinstance(value, Mapping) else None


@dataclass
class Run:
    """The steps of a run, from where its state stands.

    Checkpoints are written to `path` (None: not at all) every `checkpoint_every` steps, at the end
    of every epoch and at the end of the run, by the first of the processes `ranks`. `name` stands
    beside the progress bar, which counts `images` for each step. `loss_name` and `remedy` are for
    the message to somebody whose run diverges.

    With a `clock`, which says what share of the run's time has passed, the run ends when that is
    1, after more or fewer steps than `total`. `position` is what schedules go by: the step, or
    that share of the total.
    """

    state: RunState
    path: Path | None
    ranks: World
    total: int  # steps
    steps_per_epoch: int
    checkpoint_every: int
    images: int
    name: str
    remedy: str
    loss_name: str = "loss"
    progress: bool = True
    clock: Callable[[], float] | None = None
    _lock: ExitStack = field(default_factory=ExitStack, init=False)  # on the folder, while it runs

    def begin(self, *, resume: bool, outputs: Sequence[str] = ()) -> None:
        """Load the checkpoint if there is one, else start, and write a first one.

        `outputs` are the names of the files that a run leaves beside its checkpoints. Raises,
        before any work is done, FileExistsError if there is a checkpoint and `resume` is not asked
        for or if there are outputs without a checkpoint, CheckpointError if the checkpoint is
        another run's, and OSError if checkpoints cannot be written, or another process runs there.
        """
        if self.path is None:
            return
        with ExitStack() as lock:
            if self.ranks.leads:
                if not self.path.parent.exists():  # nor shall it where nothing comes of the run
                    lock.callback(_remove_if_empty, self.path.parent)
                check_room(self.path, 0)
                lock.enter_context(one_at_a_time(self.path.parent, wait=False))
            self._begin(self.path, resume, outputs)
            self._lock = lock.pop_all()

    def _begin(self, path: Path, resume: bool, outputs: Sequence[str]) -> None:
        state = self.state
        if path.exists():
            if not resume:
                raise FileExistsError(
                    f"{path} exists; go on with --resume (resume=True), or choose another folder"
                )
            state.load(path)
            most_steps = self.total if self.clock is None else math.inf
            tensor_file.check_step(path, state.step, most_steps)
        else:
            for name in outputs:
                if (path.parent / name).exists():
                    raise FileExistsError(
                        f"{path.parent} holds {name} of a run whose checkpoint is gone; choose "
                        "another folder"
                    )
            state.start()
        self.ranks.wait()  # every process has looked before the first one writes
        if self.ranks.leads:
            for name in (path.name, *outputs):
                tensor_file.remove_unfinished(path.parent / name)
            state.save(path)
            state.save(path)  # beside the first one, as every later checkpoint: both must fit

    def steps(self) -> Iterator[int]:
        """The numbers of the steps that are still to be taken."""
        state = self.state
        self._clock = self._read_clocks()
        # Not by tqdm's `unit_scale`, with which the bar of a notebook hardly moves.
        each, bar = self.images, {"desc": self.name, "disable": not self.progress, "unit": "image"}
        count = {"total": each * self.total, "initial": each * state.step}
        with self._lock, tqdm(**count, **bar) as self.bar:
            self._advance()
            self._since = state.step, time.perf_counter()
            while self.position < self.total:
                yield state.step
                state.step += 1
                self._advance()
                often = state.step % self.checkpoint_every == 0
                due = often or self.ends_epoch(state.step - 1) or self.position >= self.total
                if due and self.path and self.ranks.leads:
                    self._save_checkpoint()
                if self.ends_epoch(state.step - 1):
                    self._since = state.step, time.perf_counter()
        self.count_time()

    def _advance(self) -> None:
        self.position: float = self.state.step
        if self.clock is not None:
            share = self.ranks.mean(self.clock())  # all processes end at the same step
            self.position = share * self.total
            self.bar.total = self.images * round(self.state.step / share if share else self.total)

    def ends_epoch(self, step: int) -> bool:
        return (step + 1) % self.steps_per_epoch == 0

    def report(self, loss: float, **figures: object) -> None:
        """Show the loss of a step, and further figures; raises Diverged if it is not finite."""
        if not math.isfinite(loss):
            raise self._diverged(f"{self.loss_name} is {loss} at step {self.state.step}")
        self.bar.update(self.images)
        self.bar.set_postfix(loss=f"{loss:.3f}", **figures, refresh=False)

    def images_per_second(self) -> float:
        """Since the epoch began, or this process went on in it; the step that runs is counted."""
        step, seconds = self._since
        return self.images * (self.state.step + 1 - step) / (time.perf_counter() - seconds)

    def say(self, text: str) -> None:
        """Print a line above the progress bar; nothing where none is shown."""
        if self.progress:
            self.bar.write(text, file=sys.stderr)

    def count_time(self) -> None:
        """Add the time since this was last called to the state's seconds."""
        clock, self._clock = self._clock, self._read_clocks()
        for kind, seconds in self._clock.items():
            self.state.seconds[kind] += seconds - clock[kind]

    def _read_clocks(self) -> dict[str, float]:
        # All processes take about as much as this one.
        taken = self.ranks.size * self.ranks.seconds()
        return {self.ranks.kind: taken, "wall": time.perf_counter()}

    def _save_checkpoint(self) -> None:
        state, path = self.state, self.path
        # The loss may be that of one arch among several: the step itself may have diverged.
        if not all(torch.isfinite(tensor).all() for tensor in state.tensors().values()):
            raise self._diverged(f"weights are no longer numbers after step {state.step}")
        self.count_time()
        try:
            state.save(path)
        except OSError as error:
            raise OSError(
                f"stopped after step {state.step}: {error}. The last complete checkpoint is in "
                f"{path}; make room and go on with --resume (resume=True)"
            ) from error

    def _diverged(self, what: str) -> Diverged:
        checkpoint = f". The last checkpoint is in {self.path}" if self.path else ""
        return Diverged(f"{what}; {self.remedy}{checkpoint}")


def with_buffers(optimizer: Optimizer) -> Optimizer:
    """An SGD or Adam whose buffers are zero from the start, instead of absent until the first step.

    So every checkpoint of a run holds the same tensors. The first step is the same.
    """
    sgd = isinstance(optimizer, SGD)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for name in ("momentum_buffer",) if sgd else ("exp_avg", "exp_avg_sq"):
                optimizer.state[parameter][name] = torch.zeros_like(parameter)
            if not sgd:
                optimizer.state[parameter]["step"] = torch.tensor(0.0)
    return optimizer


def buffers_of(optimizer: Optimizer, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The buffers of an optimizer, named after the parameters: `momentum_buffer.NAME`."""
    return {
        f"{kind}.{name}": buffer
        for name, parameter in parameters.items()
        for kind, buffer in optimizer.state[parameter].items()
    }
