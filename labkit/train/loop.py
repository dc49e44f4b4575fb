"""The training loop: one for all recipes, resumable at any step, in one process or many."""

from __future__ import annotations

import csv
import io
import math
import time
from dataclasses import asdict
from datetime import date
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from labkit.data import datasets as data
from labkit.runtime.machine import machine
from labkit.space import Arch
from labkit.space.presets import get_space
from labkit.storage import tensor_file as checkpoint
from labkit.storage.atomic_write import write_atomic
from labkit.storage.errors import LabError
from labkit.storage.provenance import code_revision
from labkit.supernet import weights_file as pretrained
from labkit.supernet.elastic import BatchStatistics
from labkit.supernet.evaluation import Evaluator
from labkit.supernet.supernet import Supernet
from labkit.train.config import AUTOCAST, TrainConfig, learning_rate
from labkit.train.cuda_graphs import can_replay, replayed
from labkit.train.distributed import World, world
from labkit.train.epochs import batch_of, plan_epoch
from labkit.train.recipes import Recipe, distillation_loss, label_loss
from labkit.train.run_state import TrainState

CURVE_IMAGES = (
    1000  # of val-search, for the accuracies in the curve; and as many to recalibrate with
)
WRITTEN = ("checkpoint.safetensors", "curve.csv", "supernet.safetensors")


class Diverged(LabError, FloatingPointError):
    """The loss is no longer a number."""


def training_step(
    supernet: Supernet,
    recipe: Recipe,
    archs: list[Arch],
    images: Tensor,
    labels: Tensor,
    smoothing: float,
    teacher: Supernet | None = None,
    *,
    stats: BatchStatistics | None = None,
    autocast: torch.dtype | None = None,
    scaler: torch.amp.GradScaler | None = None,
    recompute: bool = False,
) -> float:
    """Add the gradients of one step to the weights; return the first arch's loss.

    With a `teacher`, each arch learns from the labels and from its largest subnet in equal parts
    (OFA). `stats` normalizes (by this batch, unless given), `autocast` computes in half precision,
    `scaler` scales losses for it, `recompute` is that of `Supernet.forward`.

    Each arch's graph is freed before the next forward pass, so memory does not grow with their
    number.
    """
    teacher_logits, taught, first_loss = None, None, None

    def logits_of(network: Supernet, arch: Arch, **options: object) -> Tensor:
        with torch.autocast(images.device.type, autocast, enabled=autocast is not None):
            logits = network(
                data.resize(images, arch.resolution), arch, stats, **options
            )  # (N, classes)
        return logits if autocast is None else logits.float()

    if teacher is not None:
        with torch.no_grad():
            taught = logits_of(teacher, teacher.space.largest())
    for arch in archs:
        logits = logits_of(supernet, arch, recompute=recompute)
        if teacher_logits is not None:
            loss = distillation_loss(logits, teacher_logits)
        else:
            loss = label_loss(logits, labels, smoothing)
            if taught is not None:
                loss = (loss + distillation_loss(logits, taught)) / 2
            first_loss = loss.item() if first_loss is None else first_loss
            if recipe.distill:
                teacher_logits = logits.detach()
        (loss if scaler is None else scaler.scale(loss)).backward()
    return first_loss


def train(
    config: TrainConfig,
    out: Path,
    *,
    resume: bool = False,
    checkpoint_every: int = 200,
    progress: bool = True,
    device: str | None = None,
) -> Supernet:
    """Train a supernet and return its averaged weights, which are left in
    `out`/supernet.safetensors.

    checkpoint.safetensors and curve.csv beside it follow the run as it goes. `device` is "cpu",
    "cuda" or None for a GPU if there is one. Under torchrun every process calls this; `out` must be
    a folder that all of them see, and only the first writes to it.

    With `resume`, go on from the folder's checkpoint if there is one. Raises OSError before the
    first step if the folder cannot be written, lacks space or holds another run's files, and later,
    with the last checkpoint whole, if a checkpoint cannot be written; CheckpointError if the
    checkpoint belongs to another run, or a file that `config` names cannot be used; ValueError for
    a device that is not there, a data set that is not for the space, or a batch that does not
    divide; DataError for images that are not there; Diverged where the loss or the weights are no
    longer numbers.
    """
    with world(device) as ranks:
        return _train(config, Path(out), ranks, resume, checkpoint_every, progress and ranks.leads)


