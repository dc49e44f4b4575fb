"""From a subnet to a C library that was run here and on an emulated board."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from labkit.data.datasets import DataSet, normalize
from labkit.deploy.deployment import (
    Deployment,
    channels_last,
    split_images,
    top1_percent,
    torch_logits,
)
from labkit.deploy.litert.deployment import converted
from labkit.deploy.litert.micro_interpreter import MicroInterpreter
from labkit.deploy.litert.packages import require_packages
from labkit.deploy.model_record import Opened, model_record, require_class_names
from labkit.firmware.emulated_board import (
    Board,
    BoardReport,
    find_board,
    missing_tools,
    run_on_board,
)
from labkit.firmware.host_build import HostLibrary, compiler
from labkit.firmware.layers import quantized_network
from labkit.firmware.library import (
    RECORD,
    Library,
    Sample,
    read_record,
    require_folder,
    write_files,
    write_library,
)
from labkit.firmware.memory import STACK_BYTES, least_flash, planned_sram
from labkit.firmware.plan import arena_plan
from labkit.space import Arch, SearchSpace, network
from labkit.storage.errors import ExportError, LabError
from labkit.supernet.subnet import Subnet

BOARD_IMAGES = 20
DEFAULT_BOARD = "cortex-m4"

__all__ = ["deploy", "open_model", "require_packages"]


@dataclass(frozen=True, kw_only=True)
class FirmwareDeployment(Deployment):
    """A subnet as a C library, sizes in bytes.

    `accuracy` is torch's in float32; both are of the first `images` of the split. `board` is what
    was measured on the emulated board, None where there was none; `not_run` says why, if nobody
    chose that. `interpreter_*` are TensorFlow Lite Micro's sizes for the same model on this
    machine.
    """

    images: int
    arena_bytes: int
    constant_bytes: int
    interpreter_arena_bytes: int
    interpreter_model_bytes: int
    layers: tuple[str, ...]
    macs: int
    board: BoardReport | None
    not_run: str = ""

    @property
    def memory_bytes(self) -> int:
        return self.board.sram_bytes if self.board else self.arena_bytes + STACK_BYTES

    @property
    def storage_bytes(self) -> int:
        return self.board.flash_bytes if self.board else self.constant_bytes

    def lines(self) -> list[str]:
        lines = [
            f"{self.path} computes what TensorFlow Lite Micro does, to the bit, on the first"
            f" {self.images} images of {self.split}",
            f"int8   {self.int8_accuracy:.2f} %, loses {self.accuracy_drop:.2f} points to torch in"
            " float32",
            f"arena  {self.arena_bytes / 1000:.1f} kB, where the interpreter takes"
            f" {self.interpreter_arena_bytes / 1000:.1f} kB",
            f"const  {self.constant_bytes / 1000:.1f} kB of weights and tables, where its model has"
            f" {self.interpreter_model_bytes / 1000:.1f} kB",
        ]
        board = self.board
        if board is None:
            return [*lines, "board  not run" + (f": {self.not_run}" if self.not_run else "")]
        total = board.total_instructions
        return [
            *lines,
            f"board  {board.board}, emulated ({board.machine}), equal on {board.images} images:",
            f"       flash {board.flash_bytes / 1000:.1f} kB (code {board.code_bytes / 1000:.1f}),"
            f" SRAM {board.sram_bytes / 1000:.1f} kB (stack {board.stack_bytes} bytes)",
            f"       {total / 1e6:.2f} million instructions a picture, {total / self.macs:.2f} for"
            " a multiply-add:",
            *(
                f"       {count / total:6.1%}  {count:>10,}  {layer}"
                for layer, count in zip(self.layers, board.instructions)
            ),
        ]

    def to_json(self) -> dict:
        board = None
        if self.board is not None:
            sizes = {"flash_bytes": self.board.flash_bytes, "sram_bytes": self.board.sram_bytes}
            board = asdict(self.board) | sizes
        return super().to_json() | {"board": board}


def deploy(
    space: SearchSpace,
    subnet: Subnet,
    dataset: DataSet,
    folder: Path,
    *,
    layout: str = "plain",
    board: str | Board | None = None,
    split: str = "test",
    images: int | None = None,
    supernet: str | None = None,
    progress: bool = False,
) -> FirmwareDeployment:
    """Convert `subnet` to int8, write it as C, and compare it with TensorFlow Lite Micro.

    The library is built here and run on the first `images` of the split (None: all); `board`
    ('cortex-m4', or a device whose engine is firmware; None: one if the tools are installed and it
    has room, 'none': none) has it built, run and measured on an emulated board, too, on 20 of them.
    Nothing is written unless all logits are equal to the bit. `supernet` is the SHA-256 of the
    weights that the subnet was taken from. Raises LabError for a folder that holds something else,
    without a compiler or, with a board, without its tools or for an arch that its memory does not
    hold; ExportError where logits differ or the engine lacks what the network has; MissingPackage
    without the extra `mcu`; ValueError for less than one image.
    """
    folder = Path(folder)
    require_folder(folder)
    require_class_names(space, dataset)
    compiler()
    board, not_run = choose_board(space, subnet.arch, board)
    resolution = subnet.arch.resolution
    inputs, labels = split_images(dataset, split, resolution, images)
    model = converted(space, subnet, dataset, inputs, "int8")
    interpreter = MicroInterpreter(model)
    library = c_library(space, subnet, dataset, model, interpreter)
    with tempfile.TemporaryDirectory() as name:
        host = host_library(library, Path(name))
        logits = check_equal(host, interpreter, inputs, progress)
        pixels = image_bytes(inputs[:BOARD_IMAGES], dataset)
        expected = host(library.quantized(pixels))
    measured = None
    if board is not None:
        measured = check_board(library, board, pixels, expected)
    percent = top1_percent(logits, labels)
    sample = Sample(pixels=pixels[0], label=int(labels[0]), logits=expected[0])
    record = model_record(
        space,
        subnet.arch,
        dataset,
        layout="HWC",
        precision="int8",
        percent=percent,
        images=len(inputs),
        split=split,
        runtime="C library",
        supernet=supernet,
        in_scale=interpreter.in_scale,
        out_scale=interpreter.out_scale,
    )
    files = library.files(layout, sample, record)
    write_library(folder, files)
    return FirmwareDeployment(
        arch=subnet.arch,
        path=str(folder),
        split=split,
        accuracy=top1_percent(torch_logits(subnet, inputs), labels),
        int8_accuracy=percent,
        int8_right=logits.argmax(1) == labels.numpy(),
        images=len(inputs),
        arena_bytes=library.plan.arena_bytes,
        constant_bytes=library.constant_bytes,
        interpreter_arena_bytes=interpreter.arena().total,
        interpreter_model_bytes=len(model),
        layers=tuple(operator.place for operator in library.network.operators),
        macs=sum(operator.macs for operator in library.network.operators),
        board=measured,
        not_run=not_run,
    )


def choose_board(
    space: SearchSpace, arch: Arch, name: str | Board | None
) -> tuple[Board | None, str]:
    """The board to run it on, None for none, and why none where no `name` chose that.

    Raises LabError unless the memory of a board with a name holds the arena, the stack, constants
    and kernels.
    """
    if name == "none":
        return None, ""
    if name is None and missing_tools():
        return None, f"{', '.join(missing_tools())} not installed"
    board = find_board(name or DEFAULT_BOARD)
    for memory, needed, size in (
        ("SRAM", planned_sram(space, arch, board.core), board.sram_bytes),
        ("flash", least_flash(space, arch, board.core), board.flash_bytes),
    ):
        if needed > size:
            problem = (
                f"{board.name!r} has {size:,} bytes of {memory} for the network, and {arch} takes"
                f" {needed:,}"
            )
            if name is None:
                return None, problem
            raise LabError(f"{problem}; {board.advice}")
    return board, ""


def c_library(
    space: SearchSpace,
    subnet: Subnet,
    dataset: DataSet,
    model: bytes,
    interpreter: MicroInterpreter,
) -> Library:
    """The library of a subnet whose int8 model is `model`."""
    operators = network.operators(space, subnet.arch)
    return Library(
        title=f"a subnet of {space.name}",
        arch=subnet.arch,
        network=quantized_network(model, operators),
        plan=arena_plan(operators),
        classes=tuple(dataset.classes),
        mean=tuple(dataset.mean),
        std=tuple(dataset.std),
        pixels=pixel_table(interpreter, dataset),
    )


def open_model(path: Path) -> Opened:
    """The record of a library's folder, and a function of images (N, C, r, r) that builds it here
    and gives its logits (N, classes).
    """
    record = read_record(path)
    if record.input.scale is None or record.output.scale is None:
        raise LabError(f"{path / RECORD}: the network is not int8; deploy the subnet again")

    def run(images: Tensor) -> np.ndarray:
        sources = path if (path / "net.c").is_file() else path / "src"
        sizes = {"in_values": images[0].numel(), "classes": len(record.output.classes)}
        with tempfile.TemporaryDirectory() as build:
            host = HostLibrary(sources, Path(build), **sizes)
            integers = np.concatenate([*map(record.input.scale.integers, channels_last(images))])
            return record.output.scale.values(host(integers))

    return record, run


def host_library(library: Library, build: Path) -> HostLibrary:
    """The library compiled for this machine in the folder `build`."""
    write_files(build, library.sources())
    values = int(np.prod(library.input_shape))
    return HostLibrary(build, build, in_values=values, classes=len(library.classes))


def pixel_table(interpreter: MicroInterpreter, dataset: DataSet) -> np.ndarray:
    """(channels, 256) int8: what the network takes for a channel's values 0 to 255."""
    values = torch.arange(256, dtype=torch.uint8)[:, None, None, None]
    normalized = normalize(values.expand(-1, len(dataset.mean), -1, -1), dataset)
    return interpreter.in_scale.integers(normalized.numpy())[:, :, 0, 0].T.copy()


