"""From a folder of images to a network for each device, in a number of minutes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from labkit.adopt.plan import LEAST_EPOCHS, Plan, PlanError, arch_seconds, candidates, make_plan
from labkit.adopt.project_folder import NETWORKS, SPACE, SUPERNET
from labkit.adopt.space_template import write_space
from labkit.adopt.trained_once import trained_once
from labkit.data.picture_folder import PictureFolder, survey
from labkit.latency.devices import HOST, get_device
from labkit.latency.measured.table_files import has_host_table
from labkit.space import SearchSpace
from labkit.specialize.deployment_matrix import DeploymentMatrix, specialize
from labkit.specialize.device_costs import DeviceCosts
from labkit.specialize.targets import Request
from labkit.storage.atomic_write import write_json
from labkit.storage.json_fields import Fields, read_json
from labkit.supernet.accuracy_measurement import measure
from labkit.supernet.folder import TrainedSupernet, load
from labkit.supernet.weights_file import WEIGHTS
from labkit.train import TrainConfig

SCHEMA = "labkit-adoption-1"
# Shares of all the time that are kept for what comes after training.
MEASURING, DEPLOYING = 0.15, 0.12
LEAST_PAIRS, MOST_PAIRS = 60, 2000
HOST_TABLE_SHARE = 0.35  # of the time, at most, that is kept for measuring this machine

Say = Callable[[str], None]


@dataclass
class Adoption:
    """What was made of a folder of images, and how long each part took, in seconds."""

    trained: TrainedSupernet
    plan: Plan
    matrix: DeploymentMatrix
    minutes: float
    pairs: int
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def total_seconds(self) -> float:
        return sum(self.seconds.values())


class _Clock:
    """What each part takes; what an interrupted run took before counts as well."""

    def __init__(self, before: dict[str, float]) -> None:
        self.seconds, self._mark = dict(before), time.monotonic()

    def end(self, part: str) -> None:
        now = time.monotonic()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._mark
        self._mark = now

    @property
    def total(self) -> float:
        return sum(self.seconds.values()) + time.monotonic() - self._mark


def adopt(
    folder: Path,
    out: Path,
    requests: Sequence[Request],
    minutes: float,
    *,
    augment: str = "crop,flip",
    seed: int = 0,
    device: str | None = None,
    say: Say = lambda text: None,
    progress: bool = True,
) -> Adoption:
    """Choose a space for the images in `folder`, train, measure, search and deploy, into `out`.

    The same call goes on where an interrupted one stopped: what was planned is in `out`/plan.json.
    Raises DataError for images that are no data set, DeviceError for an unknown device, PlanError
    where the time is too short or the devices too small.
    """
    devices = [get_device(request.device) for request in requests]
    pictures, plan_file = PictureFolder(folder), Path(out) / "plan.json"
    plan, before = _read_plan(plan_file) if plan_file.is_file() else (None, {})
    clock, limit = _Clock(before), 60 * minutes
    if plan is None:
        channels, side = survey(pictures)
        shape = {"classes": len(pictures.classes), "channels": channels, "side": side}
        spaces = list(candidates(_name_of(pictures.path), devices=devices, **shape))
        if not spaces:
            names = ", ".join(d.name for d in devices if d.sram_bytes is not None)
            raise PlanError(f"no space for these images has a subnet that fits {names}")
        say(
            f"{len(pictures)} images in {len(pictures.classes)} classes, some {side} px: measuring"
            " how fast training is here"
        )
        reserve = (MEASURING + DEPLOYING) * limit
        if HOST in {each.name for each in devices}:
            reserve += _host_seconds(spaces[-1], limit)
        options = {"augment": augment, "seed": seed, "device": device}
        plan = make_plan(pictures.path, spaces, limit - reserve - clock.total, **options)
        clock.end("planning")
        if HOST in {each.name for each in devices}:
            say("measuring this machine's latencies")
            DeviceCosts(plan.config.search_space, get_device(HOST), progress=progress)
            clock.end("latency table")
            plan = plan.within(limit - (MEASURING + DEPLOYING) * limit - clock.total)
        _write_plan(plan_file, plan, clock)
    space = plan.config.search_space
    if not (Path(out) / SPACE).exists():
        write_space(Path(out) / SPACE, space)
    run = Path(out) / SUPERNET
    is_new = not (run / WEIGHTS).is_file()
    if is_new:
        say(
            f"space {space.resolutions[-1]} px, {space.size():.3g} subnets: training"
            f" {plan.config.epochs} epochs, about {plan.training_seconds / 60:.1f} minutes"
        )
    trained = trained_once(plan.config, run, progress=progress, device=device)
    if is_new:
        clock.end("training")
        _write_plan(plan_file, plan, clock)
    if "predictor.npz" in trained.missing():
        per_arch = arch_seconds(trained.supernet, trained.dataset)
        pairs = int(max(0.0, limit * (1 - DEPLOYING) - clock.total) / per_arch)
        pairs = min(MOST_PAIRS, max(LEAST_PAIRS, pairs))
        say(f"measuring {pairs} subnets")
        measure(trained, pairs, seed, progress, device)
        clock.end("measuring")
        _write_plan(plan_file, plan, clock)
        trained = load(run)
    say("choosing, deploying and measuring a subnet for each device")
    matrix = specialize(trained, requests, Path(out) / NETWORKS, seed=seed, progress=progress)
    clock.end("deploying")
    _write_plan(plan_file, plan, clock)
    return Adoption(trained, plan, matrix, minutes, len(trained.pairs.genes), clock.seconds)


def with_more_time(adoption: Adoption, factor: float = 4.0) -> str:
    """What `factor` times the minutes would be used for, in a sentence."""
    plan, space = adoption.plan, adoption.plan.config.search_space
    epochs = int(factor * plan.config.epochs)
    larger = epochs > 2 * LEAST_EPOCHS
    use = f"{epochs} instead of {plan.config.epochs} epochs"
    if larger:
        use += (
            f", or a space with {epochs / LEAST_EPOCHS:.0f} times the MACs (this one has up to"
            f" {space.resolutions[-1]} px and {space.stages[-1].width} channels)"
        )
    return (
        f"With {factor * adoption.minutes:g} minutes it would train {use}, and measure"
        f" {min(MOST_PAIRS, int(factor * adoption.pairs))} instead of {adoption.pairs} subnets for"
        " the predictor."
    )


def _host_seconds(space: SearchSpace, limit: float) -> float:
    """What measuring this machine takes, at most about, where it was not measured yet."""
    from labkit.latency.measured.blocks import timed_blocks
    from labkit.latency.measured.measurement import CALIBRATION_SUBNETS, limits_for

    if has_host_table(space):
        return 0.0
    limits, calls = limits_for(space), len(timed_blocks(space)) + CALIBRATION_SUBNETS
    return min(2 * calls * limits.seconds * limits.min_rounds, HOST_TABLE_SHARE * limit)


def _name_of(folder: Path) -> str:
    letters = "".join(c if c.isascii() and c.isalnum() else "-" for c in folder.name)
    return letters.strip("-")[:40] or "images"


def _write_plan(path: Path, plan: Plan, clock: _Clock) -> None:
    value = {
        "schema": SCHEMA,
        "config": asdict(plan.config),
        "epoch_seconds": plan.epoch_seconds,
        "seconds": clock.seconds,
    }
    write_json(path, value)


def _read_plan(path: Path) -> tuple[Plan, dict[str, float]]:
    advice = f"remove {path.parent} to begin anew"
    fields = Fields(read_json(path, PlanError, advice), path, PlanError, advice=advice)
    fields.require_schema(SCHEMA)
    seconds = fields.object("seconds")
    try:
        config = TrainConfig(**fields.get("config", dict))
    except (TypeError, ValueError) as error:
        raise PlanError(f"{path}: config: {error}; {advice}") from None
    plan = Plan(config, fields.positive("epoch_seconds"))
    return plan, {name: seconds.amount(name) for name in seconds.value}
