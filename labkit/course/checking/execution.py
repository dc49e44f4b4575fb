"""Execute the notebooks of a job with nbval and collect what the answers returned.

A job is plain JSON: {"notebooks": {"1.2": notebook, ...}, "inputs": {"1.2-grade": text, ...},
"cell_limit_s": 20}. So is a result: {"cells": [...], "returned": {"1.2-grade": text, ...},
"kernel_start_s": {"1.2": 0.4, ...}}. Each notebook gets a kernel of its own, so that a death or a
patch in one exercise does not reach the next.

    python -m labkit.course.checking.execution JOB RESULT      without any isolation: for a student's own machine
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

EXCHANGE = "LABKIT_EXCHANGE"
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
    "labkit.course.checking.forked_kernels",
    "labkit.course.checking.nbval_plugin",
)


def preload() -> None:
    """Import what kernels and nbval need, so that forked processes find it there. Nothing of
    labkit's exercises.
    """
    sys.modules.setdefault(
        "debugpy", None
    )  # nobody debugs these kernels, and it is most of a forked kernel's start
    for module in PRELOADED:
        if hasattr(os, "fork") or module != "labkit.course.checking.forked_kernels":
            __import__(module)


def execute(job: dict, folder: Path, inputs: Callable[[], dict[str, str]] | None = None) -> dict:
    """Run a job in `folder`, an empty one. Where processes can be forked, call `preload` before.

    `inputs`, if given, is called for the job's inputs once the kernels are there: they are copies
    of this process, and what it does not hold yet cannot be found in them.
    """
    import pytest

    from labkit.course.checking.nbval_plugin import CellRules, Exchange, WatchedKernel

    os.environ |= {EXCHANGE: str(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    for id, notebook in job["notebooks"].items():
        (folder / f"{id}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    kernel, waiting = WatchedKernel, []
    if hasattr(os, "fork"):
        from labkit.course.checking.forked_kernels import fork_kernels, from_pool

        waiting = fork_kernels(len(job["notebooks"]))
        kernel = from_pool(waiting, str(folder))
    exchange = Exchange(inputs() if inputs else job["inputs"], folder)
    rules = CellRules(lambda item: job["cell_limit_s"], kernel)
    files = [str(folder / f"{id}.ipynb") for id in job["notebooks"]]
    with (
        open(os.devnull, "w") as nowhere,
        redirect_stdout(nowhere),
        redirect_stderr(nowhere),
        suppress(Exception),
    ):
        # It raises if an answer took its folder away; what came before that is kept, and is the
        # answer's own doing.
        pytest.main(
            [
                "-p",
                "nbval.plugin",
                "-p",
                "no:cacheprovider",
                "--nbval-lax",
                "--nbval-current-env",
                "-q",
                f"--rootdir={folder}",
                "-c",
                os.devnull,
                "--noconftest",
                "--color=no",
                *files,
            ],
            plugins=[rules, exchange],
        )
    for kernel in waiting:
        kernel.shutdown_kernel()
    return {
        "cells": rules.results,
        "cell_limit_s": job["cell_limit_s"],
        "kernel_start_s": rules.kernel_start_s,
        "returned": exchange.returned,
    }


if __name__ == "__main__":
    preload()
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Path(sys.argv[2]).write_text(
        json.dumps(execute(job, Path(sys.argv[1]).parent)), encoding="utf-8"
    )