def _train(
    config: TrainConfig,
    out: Path,
    ranks: World,
    resume: bool,
    checkpoint_every: int,
    progress: bool,
) -> Supernet:
    recipe, dataset = config.resolved_recipe, data.load(config.dataset)
    split = dataset.splits["train"].to(ranks.device)
    full_epoch = len(split.images) // config.batch
    steps_per_epoch = min(full_epoch, config.steps_per_epoch or full_epoch)
    total = steps_per_epoch * config.epochs
    if not steps_per_epoch:
        raise ValueError(
            f"batch {config.batch} is larger than the {len(split.images)} training images"
        )
    if config.batch % ranks.size:
        raise ValueError(
            f"batch {config.batch} does not divide into {ranks.size} processes with equal parts; "
            f"use a multiple of {ranks.size}"
        )

    channels, classes = split.images.shape[1], len(dataset.classes)
    space = get_space(config.space)
    if (channels, classes) != (space.in_channels, space.num_classes):
        raise ValueError(
            f"data set {config.dataset!r} has {channels} image channels and {classes} classes,"
            f" space {space.name!r} is for {space.in_channels} and {space.num_classes}; change one"
            " of the two"
        )

    state, path = TrainState(config, ranks.device), out / "checkpoint.safetensors"
    _begin(state, config, path, ranks, resume, recipe.teacher_from(total), total)
    network = state.supernet
    shown = (
        {"alone": config.only}
        if config.only
        else {"largest": space.largest(), "smallest": space.smallest()}
    )
    evaluator = Evaluator(
        state.average, dataset, "val-search", images=CURVE_IMAGES, recalibration_images=CURVE_IMAGES
    )
    step_options = {
        "stats": ranks.statistics(),
        "autocast": AUTOCAST.get(config.precision),
        "scaler": state.scaler,
        "recompute": config.recompute,
    }
    trained = replayed(network, config.batch) if can_replay(config, ranks) else network
    # A GPU is taken all the time, a CPU core while it computes; of all ranks, which take about as
    # much.
    kind, clock = (
        ("gpu", time.perf_counter) if ranks.device.type == "cuda" else ("cpu", time.process_time)
    )
    before = state.seconds[kind] - ranks.size * clock()
    wall_before = state.seconds["wall"] - time.perf_counter()
    bar = tqdm(
        total=total,
        initial=state.step,
        unit_scale=config.batch,
        unit="image",
        disable=not progress,
        desc=f"{config.space}, {config.recipe}",
    )
    epoch = None
    while state.step < total:
        index, within = divmod(state.step, steps_per_epoch)
        if epoch is None or within == 0:
            epoch = plan_epoch(len(split.images), config.seed, index, config.erase).to(ranks.device)
        samples = ranks.part(epoch.order[within * config.batch : (within + 1) * config.batch])
        images, labels = batch_of(split, epoch, samples, dataset.mean)
        if state.step == recipe.teacher_from(total):
            state.take_teacher()
        if state.step == recipe.sorted_at(total):
            state.sort_channels()
        archs = recipe.archs(
            space,
            np.random.default_rng((config.seed, state.step)),
            recipe.phase_at(state.step, total),
        )

        state.optimizer.zero_grad()
        images = data.normalize(images, dataset, network.classifier.weight.dtype)
        loss = ranks.mean(
            training_step(
                trained,
                recipe,
                archs,
                images,
                labels,
                config.label_smoothing,
                state.teacher,
                **step_options,
            )
        )
        if not math.isfinite(loss):
            raise Diverged(
                f"loss is {loss} at step {state.step}; lower the learning rate "
                f"({config.learning_rate}). The last checkpoint is in {path}"
            )
        ranks.average_gradients(network.parameters())
        state.update(learning_rate(config, state.step, steps_per_epoch), config.ema_decay)
        bar.update()
        bar.set_postfix(loss=f"{loss:.3f}", refresh=False)

        at_epoch_end = state.step % steps_per_epoch == 0
        if not ranks.leads or not (at_epoch_end or state.step % checkpoint_every == 0):
            continue
        if at_epoch_end:
            row = {
                "epoch": index + 1,
                "loss": round(loss, 4),
                "images_per_second": round((bar.format_dict["rate"] or 0) * config.batch),
                **{name: round(evaluator.accuracy(arch), 2) for name, arch in shown.items()},
            }
            state.curve.append(row)
            bar.write(
                f"epoch {row['epoch']}/{config.epochs}: loss {row['loss']}, val-search accuracy "
                + ", ".join(f"{name} {row[name]} %" for name in shown)
            )
        if (
            not state.is_finite()
        ):  # a later arch's loss, or the step itself: the checkpoint before is still good
            raise Diverged(
                f"weights are no longer numbers after step {state.step}; lower the learning rate "
                f"({config.learning_rate}). The last checkpoint is in {path}"
            )
        state.seconds |= {
            kind: before + ranks.size * clock(),
            "wall": wall_before + time.perf_counter(),
        }
        _save(state, path, config)
        write_curve(out / "curve.csv", state.curve)
    bar.close()
    if ranks.leads:
        write_curve(
            out / "curve.csv", state.curve
        )  # again: a run may have been killed between checkpoint and curve
        pretrained.save(
            out / "supernet.safetensors", state.average, record_of(config, state, ranks)
        )
    ranks.wait()
    return state.average


