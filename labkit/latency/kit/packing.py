"""A kit to measure a board with.

The zip holds a model of every block and of the calibration subnets, the timing harness and one
script. Python runs a zip, so on the board `python3 kit.zip` is all there is to do; it needs numpy
and onnxruntime, neither torch nor labkit. Weights are filler that repeats, so a kit of 100 MB of
models packs into a few.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from importlib import resources
from pathlib import Path

from labkit.latency.measured.blocks import timed_blocks
from labkit.latency.measured.latency_file import contents
from labkit.latency.measured.measurement import (
    CALIBRATION_SUBNETS,
    anchor_block,
    calibration_genes,
    limits_for,
)
from labkit.latency.measured.plausibility import MIN_SUBNETS
from labkit.latency.measured.runtimes import block_file, subnet_file
from labkit.runtime.timing import TimingLimits
from labkit.space import SearchSpace
from labkit.storage.atomic_write import write_atomic

# The modules of labkit that run on the board, at the places that they have here.
BOARD_MODULES = (
    "labkit.runtime.cores",
    "labkit.runtime.machine_lock",
    "labkit.runtime.timing",
    "labkit.latency.kit.board_script",
    "labkit.latency.kit.crash_report",
    "labkit.latency.kit.partial_run",
)
PACKAGES = ("labkit", "labkit.runtime", "labkit.latency", "labkit.latency.kit")
README = """Latency kit for the search space '{space}'

On the board, with Python 3.8, numpy 1.17 and onnxruntime 1.12 or newer:

    pip install numpy onnxruntime
    python3 {file}

It writes latency.json, shows its progress, and goes on where it stopped when it is run again. Copy
latency.json back and import it:

    labkit lut import latency.json --name my-board
"""


def pack(
    space: SearchSpace,
    path: Path,
    *,
    limits: TimingLimits | None = None,
    subnets: int = CALIBRATION_SUBNETS,
) -> Path:
    """Write the kit for `space` to `path` (a zip), in one step; returns the path.

    `limits` of the harness are those of `limits_for(space)` unless given. Raises ValueError for
    fewer than MIN_SUBNETS subnets.
    """
    path = Path(path)
    if path.is_dir() or path.suffix != ".zip":
        raise ValueError(f"a kit is a zip file, got {str(path)!r}; name it like kit.zip")
    if subnets < MIN_SUBNETS:
        raise ValueError(
            f"a kit of {subnets} subnets calibrates no table; give it at least {MIN_SUBNETS}"
        )
    limits = limits_for(space) if limits is None else limits
    archs = space.decode(calibration_genes(space, subnets))
    kit = contents(space, archs)
    kit.update(limits=limits._asdict(), anchor=anchor_block(space).key)
    kit["kit"] = hashlib.sha256(json.dumps(kit, sort_keys=True).encode()).hexdigest()[:16]

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("__main__.py", source("labkit.latency.kit.launcher"))
            for package in PACKAGES:
                archive.writestr(f"{package.replace('.', '/')}/__init__.py", "")
            for module in BOARD_MODULES:
                archive.writestr(f"{module.replace('.', '/')}.py", source(module))
            archive.writestr("README.txt", README.format(space=space.name, file=path.name))
            archive.writestr("kit.json", json.dumps(kit, indent=1))
            for key, block in timed_blocks(space).items():
                archive.writestr(f"models/{key}.onnx", block_file(space, block))
            for i, arch in enumerate(archs):
                archive.writestr(f"models/subnet-{i}.onnx", subnet_file(space, arch))

    write_atomic(path, write)
    return path


def source(module: str) -> str:
    """The source text of a module of labkit."""
    package, _, name = module.rpartition(".")
    return resources.files(package).joinpath(f"{name}.py").read_text(encoding="utf-8")
