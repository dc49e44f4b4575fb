"""The generated library, built by this machine's C compiler and called from Python."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from labkit.storage.errors import ExportError, LabError

FLAGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
COMPILE_SECONDS = 120
SOURCES = ("net.c", "net_kernels.c")
# Compiled with them, so that nothing is read or written beyond what the library was made for.
SIZES = """#include "net.h"
_Static_assert(NET_SIDE * NET_SIDE * NET_CHANNELS == {in_values} && NET_CLASSES == {classes},
               "net.h has other sizes than its record");
"""


def compiler() -> str:
    """The path of a C compiler: the variable CC, or cc, gcc or clang. Raises LabError."""
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        path = shutil.which(name) if name else None
        if path:
            return path
    raise LabError(
        "firmware is checked by running it here, which needs a C compiler, and there is neither"
        " cc, gcc nor clang; install one (Debian: apt install gcc) or set CC to its path"
    )


def run_tool(command: Sequence[str | Path], seconds: float, folder: Path | None = None) -> str:
    """Standard output of a compiler or an emulator.

    Raises ExportError, with the end of what it said, when it fails or takes longer than `seconds`.
    """
    name = Path(command[0]).name
    try:
        result = subprocess.run(
            list(map(str, command)),
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ExportError(f"{name} did not end within {seconds:g} s and was stopped") from None
    if result.returncode:
        said = (result.stderr + result.stdout).strip()[-500:] or "nothing said"
        raise ExportError(f"{name} failed with exit code {result.returncode}: {said}")
    return result.stdout


class HostLibrary:
    """The library of a folder of sources, loaded into this process."""

    def __init__(
        self, sources: Path, build: Path, *, in_values: int, classes: int, level: str = "-O2"
    ) -> None:
        """Compile `sources`/net.c and net_kernels.c into the folder `build`, as far optimized as
        `level` says.

        Raises ExportError where the compiler fails, or the library's sizes are others.
        """
        library, sizes = build / "net.so", build / "sizes.c"
        sizes.write_text(SIZES.format(in_values=in_values, classes=classes), encoding="utf-8")
        files = [sizes, *(sources / name for name in SOURCES)]
        command = [compiler(), level, *FLAGS, "-I", sources, "-o", library, *files]
        run_tool(command, COMPILE_SECONDS)
        self._run = ctypes.CDLL(str(library)).net_run
        pointer = np.ctypeslib.ndpointer(np.int8, flags="C_CONTIGUOUS")
        self._run.argtypes, self._run.restype = [pointer, pointer], None
        self._in_values, self._classes = in_values, classes

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Logits (N, classes) int8 of images (N, r, r, C) int8."""
        flat = np.ascontiguousarray(images, np.int8).reshape(len(images), self._in_values)
        outputs = np.zeros((len(flat), self._classes), np.int8)
        for image, output in zip(flat, outputs):
            self._run(image, output)
        return outputs
