"""Where a run stands: weights, their moving average, momenta, the teacher; written and read as one
checkpoint.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from labkit.space import Arch, SearchSpace
from labkit.space.presets import get_space
from labkit.storage import tensor_file as checkpoint
from labkit.storage.provenance import sha256
from labkit.supernet import weights_file as pretrained
from labkit.supernet.supernet import Supernet
from labkit.train.config import TrainConfig, difference
from labkit.train.progressive_shrinking import channel_orders, sort_channels

SCHEMA = "labkit-checkpoint-1"
HEADER = {
    "config": dict,
    "step": int,
    "curve": list,
    "cpu_seconds": (int, float),
    "wall_seconds": (int, float),
    "initial": (dict, type(None)),
}


class TrainState:
    """All that changes while a run goes on."""

    def __init__(self, config: TrainConfig, device: torch.device | None = None) -> None:
        torch.manual_seed(config.seed)
        dtype = torch.float64 if config.precision == "float64" else torch.float32
        self._place = {"device": device or torch.device("cpu"), "dtype": dtype}
        self.supernet = Supernet(get_space(config.space), config.only).to(**self._place)
        self.average = (
            Supernet(get_space(config.space), config.only).requires_grad_(False).to(**self._place)
        )
        self.average.load_state_dict(self.supernet.state_dict())

        # Decay pulls on what mixes channels, not on scales, offsets or kernel transforms.
        def decays(name: str, p: Tensor) -> bool:
            return p.ndim > 1 and "transforms" not in name

        named = list(self.supernet.named_parameters())
        self.optimizer = torch.optim.SGD(
            [
                {
                    "params": [p for n, p in named if decays(n, p)],
                    "weight_decay": config.weight_decay,
                },
                {"params": [p for n, p in named if not decays(n, p)], "weight_decay": 0.0},
            ],
            lr=config.learning_rate,
            momentum=config.momentum,
            nesterov=config.momentum > 0,
        )
        # float16 has a short range: losses are scaled up so that small gradients are not lost.
        self.scaler = torch.amp.GradScaler(
            self._place["device"].type, enabled=config.precision == "float16"
        )
        self.teacher: Supernet | None = None
        self.teacher_sha256: str | None = (
            None  # of an outside teacher's file, as it is when the run begins
        )
        if config.teacher is not None:
            self.teacher = _teacher(Path(config.teacher), self.supernet.space).to(**self._place)
            self.teacher_sha256 = sha256(Path(config.teacher))
        self.initial: dict | None = (
            None  # what the weights that the run began with say about themselves
        )
        self.step, self.curve = 0, []
        self.seconds = {
            "cpu": 0.0,
            "gpu": 0.0,
            "wall": 0.0,
        }  # what a run took of CPU cores, of GPUs, and by the clock

    def begin_with(self, path: Path) -> None:
        """Take the weights in `path`, and count their hours; raises CheckpointError if they are not
        of this run's space and arch.
        """
        supernet, record = pretrained.load(path)
        theirs, ours = ((net.space.name, net.only) for net in (supernet, self.supernet))
        if theirs != ours:
            raise checkpoint.CheckpointError(
                f"{path} holds {_named(*theirs)}, this run trains {_named(*ours)}"
            )
        for network in (self.supernet, self.average):
            network.load_state_dict(supernet.state_dict())
        self.initial = {
            "sha256": sha256(path),
            **{key: value for key, value in record.items() if key != "curve"},
        }
        self.seconds = {kind: 3600 * record.get(f"{kind}_hours", 0.0) for kind in self.seconds}

    def take_teacher(self) -> None:
        """From now on, the averaged weights as they are teach."""
        self.teacher = Supernet(self.average.space).requires_grad_(False).to(**self._place)
        self.teacher.load_state_dict(self.average.state_dict())

    def sort_channels(self) -> None:
        """Important channels first, in all that belongs to the weights."""
        named = dict(self.supernet.named_parameters())
        orders = channel_orders(self.supernet)
        momenta = {
            name: self.optimizer.state[p].get("momentum_buffer")
            for name, p in named.items()
            if name in orders
        }
        sort_channels(named, orders)
        sort_channels(dict(self.average.named_parameters()), orders)
        sort_channels(
            momenta, {name: moves for name, moves in orders.items() if momenta[name] is not None}
        )

    def update(self, learning_rate: float, ema_decay: float) -> None:
        """One optimizer step with the gradients that are there, and the average after it."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        # A short horizon at first: the average must not remember the initial weights.
        decay = min(ema_decay, self.step / (self.step + 10))
        torch._foreach_lerp_(
            [p.data for p in self.average.parameters()],
            [p.data for p in self.supernet.parameters()],
            1 - decay,
        )

    def is_finite(self) -> bool:
        """Whether all that a checkpoint holds are numbers."""
        return all(bool(tensor.isfinite().all()) for tensor in self.tensors().values())

    def tensors(self) -> dict[str, Tensor]:
        tensors = {}
        for name, parameter in self.supernet.named_parameters():
            tensors[f"weights.{name}"] = parameter.data
            buffer = self.optimizer.state[parameter].get("momentum_buffer")
            tensors[f"momentum.{name}"] = (
                torch.zeros_like(parameter.data) if buffer is None else buffer
            )
        for name, parameter in self.average.named_parameters():
            tensors[f"average.{name}"] = parameter.data
        if self.teacher is not None:
            tensors |= {
                f"teacher.{name}": parameter.data
                for name, parameter in self.teacher.named_parameters()
            }
        return tensors

    def save(self, path: Path, config: TrainConfig) -> None:
        """Write the checkpoint in one step; raises OSError, with the old one whole, where that is
        not possible.
        """
        header = {
            "schema": SCHEMA,
            "config": asdict(config),
            "step": self.step,
            "curve": self.curve,
            **{f"{kind}_seconds": seconds for kind, seconds in self.seconds.items()},
            "scaler": self.scaler.state_dict(),
            "teacher_sha256": self.teacher_sha256,
            "initial": self.initial,
        }
        checkpoint.save(path, self.tensors(), header)

    def load(self, path: Path, config: TrainConfig, teacher_from: int | None = None) -> None:
        """Take over a checkpoint; raises CheckpointError if it is not whole or of another run."""
        tensors, header = checkpoint.read(path)
        if header.get("schema") != SCHEMA:
            raise checkpoint.CheckpointError(
                f"{path}: schema is {header.get('schema')!r}, this version reads {SCHEMA!r}"
            )
        checkpoint.check_fields(path, header, HEADER)
        other = difference(config, header["config"])
        if other:
            field, theirs, ours = other
            raise checkpoint.CheckpointError(
                f"{path} was made with {field}={theirs!r}, this run has {ours!r}; "
                "use the same options or another folder"
            )
        if header.get("teacher_sha256", self.teacher_sha256) != self.teacher_sha256:
            raise checkpoint.CheckpointError(
                f"{config.teacher} is not the teacher that {path} was made with (its "
                "SHA-256 is another); restore it, or use another folder"
            )
        scaler = header.get("scaler") or {}
        if not isinstance(scaler, dict) or scaler.keys() != self.scaler.state_dict().keys():
            raise checkpoint.CheckpointError(
                f"{path}: header field 'scaler' is not what labkit writes; restore the "
                "file, or remove it to start over"
            )
        if teacher_from is not None and header["step"] > teacher_from:
            self.take_teacher()
        checkpoint.check_tensors(path, tensors, self.tensors())
        for name, parameter in self.supernet.named_parameters():
            parameter.data.copy_(tensors[f"weights.{name}"])
            if header["step"]:
                self.optimizer.state[parameter]["momentum_buffer"] = tensors[f"momentum.{name}"].to(
                    **self._place
                )
        for name, parameter in self.average.named_parameters():
            parameter.data.copy_(tensors[f"average.{name}"])
        if self.teacher is not None:
            for name, parameter in self.teacher.named_parameters():
                parameter.data.copy_(tensors[f"teacher.{name}"])
        self.step, self.curve, self.initial = header["step"], header["curve"], header.get("initial")
        self.seconds = {kind: header.get(f"{kind}_seconds", 0.0) for kind in self.seconds}
        self.scaler.load_state_dict(scaler)


def _named(space: str, only: Arch | None) -> str:
    return (
        f"a supernet of space {space!r}"
        if only is None
        else f"one subnet of space {space!r}, {only}"
    )


def _teacher(path: Path, space: SearchSpace) -> Supernet:
    """The supernet in `path`; raises CheckpointError unless its largest arch can teach networks of
    `space`.
    """
    teacher = pretrained.load(path)[0]
    theirs, ours = ((s.in_channels, s.num_classes) for s in (teacher.space, space))
    if theirs != ours:
        raise checkpoint.CheckpointError(
            f"teacher {path}: space {teacher.space.name!r} has {theirs[0]} image channels "
            f"and {theirs[1]} classes, {space.name!r} has {ours[0]} and {ours[1]}"
        )
    if teacher.only is not None and teacher.only != teacher.space.largest():
        raise checkpoint.CheckpointError(
            f"teacher {path} is one subnet that was trained alone, not a supernet; its "
            "largest arch would teach"
        )
    return teacher