def image_bytes(images: Tensor, dataset: DataSet) -> np.ndarray:
    """Normalized images (N, C, r, r) as the nearest bytes (N, r, r, C)."""
    mean, std = (torch.tensor(v)[:, None, None] for v in (dataset.mean, dataset.std))
    pixels = ((images * std + mean) * 255).round().clamp(0, 255)
    return pixels.to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def check_equal(
    host: HostLibrary, interpreter: MicroInterpreter, images: Tensor, progress: bool = False
) -> np.ndarray:
    """Logits (N, classes) int8 of normalized images (N, C, r, r), of which both make the same.

    Raises ExportError where a logit of the host's library differs from the interpreter's.
    """
    integers = np.concatenate(
        [interpreter.in_scale.integers(image) for image in channels_last(images)]
    )
    logits = host(integers)
    batch = tqdm(integers, desc="TensorFlow Lite Micro", unit="image", disable=not progress)
    reference = np.stack([interpreter.integers(image[None]) for image in batch])
    _require_equal(logits, reference, "the library on this machine", "TensorFlow Lite Micro")
    return logits


def check_board(
    library: Library, board: Board, pixels: np.ndarray, expected: np.ndarray
) -> BoardReport:
    """What is measured on the board; ExportError where its logits are not those `expected`."""
    logits, report = run_on_board(
        library.sources(),
        board,
        pixels,
        classes=len(library.classes),
        arena_bytes=library.plan.arena_bytes,
    )
    _require_equal(logits, expected, f"the library on {board.name}", "the library on this machine")
    return report


def _require_equal(logits: np.ndarray, reference: np.ndarray, what: str, other: str) -> None:
    different = (logits != reference).any(1)
    if different.any():
        raise ExportError(
            f"{what} and {other} differ on {int(different.sum())} of {len(logits)} images, first"
            f" on image {int(different.argmax())}; nothing was written"
        )
