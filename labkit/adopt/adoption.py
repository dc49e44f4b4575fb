"""From a folder of images to a network for each device, in a number of minutes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from labkit.adopt.after_training import count_pairs, rehearse_deploying
from labkit.adopt.clock import Clock
from labkit.adopt.plan import (
    LEAST_EPOCHS,
    Plan,
    PlanError,
    candidates,
    make_plan,
    use_faster_threads,
)
from labkit.adopt.project_folder import NETWORKS, SPACE, SUPERNET
from labkit.adopt.space_template import write_space
from labkit.adopt.trained_once import trained_once
from labkit.data.picture_folder import PictureFolder, require_outside, survey
from labkit.latency.devices import HOST, Device, get_device
from labkit.latency.measured.table_files import host_table
from labkit.runtime.machine import choose_device
from labkit.space import SearchSpace
from labkit.space.presets import get_space
from labkit.specialize.choices import require_distinct_devices
from labkit.specialize.deployment_matrix import DeploymentMatrix, specialize
from labkit.specialize.device_costs import measurement_bar
from labkit.specialize.targets import Request
from labkit.storage.atomic_write import write_json
from labkit.storage.json_fields import Fields, read_json
from labkit.supernet.accuracy_files import PREDICTOR
from labkit.supernet.accuracy_measurement import measure
from labkit.supernet.folder import TrainedSupernet, load
from labkit.supernet.weights_file import WEIGHTS
from labkit.train import TrainConfig

SCHEMA, PLAN = "labkit-adoption-2", "plan.json"
# Shares of all the time that measuring gets, and deploying until it was tried how long it takes.
MEASURING, DEPLOYING = 0.15, 0.12
LEAST_PAIRS, MOST_PAIRS = 60, 2000
HOST_TABLE_SHARE = 0.15  # of the time, after which this machine's latencies are not measured again
REPORT_SHARE = 0.02  # of the time, for what comes after deploying

Say = Callable[[str], None]


@dataclass
class Adoption:
    """What was made of a folder of images, and how long each part took, in seconds."""

    trained: TrainedSupernet
    plan: Plan
    matrix: DeploymentMatrix
    minutes: float
    clock: Clock

    @property
    def seconds(self) -> dict[str, float]:
        """Of each part; the last one, the report, goes on."""
        return self.clock.seconds

    @property
    def epochs(self) -> int:
        return self.trained.record["config"]["epochs"]

    @property
    def pairs(self) -> int:
        return len(self.trained.pairs.genes)

    @property
    def total_seconds(self) -> float:
        return self.clock.total


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
    since: float | None = None,
) -> Adoption:
    """Choose a space for the images in `folder`, train, measure, search and deploy, into `out`.

    The space is as expensive as training in it is possible in the time; training ends by the clock,
    subnets are then measured until what deploying takes is left. The same call goes on where one
    stopped, however it was stopped: `out`/plan.json has what was planned, clock.json the time. This
    began at `since`, in seconds of time.monotonic, or now.

    Raises DataError for images that are no data set, DeviceError for an unknown device, ValueError
    for one that is given twice, PlanError where the time is too short or the devices too small, or
    `out` has a plan for other images or options.
    """
    require_distinct_devices(requests)
    devices = [get_device(request.device) for request in requests]
    out, pictures = Path(out), PictureFolder(folder)
    require_outside(out, pictures.path)
    plan = _read_plan(out / PLAN) if (out / PLAN).is_file() else None
    if plan is not None:
        _require_same(plan, out, dataset=str(pictures.path), augment=augment, seed=seed)
    clock, limit = Clock(out / "clock.json", "planning", since), (1 - REPORT_SHARE) * 60 * minutes
    spaces = [] if plan else _spaces(pictures, devices)
    with clock:
        if choose_device(device).type == "cpu":
            use_faster_threads()
        if plan is None:
            say(f"{len(pictures)} images in {len(pictures.classes)} classes: measuring speeds here")
            options = {"augment": augment, "seed": seed, "device": device}
            plan = _plan(pictures, spaces, requests, limit, clock, options, say, progress)
            _write_plan(out / PLAN, plan)
        config, space, run = plan.config, plan.config.search_space, out / SUPERNET
        if not (out / SPACE).exists():
            write_space(out / SPACE, space)
        elif get_space(str(out / SPACE)) != space:
            raise PlanError(
                f"{out / SPACE} is not the space that was planned; remove it to have that one"
                " written, or train in yours (`labkit train --space`)"
            )
        before = clock.total - clock.seconds.get("training", 0.0)
        seconds = max(1.0, (1 - MEASURING) * limit - plan.deploying_seconds - before)
        if not (run / WEIGHTS).is_file():
            clock.begin("training")
            say(
                f"space {space.resolutions[-1]} px, {space.size():.3g} subnets: training for"
                f" {seconds / 60:.1f} minutes, about {config.epochs} epochs"
            )

        options = {"progress": progress, "device": device}
        trained = trained_once(
            config, run, clock=lambda: clock.seconds["training"] / seconds, **options
        )
        if PREDICTOR in trained.missing():
            clock.begin("measuring")
            # Where this machine became slower or faster, deploying does as well.
            epoch_seconds = clock.seconds["training"] / trained.record["config"]["epochs"]
            deploying = plan.deploying_seconds * epoch_seconds / plan.epoch_seconds
            if not plan.pairs:  # an interrupted run goes on with as many
                pairs = count_pairs(trained, limit - deploying - clock.total)
                plan = replace(plan, pairs=min(MOST_PAIRS, max(LEAST_PAIRS, pairs)))
                _write_plan(out / PLAN, plan)
            say(f"measuring {plan.pairs} subnets")
            measure(trained, plan.pairs, seed, progress, device)
            trained = load(run)
        clock.begin("deploying")
        say("choosing, deploying and measuring a subnet for each device")
        matrix = specialize(trained, requests, out / NETWORKS, seed=seed, progress=progress)
        clock.begin("report")
    return Adoption(trained, plan, matrix, minutes, clock)


def with_more_time(adoption: Adoption, factor: float = 4.0) -> str:
    """What `factor` times the minutes would be used for, in a sentence."""
    space = adoption.trained.space
    epochs = int(factor * adoption.epochs)
    larger = epochs > 2 * LEAST_EPOCHS
    use = f"{epochs} instead of {adoption.epochs} epochs"
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


def _spaces(pictures: PictureFolder, devices: Sequence[Device]) -> list[SearchSpace]:
    """Spaces for the images in which something fits the devices, the most expensive first."""
    channels, side = survey(pictures)
    shape = {"classes": len(pictures.classes), "channels": channels, "side": side}
    spaces = list(candidates(_name_of(pictures.path), devices=devices, **shape))
    if not spaces:
        names = ", ".join(d.name for d in devices if d.sram_bytes is not None)
        raise PlanError(f"no space for these images has a subnet that fits {names}")
    return spaces


def _plan(
    pictures: PictureFolder,
    spaces: Sequence[SearchSpace],
    requests: Sequence[Request],
    limit: float,
    clock: Clock,
    options: dict,
    say: Say,
    progress: bool,
) -> Plan:
    """The space and how long to train in it, after all that is done before training."""
    reserve, on_host = MEASURING * limit, HOST in {each.device for each in requests}
    latencies = HOST_TABLE_SHARE * limit if on_host else 0.0
    seconds = limit - reserve - DEPLOYING * limit - latencies - clock.total
    plan = make_plan(pictures.path, spaces, seconds, **options)
    if on_host:
        clock.begin("latency table")
        say("measuring this machine's latencies")
        with measurement_bar(progress) as show:
            host_table(plan.config.search_space, progress=show, seconds=latencies)
    clock.begin("rehearsal")
    say("trying how long deploying takes")
    deploying = rehearse_deploying(plan.config, requests, options["device"])
    plan = plan.within(limit - reserve - deploying - clock.total)
    return replace(plan, deploying_seconds=deploying)


def _name_of(folder: Path) -> str:
    letters = "".join(c if c.isascii() and c.isalnum() else "-" for c in folder.name)
    return letters.strip("-")[:40] or "images"


def _require_same(plan: Plan, folder: Path, **options: object) -> None:
    """Raise PlanError where the plan in `folder` was made with another of these options."""
    for option, value in options.items():
        planned = getattr(plan.config, option)
        if planned != value:
            raise PlanError(
                f"{folder} was begun with {option} {planned!r}, not {value!r}; go on with the same,"
                " or choose another folder (--out DIR)"
            )


def _write_plan(path: Path, plan: Plan) -> None:
    write_json(path, {"schema": SCHEMA, **asdict(plan)})


def _read_plan(path: Path) -> Plan:
    advice = f"remove {path.parent} to begin anew"
    fields = Fields(read_json(path, PlanError, advice), path, PlanError, advice=advice)
    fields.require_schema(SCHEMA)
    try:
        config = TrainConfig(**fields.get("config", dict))
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise PlanError(f"{path}: config: {error}; {advice}") from None
    seconds = fields.positive("epoch_seconds"), fields.amount("deploying_seconds")
    return Plan(config, *seconds, pairs=fields.get("pairs", int))
