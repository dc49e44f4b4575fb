"""What was written into the project's notebook, and its report."""

import base64
import json
import sys

import pytest
from html_for_tests import PNG, Outline

from labkit import cli
from labkit.adopt import notebook_report as module
from labkit.adopt.notebook_report import report, texts_of
from labkit.adopt.project_folder import FIGURES, REPORT
from labkit.adopt.report import ReportError
from labkit.course.checking.submitted_file import NotANotebook
from labkit.course.handout.notebook_file import as_text, cell_source, read
from labkit.course.handout.student_copy import INSTRUCTOR

NOTEBOOK = INSTRUCTOR.parent / "08_project.ipynb"
DATA = base64.b64encode(PNG).decode()


@pytest.fixture(name="project")
def folder_with_a_picture(tmp_path):
    (tmp_path / "project" / FIGURES).mkdir(parents=True)
    (tmp_path / "project" / FIGURES / "8.1 Shoes.png").write_bytes(PNG)
    return tmp_path / "project"


def notebook(path, **answers):
    """The project's notebook with these answers, each in the place of its placeholder."""
    content = read(NOTEBOOK)
    for cell in content["cells"]:
        task = cell["id"].removeprefix("answer-")
        if task in answers:
            cell["source"] = [answers[task]]
            cell["attachments"] = {"image.png": {"image/png": DATA}}
    path.write_text(as_text(content), encoding="utf-8")
    return path


def test_what_was_written_is_found_with_its_pasted_pictures(tmp_path):
    answers = {"8.1": "Shoes ![a](attachment:image.png)", "8.7": "Done."}
    texts = texts_of(notebook(tmp_path / "anna.ipynb", **answers))
    assert {text.task: text.text for text in texts if text.text} == {
        "8.1": f"Shoes ![a](data:image/png;base64,{DATA})",
        "8.7": "Done.",
    }
    assert [text.task for text in texts] == [f"8.{i}" for i in range(1, 8)]


def test_another_notebook_and_no_notebook_are_refused(tmp_path):
    with pytest.raises(ReportError, match=r"none of the headings of the written tasks 8\.1"):
        texts_of(NOTEBOOK.with_name("00_tour.ipynb"))
    (tmp_path / "x.ipynb").write_text("{")
    with pytest.raises(NotANotebook):
        texts_of(tmp_path / "x.ipynb")


def test_the_sessions_notebook_is_reported_on(project, tmp_path, monkeypatch, capsys):
    path = notebook(tmp_path / "anna.ipynb", **{"8.1": "Shoes, of course."})
    monkeypatch.setattr(module, "saved_cells", lambda: (str(path), []))
    report(project)
    said, page = capsys.readouterr().out, (project / REPORT).read_text("utf-8")
    assert "Shoes, of course." in page and "not in it: 8.2 " in said and "8.1" not in said
    assert len(Outline(page).sources()) == 1 and said.endswith(
        f"report written to {project / REPORT}\n"
    )
    # On Colab the document in the browser is no file; elsewhere a session may not tell it.
    cells = [(cell["cell_type"], cell_source(cell)) for cell in read(path)["cells"]]
    monkeypatch.setattr(module, "saved_cells", lambda: ("the document in your browser", cells))
    (project / REPORT).unlink()
    report(project)
    assert "Shoes, of course." in (project / REPORT).read_text("utf-8")
    monkeypatch.setattr(module, "saved_cells", lambda: None)
    report(project)
    assert "The notebook was not found" in capsys.readouterr().out
    report(project, path)
    assert "Shoes, of course." in (project / REPORT).read_text("utf-8")


def test_the_command_writes_the_report_and_says_what_it_lacks(
    project, tmp_path, monkeypatch, capsys
):
    path = notebook(tmp_path / "anna.ipynb", **{"8.1": "Shoes."})
    arguments = ["report", str(project), "--notebook", str(path), "--out", str(tmp_path / "a.html")]
    monkeypatch.setattr(sys, "argv", ["labkit", *arguments, "--json"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    said = json.loads(capsys.readouterr().out)
    assert stop.value.code == 0 and said["report"] == str(tmp_path / "a.html")
    assert (
        any("8.7" in line for line in said["lacks"])
        and "Shoes." in (tmp_path / "a.html").read_text()
    )
    monkeypatch.setattr(sys, "argv", ["labkit", "report", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    err = capsys.readouterr().err
    assert stop.value.code == 2 and "holds none of" in err and err.count("\n") == 1
