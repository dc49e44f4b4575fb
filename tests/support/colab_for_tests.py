"""A stand-in for Colab: an environment with few packages, `google.colab` among the modules, no way
to the network.

The packages are those of the test environment, linked one by one, so that nothing else can be
imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from packaging.requirements import Requirement

COLAB = ("torch", "torchvision", "numpy", "matplotlib", "ipywidgets", "tqdm", "safetensors")
KERNEL = "ipykernel"  # what runs a notebook at all


def with_dependencies(names: Iterable[str]) -> dict[str, object]:
    """The distributions of `names` and of all that they require, by name."""
    distributions, pending = {}, list(names)
    while pending:
        name = pending.pop().lower().replace("_", "-")
        if name in distributions:
            continue
        try:
            distributions[name] = distribution(name)
        except PackageNotFoundError:
            continue  # for another platform
        for line in distributions[name].requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                pending.append(requirement.name)
    return distributions


def environment(folder: Path, names: Iterable[str], first: Path | None = None) -> Path:
    """Make a virtual environment that holds `names`; packages in `first` take precedence. Returns
    its Python.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = next(folder.glob("[bS]*/python*"))
    site = Path(
        subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
    )
    for entry in first.iterdir() if first else ():
        (site / entry.name).symlink_to(entry)
    for package in with_dependencies(names).values():
        for top in {
            file.parts[0] for file in package.files if file.parts[0] not in ("..", "__pycache__")
        }:
            if not (site / top).exists():
                (site / top).symlink_to(package.locate_file(top))
    (site / "google" / "colab").mkdir(parents=True)
    (site / "google" / "colab" / "__init__.py").write_text("")
    (site / "sitecustomize.py").write_text(
        "import google.colab\n"
    )  # Colab's kernel has imported it
    return python


def run(notebook: dict, python: Path, folder: Path, timeout: int = 600) -> dict:
    """Execute a notebook in `folder` with an environment's Python; raises what nbclient raises on a
    failing cell.
    """
    kernels = folder.parent / f"{folder.name}-kernels"
    (kernels / "bare").mkdir(parents=True)
    (kernels / "bare" / "kernel.json").write_text(
        json.dumps(
            {
                "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                "display_name": "bare",
                "language": "python",
            }
        )
    )
    nowhere = dict.fromkeys(
        ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"
    )
    manager = AsyncKernelManager(
        kernel_name="bare",
        kernel_spec_manager=KernelSpecManager(
            kernel_dirs=[str(kernels)], ensure_native_kernel=False
        ),
    )
    client = NotebookClient(
        nbformat.reads(json.dumps(notebook), as_version=4),
        km=manager,
        timeout=timeout,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder.parent),
            "OMP_NUM_THREADS": "1",
            **nowhere,
        }
    )
    return client.nb
