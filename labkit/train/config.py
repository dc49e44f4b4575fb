"""What decides a training run: its configuration and its learning-rate schedule."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace

import torch

from labkit.data.augmentation import AUGMENTATIONS, DEFAULT_AUGMENTATIONS
from labkit.data.record import FITS, ImageForm
from labkit.space import Arch, SearchSpace
from labkit.space.definition import definition, space_from
from labkit.space.presets import get_space, spaces
from labkit.space.space_file import SUFFIX
from labkit.storage.config_fields import (
    check_fraction,
    check_not_negative,
    check_positive,
    check_whole,
)
from labkit.train.arch_sampling import SAMPLINGS
from labkit.train.progressive_shrinking import first_steps
from labkit.train.recipes import RECIPES, Recipe
from labkit.train.resumable_run import first_difference

# Precisions of the arithmetic under which weights stay float32 (autocast).
AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}
PRECISIONS = ("float32", "float64", *AUTOCAST)
SEED_LIMIT = 2**32  # torch takes 64 bits, and every epoch's plan gets a seed of its own
LATER_WARMUP = 5 / 120  # of a later phase's steps, as in OFA's elastic phases

# What a recipe must have for an option to mean something, and what those without it do.
NEEDS = {
    "arch": ("one_arch", "trains many archs"),
    "random_archs": ("random_archs", "does not draw archs by number"),
    "sampling": ("random_archs", "does not draw archs by number"),
    "widths": ("random_archs", "does not draw archs by number"),
    "label_share": ("distill", "has no largest arch that teaches"),
    "phase_schedules": ("phases", "has no phases to give schedules to"),
}


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the weights a run ends with, up to the machine's arithmetic.

    The default of a field that a checkpoint lacks is what the code that wrote it did.
    """

    space: str = "fmnist"  # a name, or the JSON text of a definition (`space_text`)
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
    teacher: str | None = None  # trained supernet whose largest arch teaches as well
    erase: float = 0.0  # share of the images that have a rectangle erased
    phase_schedules: bool = False  # a recipe with phases: a schedule for each, not one over all
    precision: str = "float32"  # of the arithmetic
    recompute: bool = False  # compute activations again in the backward pass: slower, less memory
    # Trained supernet to begin with: name, folder or weights file. What archs narrower than all
    # `widths` use of it stays as it is.
    initial: str | None = None
    random_archs: int | None = None  # drawn in each step; None: as many as the recipe says
    sampling: str = "choices"  # how these are drawn
    widths: str = ""  # width multipliers that are trained, commas between; empty: all
    label_share: float = 0.0  # of the loss of the archs that learn from the step's largest
    crop_padding: int = 2  # pixels by which a training image may be shifted, either way
    augment: str = ",".join(DEFAULT_AUGMENTATIONS)  # names of AUGMENTATIONS, commas between
    fit: str = "crop"  # how pictures that are not square become so, as `ImageForm.fit`

    @property
    def search_space(self) -> SearchSpace:
        if self.space.startswith("{"):
            return space_from(json.loads(self.space), "training configuration: space")
        return get_space(self.space)

    @property
    def trained_space(self) -> SearchSpace:
        """The space of the widths that are trained; its archs are archs of `search_space`."""
        space = self.search_space
        names = {f"{width:g}": width for width in space.widths}
        trained = self.widths.split(",") if self.widths else names
        for name in trained:
            if name not in names:
                known = ", ".join(names)
                raise ValueError(f"unknown width {name!r}, known in {space.name!r}: {known}")
        return replace(space, widths=tuple(names[name] for name in names if name in trained))

    @property
    def augmentations(self) -> tuple[str, ...]:
        return tuple(filter(None, self.augment.split(",")))

    @property
    def image_form(self) -> ImageForm:
        """Of pictures of any size: as large as the largest subnet takes them."""
        space = self.search_space
        return ImageForm(space.in_channels, space.resolutions[-1], self.fit)

    def __post_init__(self) -> None:
        if isinstance(self.space, SearchSpace) or self.space.endswith(SUFFIX):
            space = self.space if isinstance(self.space, SearchSpace) else get_space(self.space)
            object.__setattr__(self, "space", space_text(space))  # what a file says may change
        space = self.trained_space  # raises for widths that the space lacks
        if self.recipe not in RECIPES:
            raise ValueError(f"unknown recipe {self.recipe!r}, known: {', '.join(RECIPES)}")
        check_whole(self, "epochs", "batch", "steps_per_epoch", "random_archs")
        check_whole(self, "seed", "crop_padding", least=0)
        check_positive(self, "learning_rate")
        check_not_negative(self, "weight_decay", "warmup_epochs")
        check_fraction(self, "momentum", "label_smoothing", "ema_decay")
        if self.seed >= SEED_LIMIT:
            raise ValueError(f"seed must be from 0 to {SEED_LIMIT - 1}, got {self.seed}")
        for field, of in (("erase", "the images"), ("label_share", "a loss")):
            if not 0 <= getattr(self, field) <= 1:
                raise ValueError(
                    f"{field} is a share of {of}, from 0 to 1, got {getattr(self, field)}"
                )
        for field, known in (("precision", PRECISIONS), ("sampling", SAMPLINGS), ("fit", FITS)):
            value = getattr(self, field)
            if value not in known:
                raise ValueError(f"unknown {field} {value!r}, known: {', '.join(known)}")
        unknown = sorted({*self.augmentations} - {*AUGMENTATIONS})
        if unknown:
            known = ", ".join(AUGMENTATIONS)
            raise ValueError(f"unknown augmentation {unknown[0]!r}, known: {known}")
        self._check_recipe(RECIPES[self.recipe])
        if self.only is not None:
            space.validate(self.only)

    def _check_recipe(self, recipe: Recipe) -> None:
        """Raise ValueError for an option that the recipe lacks, or has no use for."""
        message = None
        if recipe.one_arch and self.arch is None:
            message = "trains one arch: say which (arch)"
        elif self.teacher is not None and recipe.phases:
            message = f"makes its own teacher; leave out teacher ({self.teacher})"
        for field, (feature, reason) in NEEDS.items():
            value = getattr(self, field)
            if value != getattr(TrainConfig, field) and not getattr(recipe, feature):
                message = f"{reason}; leave out {field} ({value})"
        if message is not None:
            raise ValueError(f"recipe {self.recipe!r} {message}")

    @property
    def only(self) -> Arch | None:
        """The one arch that is trained; None for a supernet."""
        return None if self.arch is None else Arch.from_json(self.arch)

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return torch.float64 if self.precision == "float64" else torch.float32

    @property
    def resolved_recipe(self) -> Recipe:
        """The recipe with this run's arch, random archs, their sampling and their loss."""
        recipe = RECIPES[self.recipe]
        count = recipe.random_archs if self.random_archs is None else self.random_archs
        options = {"sampling": self.sampling, "label_share": self.label_share}
        return replace(recipe, arch=self.only, random_archs=count, **options)

    def difference(self, recorded: dict) -> tuple[str, object, object] | None:
        """The first field that differs in a recorded configuration: name, its value, this one's."""
        return first_difference(asdict(self), {**asdict(TrainConfig()), **recorded})


