"""Training a supernet: one loop for all recipes, resumable, in one process or many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

import numpy as np

from labkit.data import datasets
from labkit.data.picture_folder import require_outside
from labkit.runtime.distributed import World, world
from labkit.runtime.machine import machine
from labkit.space import SearchSpace
from labkit.storage.provenance import code_revision
from labkit.supernet import weights_file
from labkit.supernet.batch_norm import BatchStatistics, DistributedStatistics
from labkit.supernet.evaluation import Evaluator
from labkit.supernet.supernet import Supernet
from labkit.supernet.weights_file import WEIGHTS
from labkit.train.batches import Batches
from labkit.train.config import AUTOCAST, TrainConfig, learning_rate
from labkit.train.cuda_graphs import can_replay, replayed
from labkit.train.resumable_run import Run
from labkit.train.step import training_step
from labkit.train.train_state import TrainState

# Of val-search, for the accuracies in the curve; and as many to recalibrate with.
CURVE_IMAGES = 1000


def train(
    config: TrainConfig,
    out: Path,
    *,
    resume: bool = False,
    checkpoint_every: int = 200,
    progress: bool = True,
    device: str | None = None,
    strict: bool = False,
    clock: Callable[[], float] | None = None,
) -> Supernet:
    """Train a supernet and return its averaged weights, which are in `out`/supernet.safetensors.

    checkpoint.safetensors and curve.csv beside it follow the run as it goes. `device` is "cpu",
    "cuda" or None for a GPU if there is one. Under torchrun every process calls this; `out` must be
    a folder that all of them see, and only the first writes to it.

    With `strict`, an image that cannot be read is an error; otherwise it is skipped and named.

    `clock` says what share of the time for training has passed, from 0 to 1. With it, the learning
    rate follows the time and training ends with it, however fast the machine is; `config.epochs`
    is then an estimate, and the record has those that it became.

    With `resume`, go on from the folder's checkpoint if there is one. Raises OSError before the
    first step if the folder cannot be written, lacks space or holds another run's files, and later,
    with the last checkpoint whole, if a checkpoint cannot be written; CheckpointError if the
    checkpoint belongs to another run, or a file that `config` names cannot be used; ValueError for
    a device that is not there, a data set that is not for the space, or a batch that does not
    divide; DataError for images that are not there; Diverged where the loss or the weights are no
    longer numbers.
    """
    out, space, recipe = Path(out), config.search_space, config.resolved_recipe
    if clock is not None and recipe.phases:
        raise ValueError(f"recipe {config.recipe!r} has phases of so many steps; leave out clock")
    if Path(config.dataset).is_dir():
        require_outside(out, Path(config.dataset))
    dataset = _load_dataset(config, space, strict)
    with world(device) as ranks:
        batches = Batches(
            dataset,
            dataset.splits["train"],
            config.batch,
            config.seed,
            ranks,
            epoch_limit=config.steps_per_epoch,
            erase=config.erase,
            padding=config.crop_padding,
            dtype=config.dtype,
            augmentations=config.augmentations,
        )
        total = config.epochs * batches.steps_per_epoch
        state = TrainState(config, ranks.device, total)
        state.content = dataset.content
        run = Run(
            state,
            out / "checkpoint.safetensors",
            ranks,
            total=total,
            steps_per_epoch=batches.steps_per_epoch,
            checkpoint_every=checkpoint_every,
            images=config.batch,
            name=f"{space.name}, {config.recipe}",
            remedy=f"lower the learning rate ({config.learning_rate})",
            progress=progress and ranks.leads,
            clock=clock,
        )
        run.begin(resume=resume, outputs=("curve.csv", WEIGHTS))
        began_at = state.step
        network = state.supernet
        trained = replayed(network, config.batch) if can_replay(config, ranks) else network
        counts = {"images": CURVE_IMAGES, "recalibration_images": CURVE_IMAGES}
        evaluator = Evaluator(state.average, dataset, "val-search", **counts)
        options = {
            "smoothing": config.label_smoothing,
            # Batch norm by the joint batch.
            "stats": BatchStatistics() if ranks.alone else DistributedStatistics(),
            "autocast": AUTOCAST.get(config.precision),
            "scaler": state.grad_scaler,
            "recompute": config.recompute,
        }
        trained_space = config.trained_space
        for step in run.steps():
            images, labels = batches.augmented(step)
            state.enter_phase()
            rng, phase = np.random.default_rng((config.seed, step)), recipe.phase_at(step, total)
            archs = recipe.archs(trained_space, rng, phase)
            state.optimizer.zero_grad()
            loss = training_step(
                trained, recipe, archs, images, labels, teacher=state.teacher, **options
            )
            loss = ranks.mean(loss)
            run.report(loss)
            ranks.average_gradients(network.parameters())
            rate = learning_rate(config, run.position, batches.steps_per_epoch)
            state.update(rate, config.ema_decay)
            if run.ends_epoch(step) and ranks.leads:
                state.curve.append(_curve_row(run, loss, evaluator, config))
                run.say(_curve_text(run, state.curve[-1]))
        # A run that had ended keeps its file: what was measured with it holds for no other.
        if ranks.leads and (state.step > began_at or not (out / WEIGHTS).is_file()):
            config = replace(config, epochs=max(1, round(state.step / run.steps_per_epoch)))
            record = {**record_of(config, state, ranks), "dataset": dataset.record.to_json()}
            weights_file.save(out / WEIGHTS, state.average, record)
        ranks.wait()
    return state.average


def _load_dataset(config: TrainConfig, space: SearchSpace, strict: bool) -> datasets.DataSet:
    """The data set of a run; raises ValueError if it is not for networks of `space`."""
    dataset = datasets.load(config.dataset, config.image_form, strict=strict)
    channels, classes = len(dataset.mean), len(dataset.classes)
    if (channels, classes) != (space.in_channels, space.num_classes):
        raise ValueError(
            f"data set {config.dataset!r} has {channels} image channels and {classes} classes,"
            f" space {space.name!r} is for {space.in_channels} and {space.num_classes}; change one"
            f" of the two (`labkit space new my.toml --data {config.dataset}` writes a space for"
            " these images)"
        )
    return dataset


def _curve_row(run: Run, loss: float, evaluator: Evaluator, config: TrainConfig) -> dict:
    """What the curve says of the epoch that has just ended."""
    images_per_second = round(run.images_per_second())
    archs = {"alone": config.only}
    if config.only is None:
        space = config.trained_space
        archs = {"largest": space.largest(), "smallest": space.smallest()}
    accuracies = {name: round(evaluator.accuracy(arch), 2) for name, arch in archs.items()}
    epoch, loss = run.state.step // run.steps_per_epoch + 1, round(loss, 4)
    return {"epoch": epoch, "loss": loss, "images_per_second": images_per_second, **accuracies}


def _curve_text(run: Run, row: dict) -> str:
    # By a clock, nobody knows how many epochs there will be.
    epochs = f"/{run.total // run.steps_per_epoch}" if run.clock is None else ""
    accuracies = ", ".join(
        f"{name} {row[name]} %" for name in ("alone", "largest", "smallest") if name in row
    )
    return f"epoch {row['epoch']}{epochs}: loss {row['loss']}, val-search accuracy {accuracies}"


def record_of(config: TrainConfig, state: TrainState, ranks: World) -> dict:
    """What the header of the weights says about the run that trained them."""
    hours = {
        f"{kind}_hours": round(seconds / 3600, 3)
        for kind, seconds in state.seconds.items()
        if seconds or kind in (ranks.kind, "wall")
    }
    origin = {"teacher_sha256": state.teacher_sha256, "initial": state.initial}
    return {
        "config": asdict(config),
        "curve": state.curve,
        **hours,
        "processes": ranks.size,
        **{name: value for name, value in origin.items() if value is not None},
        "machine": machine(ranks.device),
        "date": date.today().isoformat(),
        "revision": code_revision(),
    }
