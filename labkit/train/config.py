"""What decides a training run: its configuration and its learning-rate schedule."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace

import torch

from labkit.space import Arch
from labkit.space.presets import get_space
from labkit.storage.config_fields import check_not_negative, check_positive, check_whole
from labkit.train.progressive_shrinking import first_steps
from labkit.train.recipes import RECIPES, Recipe

AUTOCAST = {
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}  # of the arithmetic; weights stay float32
PRECISIONS = ("float32", "float64", *AUTOCAST)
SEEDS = 2**32  # torch takes 64 bits, and every epoch's plan gets a seed of its own
LATER_WARMUP = 5 / 120  # of a later phase's steps, as in OFA's elastic phases


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the weights a run ends with (given the machine's arithmetic).

    The default of a field that a checkpoint lacks is what the code that wrote it did.
    """

    space: str = "fmnist"
    dataset: str = "fashion-mnist"
    recipe: str = "sandwich"
    epochs: int = 16
    steps_per_epoch: int | None = None  # None: the whole training split
    batch: int = 128  # of all ranks together
    learning_rate: float = 0.25  # peak, for the sum of the losses of a step's archs
    momentum: float = 0.9
    weight_decay: float = 5e-5
    warmup_epochs: float = 1.0
    label_smoothing: float = 0.1
    ema_decay: float = 0.999
    seed: int = 0
    arch: str | None = None  # JSON text of the one arch that recipe "alone" trains
    teacher: str | None = (
        None  # a supernet's weights file: its largest arch teaches beside the labels
    )
    erase: float = 0.0  # share of the images that have a rectangle erased
    phase_schedules: bool = (
        False  # a recipe with phases: a schedule for each, instead of one over all
    )
    precision: str = (
        "float32"  # of the arithmetic; weights stay float32 under bfloat16 and float16 (autocast)
    )
    recompute: bool = (
        False  # blocks' activations are computed again in the backward pass instead of kept
    )
    initial: str | None = None  # a supernet's weights file to begin with, instead of random weights
    random_archs: int | None = None  # drawn in each step; None: as many as the recipe says

    def __post_init__(self) -> None:
        space = get_space(self.space)
        if self.recipe not in RECIPES:
            raise ValueError(f"unknown recipe {self.recipe!r}, known: {', '.join(RECIPES)}")
        check_whole(self, "epochs", "batch", "steps_per_epoch", "random_archs")
        check_whole(self, "seed", least=0)
        check_positive(self, "learning_rate")
        check_not_negative(
            self, "momentum", "weight_decay", "warmup_epochs", "label_smoothing", "ema_decay"
        )
        if self.seed >= SEEDS:
            raise ValueError(f"seed of a training must be from 0 to {SEEDS - 1}, got {self.seed}")
        for field in ("momentum", "label_smoothing", "ema_decay"):
            if getattr(self, field) >= 1:
                raise ValueError(f"{field} must be in [0, 1), got {getattr(self, field)}")
        if not 0 <= self.erase <= 1:
            raise ValueError(f"erase is a share of the images, from 0 to 1, got {self.erase}")
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"unknown precision {self.precision!r}, known: {', '.join(PRECISIONS)}"
            )
        if (self.arch is None) == RECIPES[self.recipe].one_arch:
            raise ValueError(
                f"recipe {self.recipe!r} trains "
                + (
                    "one arch: say which (arch)"
                    if self.arch is None
                    else "many archs; leave out arch"
                )
            )
        if self.arch is not None:
            space.validate(Arch.from_json(self.arch))
        phases = RECIPES[self.recipe].phases
        if self.teacher is not None and phases:
            raise ValueError(
                f"recipe {self.recipe!r} makes its own teacher; leave out teacher ({self.teacher})"
            )
        if self.random_archs is not None and not RECIPES[self.recipe].random_archs:
            raise ValueError(
                f"recipe {self.recipe!r} does not draw archs by number; leave out random_archs "
                f"({self.random_archs})"
            )
        if self.phase_schedules and not phases:
            raise ValueError(f"recipe {self.recipe!r} has no phases to give schedules to")

    @property
    def only(self) -> Arch | None:
        """The one arch that is trained; None for a supernet."""
        return None if self.arch is None else Arch.from_json(self.arch)

    @property
    def resolved_recipe(self) -> Recipe:
        recipe = replace(RECIPES[self.recipe], arch=self.only)
        return (
            recipe if self.random_archs is None else replace(recipe, random_archs=self.random_archs)
        )

    @classmethod
    def from_record(cls, record: dict, **changes: object) -> TrainConfig:
        """The configuration in a weights file's record or a checkpoint's header, with `changes`."""
        return cls(**{**record["config"], **changes})


def quick_precision(device: str | None, recipe: str) -> str:
    """The precision to train in on `device` ("cpu", "cuda" or None for a GPU if there is one)."""
    if (
        device == "cpu" or not torch.cuda.is_available() or RECIPES[recipe].one_arch
    ):  # whose steps can be replayed
        return "float32"
    # GPUs before Ampere, as Colab's T4, only imitate bfloat16, slowly.
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


def arch_text(arch: Arch) -> str:
    """An arch as `TrainConfig.arch` holds it."""
    return json.dumps(arch.to_json(), separators=(",", ":"))


def difference(config: TrainConfig, recorded: dict) -> tuple[str, object, object] | None:
    """The first field in which a recorded configuration is another: its name, theirs and ours."""
    ours = asdict(config)
    theirs = {**asdict(TrainConfig()), **recorded}
    return next(
        (
            (field, value, ours.get(field))
            for field, value in theirs.items()
            if value != ours.get(field)
        ),
        None,
    )


def learning_rate(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """Linear warm-up, then half a cosine down to zero: over the run, or with `phase_schedules` over
    each phase.
    """
    warmup, peak = config.warmup_epochs * steps_per_epoch, config.learning_rate
    begin, end = 0, config.epochs * steps_per_epoch
    if config.phase_schedules:
        phases = RECIPES[config.recipe].phases
        firsts = first_steps(phases, end)
        phase = max(i for i, first in enumerate(firsts) if first <= step)
        begin, end = firsts[phase], [*firsts[1:], end][phase]
        peak *= phases[phase].rate
        if phase:
            warmup = LATER_WARMUP * (end - begin)
    length, step = end - begin, step - begin
    warmup = min(warmup, length / 4)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (length - warmup)))
