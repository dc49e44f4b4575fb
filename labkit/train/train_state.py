"""What changes while a supernet trains: weights, their moving average, momenta, the teacher."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from pathlib import Path
from types import NoneType

import torch
from torch import Tensor

from labkit.space import SearchSpace
from labkit.space.binding import version_text
from labkit.storage.atomic_write import write_atomic
from labkit.storage.provenance import sha256
from labkit.storage.tensor_file import START_OVER, CheckpointError
from labkit.supernet import weights_file
from labkit.supernet.folder import weights_path
from labkit.supernet.supernet import Supernet
from labkit.train.config import TrainConfig
from labkit.train.progressive_shrinking import channel_orders, sort_channels
from labkit.train.resumable_run import RunState, buffers_of, with_buffers

CPU = torch.device("cpu")
OPTIONAL = (dict, NoneType)


class TrainState(RunState):
    """The state of a training run of `total` steps.

    `teacher` is an outside teacher from the beginning on, or in progressive shrinking the network
    as its first phase left it; `initial` is the record of the weights that the run began with,
    `content` the digest of its images, where they come from a folder.
    """

    schema = "labkit-checkpoint-1"
    saved = {
        "curve": list,
        "scaler": OPTIONAL,
        "initial": OPTIONAL,
        "teacher_sha256": (str, NoneType),
        "content": (str, NoneType),
    }

    def __init__(self, config: TrainConfig, device: torch.device = CPU, total: int = 1) -> None:
        space = config.search_space
        # With the space's digest, a checkpoint of another version of the space is refused.
        digest = {"space_sha256": space.digest}
        super().__init__({**asdict(config), **digest}, {**asdict(TrainConfig()), **digest})
        torch.manual_seed(config.seed)
        self.config = config
        self._place = {"device": device, "dtype": config.dtype}
        self.supernet = Supernet(space, config.only).to(**self._place)
        self.average = Supernet(space, config.only).requires_grad_(False).to(**self._place)
        self.average.load_state_dict(self.supernet.state_dict())
        self.optimizer = with_buffers(_optimizer(self.supernet, config))
        # float16 has a short range: losses are scaled up so that small gradients are not lost.
        self.grad_scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")
        self.teacher: Supernet | None = None
        self.teacher_sha256: str | None = None  # of the outside teacher's file, when the run began
        if config.teacher is not None:
            path = weights_path(config.teacher)
            self.teacher = load_teacher(path, space).to(**self._place)
            self.teacher_sha256 = sha256(path)
        self.initial: dict | None = None
        self.content: str | None = None
        self.curve: list[dict] = []  # a row an epoch
        recipe = config.resolved_recipe
        narrower = [w for w in space.widths if w < config.trained_space.widths[0]]
        self._finished: list[Tensor] = []  # what no step may change
        if config.initial is not None and narrower:
            self._finished = self.supernet.weights_of_width(narrower[-1])
        self._teacher_from, self._sorted_at = recipe.teacher_from(total), recipe.sorted_at(total)

    @property
    def scaler(self) -> dict:
        """The state of the gradient scaler; empty unless the precision is float16."""
        return self.grad_scaler.state_dict()

    @scaler.setter
    def scaler(self, state: dict | None) -> None:
        self.grad_scaler.load_state_dict(state or {})

    def start(self) -> None:
        """Begin with the weights that the configuration names, if any.

        A run of one arch takes that arch's weights out of a supernet. One that goes on with the
        network in the file counts the hours which that has taken.

        Raises CheckpointError for weights of another space or arch, ValueError for a name that
        nothing has.
        """
        if self.config.initial is None:
            return
        path = weights_path(self.config.initial)
        supernet, record = weights_file.load(path)
        space, only = self.supernet.space, self.supernet.only
        if supernet.space != space or supernet.only not in (None, only):
            initial, current = map(_description, (supernet, self.supernet))
            raise CheckpointError(f"{path} holds {initial}, this run trains {current}")
        for network in (self.supernet, self.average):
            supernet.copy_weights(network)
        without_curve = {key: value for key, value in record.items() if key != "curve"}
        self.initial = {"sha256": sha256(path), **without_curve}
        if supernet.only == only:
            self.seconds = {k: 3600 * record.get(f"{k}_hours", 0.0) for k in self.seconds}

    def enter_phase(self) -> None:
        """Before a step: take the teacher and sort the channels where a new phase wants it."""
        if self.step == self._teacher_from:
            self.take_teacher()
        if self.step == self._sorted_at:
            self.sort_channels()

    def take_teacher(self) -> None:
        """From now on, the averaged weights as they are teach."""
        self.teacher = Supernet(self.average.space).requires_grad_(False).to(**self._place)
        self.teacher.load_state_dict(self.average.state_dict())

    def sort_channels(self) -> None:
        """Important channels first, in all that belongs to the weights."""
        weights, orders = dict(self.supernet.named_parameters()), channel_orders(self.supernet)
        momenta = {name: self.optimizer.state[p]["momentum_buffer"] for name, p in weights.items()}
        for tensors in (weights, momenta, dict(self.average.named_parameters())):
            sort_channels(tensors, orders)

    def update(self, learning_rate: float, ema_decay: float) -> None:
        """One optimizer step with the gradients that are there, and the average after it."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        finished = [part.clone() for part in self._finished]
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()
        for part, value in zip(self._finished, finished):
            part.copy_(value)
        # A short horizon at first: the average must not remember the initial weights.
        decay = min(ema_decay, (self.step + 1) / (self.step + 11))
        torch._foreach_lerp_(
            [p.data for p in self.average.parameters()],
            [p.data for p in self.supernet.parameters()],
            1 - decay,
        )

    def tensors(self) -> dict[str, Tensor]:
        networks = {"weights": self.supernet, "average": self.average, "teacher": self.teacher}
        tensors = {
            f"{prefix}.{name}": parameter.data
            for prefix, network in networks.items()
            if network is not None
            for name, parameter in network.named_parameters()
        }
        return tensors | buffers_of(self.optimizer, dict(self.supernet.named_parameters()))

    def check(self, path: Path, header: dict) -> None:
        """Besides, make room for the teacher that the checkpoint holds."""
        if header.get("teacher_sha256", self.teacher_sha256) != self.teacher_sha256:
            raise CheckpointError(
                f"{self.config.teacher} is not the teacher that {path} was made with (its "
                "SHA-256 is another); restore it, or use another folder"
            )
        if header.get("content", self.content) != self.content:
            raise CheckpointError(
                f"the images in {self.config.dataset} are not those that {path} was made with;"
                " restore them, or use another folder for --out"
            )
        curve = header.get("curve") or []
        if any(not isinstance(row, dict) or row.keys() != curve[0].keys() for row in curve):
            raise CheckpointError(
                f"{path}: header field 'curve' is not what labkit writes; {START_OVER}"
            )
        if (header.get("scaler") or {}).keys() != self.scaler.keys():
            raise CheckpointError(
                f"{path}: header field 'scaler' is not what labkit writes; {START_OVER}"
            )
        if self._teacher_from is not None and header["step"] > self._teacher_from:
            self.take_teacher()

    def save(self, path: Path) -> None:
        """Besides, write the curve to curve.csv beside the checkpoint."""
        super().save(path)
        if self.curve:
            write_curve(path.with_name("curve.csv"), self.curve)


