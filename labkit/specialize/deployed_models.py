"""Chosen subnets deployed to the devices that they were chosen for, verified and measured here.

Each device takes what its engine runs: an ONNX model, a TFLite model, or a folder of firmware,
which an emulated board has linked within the device's memory and run. How good the other devices'
subnets would be there is measured on models of the same kind, which nobody keeps. Where what makes
a kind of model is not installed, ONNX stands in for it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tqdm.auto import tqdm

from labkit.latency.devices import Device
from labkit.specialize.choices import Choice
from labkit.specialize.targets import Target
from labkit.storage.atomic_write import write_atomic, write_folder_atomic
from labkit.storage.errors import LabError
from labkit.storage.provenance import sha256
from labkit.supernet.folder import TrainedSupernet

if TYPE_CHECKING:
    from labkit.deploy.deployment import Deployment
    from labkit.firmware.emulated_board import Board

SPLIT = "val"
JUDGED_IMAGES = 1000  # by interpreters, which are slow
ENDINGS = {"onnx": ".onnx", "litert": ".tflite", "tflm": ".tflite", "firmware": ""}
PRECISIONS = {"fp32": "float32", "fp16": "float16", "int8": "int8"}


class Kind(NamedTuple):
    """A kind of model: the ending of its name, its precision, and the board that firmware is for.

    ONNX's is always float32, with an int8 model beside it where a device asks for that.
    """

    ending: str
    precision: str
    board: Board | str | None = None


class Deployed(NamedTuple):
    """`cells[s][d]` is subnet s as device d takes it; `files[s]` that of the device that it was
    chosen for, None for the subnet of all. `remarks` say where ONNX stands in, and why.
    """

    cells: list[list[Deployment]]
    files: list[Deployment | None]
    remarks: list[str]


def kind_of(device: Device) -> tuple[Kind, str | None]:
    """What `device` takes, and why that is not what its engine runs, if it is not."""
    from labkit.formats.table import FORMATS

    ending = ENDINGS[device.engine]
    if ending == ".onnx":
        return Kind(ending, "float32"), None
    try:
        FORMATS[ending].module.require_packages()
    except LabError as error:
        return Kind(".onnx", "float32"), f"ONNX stands in for {FORMATS[ending].name}: {error}"
    return Kind(ending, PRECISIONS[device.precision], None if ending else _board(device)), None


def _board(device: Device) -> Board | str:
    from labkit.firmware.emulated_board import board_of, missing_tools

    return "none" if missing_tools() else board_of(device)


def deploy_all(
    trained: TrainedSupernet,
    targets: Sequence[Target],
    choices: Sequence[Choice],
    out: Path,
    *,
    progress: bool = True,
) -> Deployed:
    """Deploy each device's subnet to `out`/DEVICE with the ending of what it takes, verify it, and
    measure the accuracy of all subnets as each device would run them, on images of val.

    A subnet that several devices chose is deployed once for all that take the same kind of model,
    and its files are copied.
    """
    from labkit.formats.table import FORMATS
    from labkit.supernet.evaluation import Evaluator

    devices = [target.costs.device for target in targets]
    kinds, remarks = zip(*map(kind_of, devices))
    int8 = any(
        kind.ending == ".onnx" and device.precision == "int8"
        for kind, device in zip(kinds, devices)
    )
    supernet, dataset = trained.supernet, trained.dataset
    evaluator, digest = Evaluator(supernet, dataset, SPLIT), sha256(trained.weights_path)

    @cache
    def subnet(arch):
        return supernet.extract(arch, evaluator.recalibrate(arch))

    def deploy(arch, kind: Kind, path: Path) -> Deployment:
        form = FORMATS[kind.ending]
        values = kind._asdict() | {"int8": int8, "images": JUDGED_IMAGES}
        options = {name: value for name, value in values.items() if name in form.options}
        return form.module.deploy(
            trained.space, subnet(arch), dataset, path, split=SPLIT, supernet=digest, **options
        )

    known: dict[tuple, Deployment] = {}
    owned = {choice.owner: choice.arch for choice in choices}
    files = {}
    with tempfile.TemporaryDirectory() as elsewhere:
        for device, kind in tqdm(
            list(zip(devices, kinds)), desc="deploying", unit="device", disable=not progress
        ):
            key, path = (owned[device.name], kind), out / f"{device.name}{kind.ending}"
            if key in known:
                files[device.name] = _copied(known[key], path)
            else:
                files[device.name] = known[key] = deploy(*key, path)
        cells = []
        for choice in tqdm(choices, desc="measuring", unit="subnet", disable=not progress):
            cells.append([])
            for kind in kinds:
                if (choice.arch, kind) not in known and not kind.ending:
                    kind = Kind(".tflite", "int8")  # computes what firmware does, to the bit
                key = choice.arch, kind
                if key not in known:
                    path = Path(elsewhere) / f"{len(known)}{kind.ending}"
                    known[key] = deploy(*key, path)
                cells[-1].append(known[key])
    return Deployed(
        cells,
        [files.get(choice.owner) for choice in choices],
        list(dict.fromkeys(filter(None, remarks))),
    )


def _copied(model: Deployment, path: Path) -> Deployment:
    """The same subnet with its files again, called `path` and, of ONNX, NAME.int8.onnx beside."""

    def copy(source: str, target: Path) -> str:
        if Path(source).is_dir():
            write_folder_atomic(
                target, lambda folder: shutil.copytree(source, folder, dirs_exist_ok=True)
            )
            return str(target)
        for ending in ("", ".json"):  # the record beside it
            write_atomic(
                target.with_name(target.name + ending),
                lambda temporary, ending=ending: shutil.copyfile(source + ending, temporary),
            )
        return str(target)

    path_of_int8 = getattr(model, "int8_path", None)
    copies = {"path": copy(model.path, path)}
    if path_of_int8 is not None:
        copies["int8_path"] = copy(path_of_int8, path.with_suffix(".int8.onnx"))
    return replace(model, **copies)


def remove_stale(out: Path, names: Sequence[str], models: Sequence[Deployment | None]) -> None:
    """Delete what an earlier run left in `out`: files, with their records, and folders of firmware
    that are called like a model of one of `names` and are none of `models`.
    """
    from labkit.firmware.library import read_record

    paths = [
        path for model in models if model for path in (model.path, getattr(model, "int8_path", ""))
    ]
    current = {Path(path).name for path in paths if path}
    for name in names:
        for ending in (".onnx", ".int8.onnx", ".tflite"):
            if (file := f"{name}{ending}") not in current:
                (out / file).unlink(missing_ok=True)
                (out / f"{file}.json").unlink(missing_ok=True)
        if name not in current and (out / name).is_dir():
            try:
                read_record(out / name)
            except LabError:  # a folder of somebody else's
                continue
            shutil.rmtree(out / name)
