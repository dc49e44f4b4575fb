"""Students' notebooks as on Colab: the first cell fetches the course and installs it, and changes
no package that is there. Where something is in the way it says what, and what it says to do works.
"""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import colab_for_tests as colab
import pytest
from nbclient.exceptions import CellExecutionError

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
    *notes, versions = printed(ran[first]).splitlines()
    assert versions.startswith("Python ") and printed(ran[first + 1]).splitlines() == [versions]
    (note,) = notes  # this environment has no pip
    assert note.startswith("Nothing was installed (") and "No module named pip" in note
    assert printed(ran[-1]).splitlines() == [
        str(folder / "once-for-all-lab" / "labkit" / "__init__.py"),
        "[]",
    ]
    project = {"runs"} if name == "08_project" else set()
    assert set(os.listdir(folder)) == {"once-for-all-lab", colab.DOCUMENT, *project}
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
    ids = ("bootstrap", "choice", "supernet", "explorer")
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


def first_cell(course, **changes):
    """The release's first code cell, with other words for some of its."""
    notebook = read(course / "notebooks" / "00_tour.ipynb")
    first = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    source = cell_source(first)
    for old, new in changes.items():
        source = source.replace({"tag": TAG, "address": f"file://{course}"}[old], new)
    return {**notebook, "cells": [{**first, "source": source_lines(source)}]}


@pytest.fixture
def private_address():
    """A server that asks for a user's name, as GitHub does for a private repository."""

    class Private(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic realm=private")
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Private) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/course"
        server.shutdown()


def stops_with(sentence, notebook, python, folder, **variables):
    """The first cell says one sentence, leaves nothing behind, and no traceback."""
    folder.mkdir(exist_ok=True)
    with pytest.raises(CellExecutionError) as error:
        colab.run(notebook, python, folder, variables=variables)
    assert error.value.ename == "SystemExit"
    assert sentence in error.value.evalue and error.value.evalue.endswith("run this cell again.")
    assert "Traceback" not in str(error.value).partition("SystemExit")[0].rpartition("----")[2]
    assert os.listdir(folder) == [colab.DOCUMENT]


def works(notebook, python, folder):
    assert "labkit" in printed(colab.run(notebook, python, folder)["cells"][0]).splitlines()[-1]


def test_a_wrong_tag_and_an_address_that_was_not_stamped(course, bare, tmp_path):
    folder = tmp_path / "content"
    stops_with(
        "has no tag or branch no-such-tag", first_cell(course, tag="no-such-tag"), bare, folder
    )
    unstamped = first_cell(course, address="https://github.com/OWNER/REPO")
    stops_with("write the address of its repository", unstamped, bare, folder)
    works(first_cell(course), bare, folder)


def test_a_private_repository_and_no_network(course, bare, private_address, tmp_path):
    folder = tmp_path / "content"
    private = first_cell(course, address=private_address)
    stops_with("is private or not there", private, bare, folder, no_proxy="127.0.0.1")
    offline = first_cell(course, address="https://github.com/someone/once-for-all")
    stops_with("There is no network", offline, bare, folder)
    (folder / "once-for-all-lab").symlink_to(course)  # what the first of them says
    works(private, bare, folder)


def test_a_copy_of_the_course_around_the_notebook_is_used(course, bare, tmp_path):
    (tmp_path / "labkit").symlink_to(course / "labkit")
    (tmp_path / "data").symlink_to(course / "data")
    (tmp_path / "notebooks").mkdir()
    works(first_cell(course, address="https://github.com/OWNER/REPO"), bare, tmp_path / "notebooks")


def test_an_instructors_notebook_works_once_its_address_is_written(course, bare, tmp_path):
    notebook = read(INSTRUCTOR / "00_tour.ipynb")
    first = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    stamped = cell_source(first).replace('https://github.com/OWNER/REPO"', f'file://{course}"')
    first["source"] = source_lines(stamped.replace('"main"', f'"{TAG}"'))
    (tmp_path / "content").mkdir()
    works({**notebook, "cells": [first]}, bare, tmp_path / "content")


def packages(python):
    """Name -> version of what Python can import."""
    lines = subprocess.check_output([python, "-m", "pip", "list", "--format=freeze"], text=True)
    return dict(line.split("==") for line in lines.split())


def solved(course):
    """Notebook 1 as far as its first exercise, solved, and a check of the whole notebook."""
    notebook = read(course / "notebooks" / "01_supernet.ipynb")
    cells = notebook["cells"]
    answer = next(i for i, one in enumerate(cells) if "# Exercise 1.1" in cell_source(one))
    solutions = read(INSTRUCTOR / "01_supernet.ipynb")["cells"]
    cells[answer] = next(one for one in solutions if one["id"] == cells[answer]["id"])
    check = cell("from labkit.course import check_notebook\ncheck_notebook()", "check-all")
    return {**notebook, "cells": [*cells[: answer + 2], check]}


def test_colabs_own_packages_stay_and_the_course_works_with_them(course, tmp_path):
    python = colab.runtime(tmp_path / "venv")
    before = packages(python)
    notebook = solved(course)
    command = cell("!labkit --version\n!labkit search --device pi4 --max-latency-ms 2", "command")
    notebook["cells"].append(command)
    (tmp_path / "content").mkdir()
    ran = {c["id"]: c for c in colab.run(notebook, python, tmp_path / "content", online=True).cells}
    if "There is no network" in printed(ran["bootstrap"]):
        pytest.skip("the package index is not to be had here")
    assert "4 of 4" in printed(ran["check-all"])
    assert "labkit, version" in printed(ran["command"]) and "px" in printed(ran["command"])
    after = packages(python)
    assert {"ofa-labkit", "nbval", "onnx", "onnxruntime"} <= after.keys() - before.keys()
    assert {name: after[name] for name in before} == before


def test_what_is_said_without_a_network_works_later(course, tmp_path):
    python = colab.runtime(tmp_path / "venv")
    notebook = solved(course)
    later = "!env -u http_proxy -u https_proxy -u HTTP_PROXY -u HTTPS_PROXY python"
    install = cell(f"{later} once-for-all-lab/notebooks/install.py", "install")
    notebook["cells"].insert(-1, install)
    notebook["cells"].insert(-2, {**notebook["cells"][-1], "id": "before"})
    folder = tmp_path / "content"
    folder.mkdir()
    ran = {c["id"]: c for c in colab.run(notebook, python, folder).cells}
    note, _ = printed(ran["bootstrap"]).splitlines()
    assert "there is no network" in note
    script = folder / "once-for-all-lab" / "notebooks" / "install.py"
    assert note.endswith(f"To install later: !python {script}")
    assert "checking a notebook needs nbval" in printed(ran["before"])
    if "Nothing was installed" in printed(ran["install"]):
        pytest.skip("the package index is not to be had here")
    assert "4 of 4" in printed(ran["check-all"])
