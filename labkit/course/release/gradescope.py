"""An autograder for Gradescope: a zip from which it builds a container that grades submissions.

The archive holds labkit with its grader, the data, and no solutions. What Gradescope asks of it is
in https://gradescope-autograders.readthedocs.io/en/latest/specs/.
"""

from __future__ import annotations

import secrets
import zipfile
from pathlib import Path

from labkit.course.gradebook.gradescope import SETTINGS, settings_text
from labkit.course.handout.student_copy import INSTRUCTOR
from labkit.course.judges.registry import TOPICS
from labkit.course.release.contents import ReleaseError
from labkit.storage.atomic_write import write_atomic

ROOT = INSTRUCTOR.parents[1]
INCLUDED = (
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "labkit/**/*.py",
    "data/fashion-mnist/*.gz",
    "data/supernets/*/*.safetensors",
    "data/**/*.json",
    "data/**/*.npz",
)
# Python is put where whoever runs answers may read it, which the superuser's home is not.
SETUP = """\
#!/usr/bin/env bash
set -euo pipefail
cd /autograder
apt-get update
apt-get install -y python3-venv
python3 -m venv tools
tools/bin/pip install uv
export UV_PYTHON_INSTALL_DIR=/autograder/python UV_TORCH_BACKEND=cpu
tools/bin/uv venv --python 3.12 venv
tools/bin/uv pip install --python venv/bin/python -r source/pyproject.toml --extra grading
"""
RUN = """\
#!/usr/bin/env bash
cd "$(dirname "$0")"
export PYTHONPATH=$PWD/source
exec venv/bin/python -m labkit.course.grading.autograder "$PWD"
"""


def write_autograder(
    out: Path, notebook: int | None = None, seed: int | None = None, root: Path = ROOT
) -> int:
    """Write the archive to `out`, for one notebook or for whichever is submitted; returns the seed
    of its hidden inputs, which without `seed` is drawn. Raises ReleaseError for a notebook that
    does not exist and a checkout without data.
    """
    if notebook is not None and notebook not in TOPICS:
        raise ReleaseError(f"there is no notebook {notebook}, only {', '.join(map(str, TOPICS))}")
    seed = secrets.randbelow(2**31) if seed is None else seed
    files = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for pattern in INCLUDED
        for path in sorted(root.glob(pattern))
        if "checkpoint" not in path.name and "release" not in path.parts
    }
    if not any(name.startswith("data/course/") for name in files):
        raise ReleaseError(f"{root} lacks data/course, which answers are graded by")
    files[SETTINGS] = settings_text(notebook, seed).encode()
    write_atomic(out, lambda path: _write(path, files))
    return seed


def _write(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (("setup.sh", SETUP), ("run_autograder", RUN)):
            script = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            script.create_system, script.external_attr = 3, 0o100755 << 16
            archive.writestr(script, text)
        for name, content in files.items():
            archive.writestr(name, content)
