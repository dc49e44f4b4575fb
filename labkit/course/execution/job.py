"""Execute the notebooks of a job with nbval and collect what the answers returned.

A job is plain JSON: {"notebooks": {"1.2": notebook, ...}, "inputs": {"1.2-hidden": text, ...},
"cell_limit_s": 20}. So is a result: {"cells": [...], "returned": {"1.2-hidden": text, ...},
"kernel_start_s": {"1.2": 0.4, ...}}. Each notebook gets a kernel of its own, so that a death or a
patch in one exercise does not reach the next.

    python -m labkit.course.execution.job JOB RESULT

runs a job without any isolation, which is meant for a student's own machine.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

EXCHANGE = "LABKIT_EXCHANGE"  # environment variable: the folder of inputs and returned values
WITNESS_SOCKET = "witness"  # its name in that folder
FORKED_KERNELS = "labkit.course.execution.forked_kernels"
PRELOADED = (
    "torch",
    "numpy",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.extensions.storemagic",
    "ipykernel.debugger",
    "ipykernel.ipkernel",
    "ipykernel.kernelapp",
    "jupyter_client",
    "matplotlib.figure",
    "matplotlib.font_manager",
    "nbformat",
    "nbval.plugin",
    "pytest",
    "tornado.platform.asyncio",
    "labkit.course.execution.nbval_plugin",
    "labkit.course.execution.witness_server",
)
PYTEST_OPTIONS = (
    *("-p", "nbval.plugin", "-p", "no:cacheprovider", "--noconftest", "-c", os.devnull),
    # It looks through all objects of this process five times, which costs more than most answers.
    *("-p", "no:unraisableexception"),
    *("--nbval-lax", "--nbval-current-env", "-q", "--color=no"),
)


def preload() -> None:
    """Import what kernels and nbval need, so that forked processes have it already. Nothing of
    labkit's exercises is among it.
    """
    # Nobody debugs these kernels, and debugpy is most of what a forked kernel would import.
    sys.modules.setdefault("debugpy", None)
    for module in PRELOADED:
        __import__(module)
    if hasattr(os, "fork"):
        __import__(FORKED_KERNELS)
    # Nothing of it is garbage, and to look for that would copy its memory in every fork.
    gc.freeze()


def execute(job: dict, folder: Path, inputs: Callable[[], dict[str, str]] | None = None) -> dict:
    """Run a job in `folder`, an empty one. Where processes can be forked, call `preload` before.

    `inputs`, if it is not None, is called for the job's inputs once the kernels exist: they are
    copies of this process, and what it does not hold yet cannot be found in them.
    """
    import pytest

    from labkit.course.execution.nbval_plugin import CellRules, Exchange, WatchedKernel
    from labkit.course.execution.witness_server import WitnessServer

    os.environ |= {EXCHANGE: str(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    paths = [folder / f"{id}.ipynb" for id in job["notebooks"]]
    for path, notebook in zip(paths, job["notebooks"].values()):
        path.write_text(json.dumps(notebook), encoding="utf-8")
    kernel_class, idle_kernels = WatchedKernel, []
    if hasattr(os, "fork"):
        from labkit.course.execution.forked_kernels import fork_kernels, from_pool

        idle_kernels = fork_kernels(len(paths))
        kernel_class = from_pool(idle_kernels, str(folder))
    witness = WitnessServer(folder / WITNESS_SOCKET)
    exchange = Exchange(inputs() if inputs else job["inputs"], folder, witness)
    rules = CellRules(lambda item: job["cell_limit_s"], kernel_class)
    # Nothing above the folder is looked at: it may be closed.
    places = [f"--rootdir={folder}", f"--confcutdir={folder}"]
    options = [*PYTEST_OPTIONS, *places, *map(str, paths)]
    with (
        open(os.devnull, "w") as devnull,
        redirect_stdout(devnull),
        redirect_stderr(devnull),
        # pytest raises if an answer removed its folder. Results from before that count, and that
        # there are no more is the answer's own doing.
        suppress(Exception),
    ):
        pytest.main(options, plugins=[rules, exchange])
    for kernel in idle_kernels:
        kernel.shutdown_kernel()
    return {
        "cells": rules.results,
        "cell_limit_s": job["cell_limit_s"],
        "kernel_start_s": rules.kernel_start_s,
        "returned": exchange.returned,
        "witnessed": exchange.witnessed,
    }


def main(job_path: Path, result_path: Path) -> None:
    """Run the job in a file, in the folder of that file, and write its result to another."""
    preload()
    job = json.loads(job_path.read_text(encoding="utf-8"))
    result_path.write_text(json.dumps(execute(job, job_path.parent)), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
