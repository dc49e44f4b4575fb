"""The training loop: one for all recipes, resumable at any step."""

from __future__ import annotations

import csv
import io
import math
import time
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from labkit import checkpoint, data, pretrained
from labkit.artifacts import code_revision
from labkit.evaluate import Evaluator
from labkit.latency.harness import machine_state
from labkit.paths import write_atomic
from labkit.spaces import get_space
from labkit.supernet import Supernet
from labkit.train.epochs import batch_of, plan_epoch
from labkit.train.recipes import RECIPES, Recipe, distillation_loss, label_loss
from labkit.train.shrinking import channel_orders, sort_channels

CURVE_IMAGES = 1000  # of val-search, for the accuracies in the curve; and as many to recalibrate with


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the weights a run ends with (given the machine's arithmetic)."""

    space: str = "fmnist"
    dataset: str = "fashion-mnist"
    recipe: str = "sandwich"
    epochs: int = 16
    steps_per_epoch: int | None = None  # None: the whole training split
    batch: int = 128
    learning_rate: float = 0.25  # peak, for the sum of the losses of a step's archs
    momentum: float = 0.9
    weight_decay: float = 5e-5
    warmup_epochs: float = 1.0
    label_smoothing: float = 0.1
    ema_decay: float = 0.999
    seed: int = 0

    def __post_init__(self) -> None:
        get_space(self.space)
        if self.recipe not in RECIPES:
            raise ValueError(f"unknown recipe {self.recipe!r}, known: {', '.join(RECIPES)}")
        for field in ("epochs", "batch", "learning_rate"):
            value = getattr(self, field)
            if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0):
                raise ValueError(f"{field} must be positive, got {value}")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must be in [0, 1), got {self.ema_decay}")