def quick_precision(device: str | None, recipe: str) -> str:
    """The precision to train in on `device` ("cpu", "cuda" or None for a GPU if there is one)."""
    # An unknown recipe is refused by the configuration, which names the known ones.
    replayed = recipe in RECIPES and RECIPES[recipe].one_arch  # as a CUDA graph, quick in float32
    if device == "cpu" or not torch.cuda.is_available() or replayed:
        return "float32"
    # GPUs before Ampere, as Colab's T4, only imitate bfloat16, slowly.
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


def space_text(space: SearchSpace) -> str:
    """A space as `TrainConfig.space` holds it: the name of one that ships, or its definition."""
    if spaces.get(space.name) == space:
        return space.name
    return json.dumps(definition(space), separators=(",", ":"))


def arch_text(arch: Arch) -> str:
    """An arch as `TrainConfig.arch` holds it."""
    return json.dumps(arch.to_json(), separators=(",", ":"))


def learning_rate(config: TrainConfig, step: float, steps_per_epoch: int) -> float:
    """The rate of a step: linear warm-up, then half a cosine down to zero.

    One such schedule over the whole run, or with `phase_schedules` one over each phase.

    >>> config = TrainConfig(epochs=10, learning_rate=0.2, warmup_epochs=1)
    >>> [round(learning_rate(config, step, 50), 4) for step in (0, 49, 50, 275, 499)]
    [0.0039, 0.1961, 0.2, 0.1, 0.0]
    """
    peak, warmup = config.learning_rate, config.warmup_epochs * steps_per_epoch
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
    return cosine(peak, 0.0, (step - warmup) / (length - warmup))


def cosine(start: float, end: float, progress: float) -> float:
    """Half a cosine: from `start` to `end` as `progress` goes from 0 to 1."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * progress))