def _begin(
    state: TrainState,
    config: TrainConfig,
    path: Path,
    ranks: World,
    resume: bool,
    teacher_from: int | None,
    total: int,
) -> None:
    """Go on from the checkpoint if there is one, else write a first one: what prevents that shows
    before any work.
    """
    exists = path.exists()
    if exists and not resume:
        raise FileExistsError(f"{path} exists; go on with --resume, or choose another folder")
    left = [name for name in WRITTEN if (path.parent / name).exists()]
    if left and not exists:
        raise FileExistsError(
            f"{path.parent} holds {left[0]} of a run whose checkpoint is gone; choose another"
            " folder"
        )
    if exists:
        state.load(path, config, teacher_from)
        checkpoint.check_step(path, state.step, total)
    elif config.initial is not None:
        state.begin_with(Path(config.initial))
    ranks.wait()  # every rank has looked before the first one writes
    if ranks.leads:
        for name in WRITTEN:
            checkpoint.remove_unfinished(path.parent / name)
        state.save(path, config)
        state.save(path, config)  # beside the first one, as every later checkpoint: both must fit


def _save(state: TrainState, path: Path, config: TrainConfig) -> None:
    try:
        state.save(path, config)
    except OSError as error:
        raise OSError(
            f"stopped after step {state.step}: {error}. The last complete checkpoint is in {path};"
            " make room and go on with --resume"
        ) from error


def record_of(config: TrainConfig, state: TrainState, ranks: World) -> dict:
    """What the header of the weights says about how they came about."""
    own = "gpu" if ranks.device.type == "cuda" else "cpu"
    hours = {
        f"{kind}_hours": round(state.seconds[kind] / 3600, 3)
        for kind in ("cpu", "gpu")
        if state.seconds[kind] or kind == own
    }
    others = {} if state.teacher_sha256 is None else {"teacher_sha256": state.teacher_sha256}
    if state.initial is not None:
        others["initial"] = state.initial
    return {
        "config": asdict(config),
        "curve": state.curve,
        **hours,
        "wall_hours": round(state.seconds["wall"] / 3600, 3),
        "processes": ranks.size,
        **others,
        "machine": machine(ranks.device),
        "date": date.today().isoformat(),
        "revision": code_revision(),
    }


def write_curve(path: Path, rows: list[dict]) -> None:
    if rows:
        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomic(
            path, lambda temporary: temporary.write_text(text.getvalue(), encoding="utf-8")
        )