def learning_rate(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    warmup, total = config.warmup_epochs * steps_per_epoch, config.epochs * steps_per_epoch
    warmup = min(warmup, total / 4)
    if step < warmup:
        return config.learning_rate * (step + 1) / (warmup + 1)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def training_step(supernet: Supernet, recipe: Recipe, archs: list, images: Tensor, labels: Tensor,
                  smoothing: float, teacher: Supernet | None = None) -> float:
    """Add the gradients of one step to the weights; return the first arch's loss.

    With a `teacher`, each arch learns from the labels and from its largest subnet in equal parts (OFA).

    Each arch's graph is freed before the next forward pass, so memory does not grow with their number.
    """
    teacher_logits, taught, first_loss = None, None, math.nan
    if teacher is not None:
        with torch.no_grad():
            largest = teacher.space.largest()
            taught = teacher(data.resize(images, largest.resolution), largest)
    for arch in archs:
        logits = supernet(data.resize(images, arch.resolution), arch)  # (N, classes)
        if teacher_logits is not None:
            loss = distillation_loss(logits, teacher_logits)
        else:
            loss = label_loss(logits, labels, smoothing)
            if taught is not None:
                loss = (loss + distillation_loss(logits, taught)) / 2
            first_loss = loss.item() if math.isnan(first_loss) else first_loss
            if recipe.distill:
                teacher_logits = logits.detach()
        loss.backward()
    return first_loss


class _State:
    """Weights, their moving average, momentum buffers, the teacher, and where the run stands."""

    def __init__(self, config: TrainConfig) -> None:
        torch.manual_seed(config.seed)
        self.supernet = Supernet(get_space(config.space))
        self.average = Supernet(get_space(config.space)).requires_grad_(False)
        self.average.load_state_dict(self.supernet.state_dict())
        # Decay pulls on what mixes channels, not on scales, offsets or kernel transforms.
        def decays(name: str, p: Tensor) -> bool:
            return p.ndim > 1 and "transforms" not in name
        named = list(self.supernet.named_parameters())
        self.optimizer = torch.optim.SGD(
            [{"params": [p for n, p in named if decays(n, p)], "weight_decay": config.weight_decay},
             {"params": [p for n, p in named if not decays(n, p)], "weight_decay": 0.0}],
            lr=config.learning_rate, momentum=config.momentum, nesterov=True)
        self.teacher: Supernet | None = None
        self.step, self.cpu_seconds, self.wall_seconds, self.curve = 0, 0.0, 0.0, []

    def take_teacher(self) -> None:
        """From now on, the averaged weights as they are teach."""
        self.teacher = Supernet(self.average.space).requires_grad_(False)
        self.teacher.load_state_dict(self.average.state_dict())

    def sort_channels(self) -> None:
        """Important channels first, in all that belongs to the weights."""
        named = dict(self.supernet.named_parameters())
        orders = channel_orders(self.supernet)
        momenta = {name: self.optimizer.state[p].get("momentum_buffer") for name, p in named.items() if name in orders}
        sort_channels(named, orders)
        sort_channels(dict(self.average.named_parameters()), orders)
        sort_channels(momenta, {name: moves for name, moves in orders.items() if momenta[name] is not None})

    def tensors(self) -> dict[str, Tensor]:
        tensors = {}
        for name, parameter in self.supernet.named_parameters():
            tensors[f"weights.{name}"] = parameter.data
            buffer = self.optimizer.state[parameter].get("momentum_buffer")
            tensors[f"momentum.{name}"] = torch.zeros_like(parameter.data) if buffer is None else buffer
        for name, parameter in self.average.named_parameters():
            tensors[f"average.{name}"] = parameter.data
        if self.teacher is not None:
            tensors |= {f"teacher.{name}": parameter.data for name, parameter in self.teacher.named_parameters()}
        return tensors

    def save(self, path: Path, config: TrainConfig) -> None:
        header = {"schema": "labkit-checkpoint-1", "config": asdict(config), "step": self.step,
                  "cpu_seconds": self.cpu_seconds, "wall_seconds": self.wall_seconds, "curve": self.curve}
        checkpoint.save(path, self.tensors(), header)

    def load(self, path: Path, config: TrainConfig, teacher_from: int | None) -> None:
        tensors, header = checkpoint.read(path)
        if header.get("config") != asdict(config):
            theirs = header.get("config") or {}
            field = next(f for f, v in asdict(config).items() if theirs.get(f) != v)
            raise checkpoint.CheckpointError(f"{path} was made with {field}={theirs.get(field)!r}, this run has "
                                             f"{asdict(config)[field]!r}; use the same options or another folder")
        if teacher_from is not None and header["step"] > teacher_from:
            self.take_teacher()
        checkpoint.check_tensors(path, tensors, self.tensors())
        for name, parameter in self.supernet.named_parameters():
            parameter.data.copy_(tensors[f"weights.{name}"])
            if header["step"]:
                self.optimizer.state[parameter]["momentum_buffer"] = tensors[f"momentum.{name}"].clone()
        for name, parameter in self.average.named_parameters():
            parameter.data.copy_(tensors[f"average.{name}"])
        if self.teacher is not None:
            for name, parameter in self.teacher.named_parameters():
                parameter.data.copy_(tensors[f"teacher.{name}"])
        self.step, self.curve = header["step"], header["curve"]
        self.cpu_seconds, self.wall_seconds = header["cpu_seconds"], header["wall_seconds"]


def train(config: TrainConfig, out: Path, *, resume: bool = False, checkpoint_every: int = 200,
          progress: bool = True) -> Supernet:
    """Train a supernet and return its averaged weights, which are left in `out`/supernet.safetensors.

    checkpoint.safetensors and curve.csv beside it follow the run as it goes.

    With `resume`, go on from the folder's checkpoint if there is one. Raises OSError before the
    first step if the folder cannot be written, CheckpointError if the checkpoint belongs to another run.
    """
    out = Path(out)
    recipe, space, dataset = RECIPES[config.recipe], get_space(config.space), data.load(config.dataset)
    split = dataset.splits["train"]
    full_epoch = len(split.images) // config.batch
    steps_per_epoch = min(full_epoch, config.steps_per_epoch or full_epoch)
    total = steps_per_epoch * config.epochs
    if not steps_per_epoch:
        raise ValueError(f"batch {config.batch} is larger than the {len(split.images)} training images")

    state, path = _State(config), out / "checkpoint.safetensors"
    if path.exists() and not resume:
        raise FileExistsError(f"{path} exists; go on with --resume, or choose another folder")
    if path.exists():
        state.load(path, config, recipe.teacher_from(total))
    else:
        state.save(path, config)  # an unwritable folder or a full disk shows before any work is done

    evaluator = Evaluator(state.average, dataset, "val-search", images=CURVE_IMAGES, recalibration_images=CURVE_IMAGES)
    cpu_before, wall_before = state.cpu_seconds - time.process_time(), state.wall_seconds - time.perf_counter()
    bar = tqdm(total=total, initial=state.step, unit_scale=config.batch, unit="image", disable=not progress,
               desc=f"{config.space}, {config.recipe}")
    epoch = None
    while state.step < total:
        index, within = divmod(state.step, steps_per_epoch)
        if epoch is None or within == 0:
            epoch = plan_epoch(len(split.images), config.seed, index)
        samples = epoch.order[within * config.batch:(within + 1) * config.batch]
        images, labels = batch_of(split, epoch, samples)
        if state.step == recipe.teacher_from(total):
            state.take_teacher()
        if state.step == recipe.sorted_at(total):
            state.sort_channels()
        archs = recipe.archs(space, np.random.default_rng((config.seed, state.step)),
                             recipe.phase_at(state.step, total))

        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(config, state.step, steps_per_epoch)
        state.optimizer.zero_grad()
        loss = training_step(state.supernet, recipe, archs, data.normalise(images, dataset), labels,
                             config.label_smoothing, state.teacher)
        if not math.isfinite(loss):
            raise FloatingPointError(f"loss is {loss} at step {state.step}; lower the learning rate "
                                     f"({config.learning_rate}). The last checkpoint is in {path}")
        state.optimizer.step()
        state.step += 1
        # A short horizon at first: the average must not remember the initial weights.
        decay = min(config.ema_decay, state.step / (state.step + 10))
        torch._foreach_lerp_([p.data for p in state.average.parameters()],
                             [p.data for p in state.supernet.parameters()], 1 - decay)
        bar.update()
        bar.set_postfix(loss=f"{loss:.3f}", refresh=False)

        at_epoch_end = state.step % steps_per_epoch == 0
        if at_epoch_end:
            row = {"epoch": index + 1, "loss": round(loss, 4), "images_per_second": bar.format_dict["rate"] or 0,
                   **{name: round(evaluator.accuracy(arch), 2)
                      for name, arch in (("largest", space.largest()), ("smallest", space.smallest()))}}
            row["images_per_second"] = round(row["images_per_second"] * config.batch)
            state.curve.append(row)
            bar.write(f"epoch {row['epoch']}/{config.epochs}: loss {row['loss']}, val-search accuracy "
                      f"largest {row['largest']} %, smallest {row['smallest']} %")
        if at_epoch_end or state.step % checkpoint_every == 0 or state.step == total:
            state.cpu_seconds, state.wall_seconds = cpu_before + time.process_time(), wall_before + time.perf_counter()
            state.save(path, config)
            write_curve(out / "curve.csv", state.curve)
    bar.close()
    pretrained.save(out / "supernet.safetensors", state.average, {
        "config": asdict(config), "curve": state.curve, "cpu_hours": round(state.cpu_seconds / 3600, 3),
        "wall_hours": round(state.wall_seconds / 3600, 3), "machine": machine(), "date": date.today().isoformat(),
        "revision": code_revision()})
    return state.average


def write_curve(path: Path, rows: list[dict]) -> None:
    if rows:
        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomic(path, lambda temporary: temporary.write_text(text.getvalue(), encoding="utf-8"))


def machine() -> dict:
    """The machine, for the record of a run."""
    return {**machine_state(), "torch": torch.__version__, "threads": torch.get_num_threads()}
