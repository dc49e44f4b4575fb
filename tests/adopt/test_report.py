"""The report on a project's folder: what it says, and what it says is missing."""

import json
import shutil

import pytest
from html_for_tests import PNG, Outline

from labkit.adopt import report as module
from labkit.adopt.project_folder import FIGURES, NETWORKS, SPACE, SUPERNET, project_folder
from labkit.adopt.report import ReportError, write_report
from labkit.adopt.report_page import Section
from labkit.adopt.space_template import write_space
from labkit.course.handout.free_text import FreeText, WrittenTask
from labkit.space import get_space
from labkit.storage.paths import data_dir

SMALLEST = get_space("fmnist").smallest()
MATRIX = {
    "accuracy_is": "measured on val",
    "devices": [
        {"name": "host", "title": "This machine", "latency_is": "measured", "budget_ms": 2},
        {"name": "pi4", "title": "Raspberry", "latency_is": "simulated", "budget_ms": 4.5},
    ],
    "subnets": [
        {"for": "host", "arch": SMALLEST.to_json(), "model": "host.onnx"},
        {"for": "pi4", "arch": SMALLEST.to_json(), "model": None},
        {"for": "one for all", "arch": SMALLEST.to_json(), "model": None},
    ],
    "latency_ms": [[1.2345, 9], [9, 4.321], [9, 9]],
    "accuracy": [[91.5, 1], [1, 90.25], [1, 1]],
    "accuracy_error": [[0.5, 1], [1, 0.25], [1, 1]],
}


@pytest.fixture(name="project")
def folder_of_a_project(tmp_path):
    folder = tmp_path / "shoes"
    write_space(folder / SPACE, get_space("fmnist"))
    shutil.copytree(data_dir() / "supernets" / "fmnist", folder / SUPERNET)
    (folder / NETWORKS).mkdir()
    (folder / NETWORKS / "specialize.json").write_text(json.dumps(MATRIX))
    (folder / FIGURES).mkdir()
    for name in ("8.2 Depths & widths", "8.10 Other", "A front"):
        (folder / FIGURES / f"{name}.png").write_bytes(PNG)
    return folder


def page_of(folder, **options):
    lacks = write_report(folder, folder / "report.html", **options)
    return lacks, (folder / "report.html").read_text("utf-8")


def test_a_whole_folder_lacks_nothing(project):
    lacks, page = page_of(project, more=[Section("Time", "<p>an hour</p>")])
    assert lacks == [] and page.count("data:image/png;base64,") == 3
    words = Outline(page).words
    headings = ["A network for each device", "Space and supernet", "Pictures", "Time"]
    assert [word for word in words if word in headings] == headings
    for text in (
        "shoes",
        "892,126,872,000",
        "70000 in 10 classes",
        "Depths & widths",
        "1.23 ms measured",
        "4.3 ms simulated",
        "90.25 ± 0.25 %",
        "host.onnx",
        str(SMALLEST),
    ):
        assert text in words
    assert "one for all" not in page


@pytest.mark.parametrize(
    "part, sentence",
    [
        (SPACE, "space.toml"),
        (f"{SUPERNET}/supernet.safetensors", "labkit train"),
        (f"{SUPERNET}/predictor.npz", "labkit measure"),
        (f"{NETWORKS}/specialize.json", "labkit specialize"),
        (FIGURES, "pictures"),
    ],
)
def test_what_is_missing_is_named_and_the_rest_is_there(project, part, sentence):
    path = project / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    lacks, page = page_of(project)
    assert any(sentence in line for line in lacks)
    assert "Not in this report" in page and "<h2>" in page


@pytest.mark.parametrize(
    "part, content",
    [
        (SPACE, "name = 3"),
        (f"{SUPERNET}/supernet.safetensors", "no weights"),
        (f"{SUPERNET}/predictor.npz", "no archive"),
        (f"{NETWORKS}/specialize.json", "{"),
        (f"{NETWORKS}/specialize.json", json.dumps({**MATRIX, "latency_ms": [[1]]})),
    ],
)
def test_what_is_damaged_is_named_and_the_rest_is_there(project, part, content):
    (project / part).write_text(content)
    lacks, page = page_of(project)
    assert lacks and "A front" in page


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(ReportError, match="holds none of space.toml, supernet, networks, figures"):
        write_report(tmp_path, tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_texts_stand_with_the_pictures_of_their_task(project, monkeypatch):
    tasks = [WrittenTask(id, f"Task {id}", 4) for id in ("7.1", "8.1", "8.2", "8.10")]
    monkeypatch.setattr(module, "written_tasks", lambda: {task.id: task for task in tasks})
    texts = [
        FreeText("", "My *name*."),
        FreeText("8.2 Task", "Why ![x](A%20front.png) ![y](<A front.png>)", "8.2"),
        FreeText("8.2 Task", "And ![z](https://example.org/z.png).", "8.2"),
        FreeText("8.10 Task", "", "8.10"),
    ]
    lacks, page = page_of(project, texts=texts)
    assert [line.partition(":")[0] for line in lacks] == [
        "8.1 Task 8.1",
        "a picture in the text",
        "8.10 Task 8.10",
    ]
    order = ["8.1 Task 8.1", "8.2 Task 8.2", "Why", "And", "Depths &amp; widths"]
    order += ["8.10 Task 8.10", "Other", "Notes", "My <em>name</em>", "A network", "Pictures"]
    places = [page.index(text, page.index("<h2>")) for text in order]
    assert places == sorted(places) and "7.1" not in page
    assert page.count("data:image/png;base64,") == 5


def test_a_notebooks_folder_is_made_and_a_tests_is_its_own(tmp_path, monkeypatch):
    under_pytest = project_folder(tmp_path / "project")
    assert under_pytest != tmp_path / "project" and (under_pytest / FIGURES).is_dir()
    monkeypatch.delenv("PYTEST_VERSION")
    assert project_folder(tmp_path / "project") == tmp_path / "project"
    assert (project_folder(tmp_path / "project") / FIGURES).is_dir()