def _optimizer(supernet: Supernet, config: TrainConfig) -> torch.optim.SGD:
    """Weight decay pulls on what mixes channels, not on scales, offsets or kernel transforms."""
    decayed, others = [], []
    for name, parameter in supernet.named_parameters():
        mixes_channels = parameter.ndim > 1 and "transforms" not in name
        (decayed if mixes_channels else others).append(parameter)
    return torch.optim.SGD(
        [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
    )


def write_curve(path: Path, rows: list[dict]) -> None:
    """Write a CSV file with a line for each epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, lambda temporary: temporary.write_text(text.getvalue(), encoding="utf-8"))


def _description(network: Supernet) -> str:
    if network.only is None:
        return f"a supernet of space {version_text(network.space)}"
    return f"one subnet of space {version_text(network.space)}, {network.only}"


def load_teacher(path: Path, space: SearchSpace) -> Supernet:
    """The supernet in `path`, whose largest arch is to teach networks of `space`.

    Raises CheckpointError if it cannot.
    """
    teacher, _ = weights_file.load(path)
    source = teacher.space
    if (source.in_channels, source.num_classes) != (space.in_channels, space.num_classes):
        raise CheckpointError(
            f"teacher {path}: space {source.name!r} has {source.in_channels} image channels and "
            f"{source.num_classes} classes, {space.name!r} has {space.in_channels} and "
            f"{space.num_classes}"
        )
    if teacher.only not in (None, teacher.space.largest()):
        raise CheckpointError(
            f"teacher {path} is one subnet that was trained alone, not a supernet; its "
            "largest arch would teach"
        )
    return teacher
