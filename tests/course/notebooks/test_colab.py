"""Students' notebooks as on Colab: the first cell fetches the course, and nothing is installed."""

import os
import subprocess
import sys

import colab_for_tests as colab
import pytest

from labkit.course.handout.notebook_file import cell_source, read, source_lines
from labkit.course.handout.student_copy import INSTRUCTOR
from labkit.course.release.release import release

NAMES = [path.stem for path in sorted(INSTRUCTOR.glob("*.ipynb"))]
TAG = "2026-spring"
LOOK = """import importlib.util, labkit
print(labkit.__file__)
others = ("click", "nbval", "pytest", "onnx", "onnxruntime", "scipy", "sklearn")
print([name for name in others if importlib.util.find_spec(name)])
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A release in a repository of its own, under its tag; as (folder, address)."""
    folder = tmp_path_factory.mktemp("origin") / "course"
    address = f"file://{folder}"
    release(folder, repository=address, tag=TAG)
    git = [
        "git",
        "-C",
        str(folder),
        "-c",
        "user.name=course",
        "-c",
        "user.email=course@example.org",
    ]
    for command in (
        ["init", "--quiet"],
        ["add", "--all"],
        ["commit", "--quiet", "--message", "Release"],
        ["tag", TAG],
    ):
        subprocess.run([*git, *command], check=True)
    return folder


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return colab.environment(tmp_path_factory.mktemp("bare") / "venv", [*colab.COLAB, colab.KERNEL])


@pytest.fixture(scope="module")
def bare_with_old_widgets(tmp_path_factory):
    """The same with Colab's ipywidgets."""
    folder = tmp_path_factory.mktemp("widgets")
    packages = ["ipywidgets==7.7.1", "ipython-genutils==0.2.0"]
    got = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            str(folder / "packages"),
            *packages,
        ],
        capture_output=True,
        text=True,
    )
    if got.returncode:
        pytest.skip(
            f"ipywidgets 7.7.1 is not to be had here: {got.stderr.strip().splitlines()[-1]}"
        )
    return colab.environment(
        folder / "venv", [*colab.COLAB, colab.KERNEL], first=folder / "packages"
    )


def cell(source, id):
    return {
        "cell_type": "code",
        "id": id,
        "metadata": {},
        "execution_count": None,
        "outputs": [],
        "source": source,
    }


def printed(cell):
    return "".join(output.get("text", "") for output in cell["outputs"])


def run(course, name, python, folder):
    """Run a notebook of the release, its first code cell twice, and a look at what was imported at
    the end.
    """
    notebook = read(course / "notebooks" / f"{name}.ipynb")
    cells = notebook["cells"]
    first = next(i for i, cell in enumerate(cells) if cell["cell_type"] == "code")
    again = cell(cells[first]["source"], "again")
    notebook["cells"] = [*cells[: first + 1], again, *cells[first + 1 :], cell(LOOK, "look")]
    folder.mkdir()
    ran = colab.run(notebook, python, folder)["cells"]
    assert printed(ran[first]).startswith("Python ") and printed(ran[first]) == printed(
        ran[first + 1]
    )
    assert printed(ran[-1]).splitlines() == [
        str(folder / "once-for-all-lab" / "labkit" / "__init__.py"),
        "[]",
    ]
    assert os.listdir(folder) == ["once-for-all-lab"]
    return ran


@pytest.mark.parametrize("name", NAMES)
def test_every_notebook_runs_from_a_clone(course, bare, tmp_path, name):
    ran = run(course, name, bare, tmp_path / "content")
    unsolved = [
        cell
        for cell in ran
        if "not solved yet" in "".join(o.get("text", "") for o in cell.get("outputs", ()))
    ]
    exercises = sum(cell_source(cell).count("raise NotImplementedError") for cell in ran)
    assert len(unsolved) == exercises


def test_the_explorer_works_with_colabs_widgets(course, bare_with_old_widgets, tmp_path):
    notebook = read(course / "notebooks" / "00_tour.ipynb")
    ids = ("bootstrap", "supernet", "explorer")
    cells = [cell for cell in notebook["cells"] if cell["id"] in ids]
    cells[-1]["source"] = [
        "import ipywidgets\n",
        "import labkit\n",
        "model = labkit.load('fmnist').predictor\n",
        *cells[-1]["source"],
    ]
    cells.append(cell(MOVE, "move"))
    (tmp_path / "content").mkdir()
    ran = colab.run({**notebook, "cells": cells}, bare_with_old_widgets, tmp_path / "content")[
        "cells"
    ]
    output = ran[-2]["outputs"][-1]["data"]
    assert "application/vnd.jupyter.widget-view+json" in output and "image/png" in output
    assert printed(ran[-1]) == "7.7.1 True True\n"


MOVE = """from labkit.course.explorer.panel import panel
box = panel(explorer, explorer.first_recommendation())
device, latency, memory, picture, text = box.children
before = bytes(picture.value), text.value
latency.value = latency.options[5][1]
print(ipywidgets.__version__, before[0] != bytes(picture.value), before[1] != text.value)
"""


def test_a_tag_that_is_not_there_stops_the_first_cell(course, bare, tmp_path):
    notebook = read(course / "notebooks" / "00_tour.ipynb")
    first = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    first["source"] = source_lines(cell_source(first).replace(TAG, "no-such-tag"))
    (tmp_path / "content").mkdir()
    with pytest.raises(Exception, match="no-such-tag"):
        colab.run({**notebook, "cells": [first]}, bare, tmp_path / "content")
    assert not os.listdir(tmp_path / "content")
