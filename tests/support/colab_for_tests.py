"""Stand-ins for Colab: environments with `google.colab` among the modules.

`environment` links few packages of the test environment one by one, so that nothing else can be
imported. `runtime` has those of Colab itself, where `make colab` could install them. By default
notebooks run without a way to the network.
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
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from packaging.requirements import Requirement

COLAB = ("torch", "torchvision", "numpy", "matplotlib", "ipywidgets", "tqdm", "safetensors")
KERNEL = "ipykernel"  # what runs a notebook at all
RUNTIME = Path(__file__).parents[2] / ".venv-colab" / "bin" / "python"
DOCUMENT = ".document.ipynb"
MESSAGE = f"""import json
def blocking_request(name, timeout_sec):
    assert name == "get_ipynb"
    return {{"ipynb": json.load(open("{DOCUMENT}"))}}
"""


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
    _add_colab(site)
    return python


def runtime(folder: Path) -> Path:
    """The Python of a new environment over that of `make colab`, which stays as it is."""
    if not RUNTIME.exists():
        pytest.skip("no environment of Colab's packages: make colab")
    subprocess.run([RUNTIME, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    packages, site = (
        subprocess.check_output(
            [each, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
        for each in (RUNTIME, python)
    )
    (Path(site) / "runtime.pth").write_text(packages + "\n")
    _add_colab(Path(site))
    return python


def _add_colab(site: Path) -> None:
    """The module that tells Colab, and the document in the browser that it answers for."""
    (site / "google" / "colab").mkdir(parents=True)
    (site / "google" / "colab" / "__init__.py").write_text("")
    (site / "google" / "colab" / "_message.py").write_text(MESSAGE)
    (site / "sitecustomize.py").write_text(
        "import google.colab\n"
    )  # Colab's kernel has imported it


def run(
    notebook: dict,
    python: Path,
    folder: Path,
    timeout: int = 600,
    *,
    online: bool = False,
    variables: dict[str, str] | None = None,
) -> dict:
    """Execute a notebook in `folder` with an environment's Python; raises what nbclient raises on a
    failing cell. `online` leaves a way to the package index.
    """
    kernels = folder.parent / f"{folder.name}-kernels"
    (kernels / "bare").mkdir(parents=True, exist_ok=True)
    (kernels / "bare" / "kernel.json").write_text(
        json.dumps(
            {
                "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                "display_name": "bare",
                "language": "python",
            }
        )
    )
    (folder / DOCUMENT).write_text(json.dumps(notebook))
    way = {name: value for name, value in os.environ.items() if "proxy" in name.lower()}
    way |= {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
    if not online:
        way = dict.fromkeys(
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
            **way,
            **(variables or {}),
        }
    )
    return client.nb
