"""One verdict: what a notebook's `check` says of an answer, `check_notebook()`, `labkit check` and
`labkit grade` are the same, however a right answer is written.
"""

import json
import re

import nbformat
import pytest
from decorations_for_tests import (
    DECORATIONS,
    answers_of,
    course_notebook,
    decorated_notebook,
    setup_cells,
)
from grading_for_tests import write
from nbclient import NotebookClient

from labkit.course.checking.check import Checker, check_file
from labkit.course.checking.submission import CHECK_CALL
from labkit.course.grading import grade
from labkit.course.handout.pristine_course import course_names, pristine_cells
from labkit.course.judges.registry import exercises_of

# A notebook of each number, and of the first as many as it takes to have every decoration once.
COUNT = len(answers_of(1))
NOTEBOOKS = [(1, shift) for shift in range(0, len(DECORATIONS), COUNT)]
NOTEBOOKS += [(2, 10), (3, 20), (4, 30), (5, 50), (6, 60), (7, 0)]
EVERY_NAME = [name for name in DECORATIONS if "everything_of_the_course" in name]
ANSWERS = sum(len(answers_of(number)) for number, _ in NOTEBOOKS)


def test_the_corpus_has_every_decoration_and_eighty_answers():
    used = {name for one in NOTEBOOKS for name in decorated_notebook(*one)[1].values()}
    assert used == set(DECORATIONS) and ANSWERS >= 80


@pytest.fixture(scope="module")
def checker():
    with Checker() as one:
        yield one


@pytest.mark.slow
@pytest.mark.parametrize("number, shift", NOTEBOOKS, ids=[f"{n}-{s}" for n, s in NOTEBOOKS])
def test_four_ways_to_ask_have_one_answer(number, shift, tmp_path, monkeypatch, checker):
    cells, decorations = decorated_notebook(number, shift)
    all_are_right_four_ways(number, cells, decorations, tmp_path, monkeypatch, checker)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 8))
def test_a_helper_may_have_any_name_of_the_course(number, tmp_path, monkeypatch, checker):
    """In the whole notebook, whose cells bind these names as well."""
    decoration = EVERY_NAME[number % len(EVERY_NAME)]
    cells, decorations = course_notebook(number, decoration)
    all_are_right_four_ways(number, cells, decorations, tmp_path, monkeypatch, checker)


def all_are_right_four_ways(number, cells, decorations, tmp_path, monkeypatch, checker):
    cells = [*cells, "from labkit.course import check_notebook\ncheck_notebook()"]
    (tmp_path / "anna").mkdir()
    path = write(
        tmp_path / "anna" / f"{course_names()[number]}.ipynb", [("code", cell) for cell in cells]
    )
    full = {id: one.points for id, one in exercises_of(number).items()}
    below_setup = pristine_cells(number)[len(setup_cells(number)) :]
    text = ran(path, monkeypatch, [cell for cell in below_setup if not CHECK_CALL.search(cell)])
    grades = grade.grade(
        [tmp_path],
        tmp_path / "grades.csv",
        seed=3,
        jobs=1,
        progress=False,
        reference_first=False,
    )
    verdicts = {
        "check": {id: full[id] if f"Exercise {id}: correct" in text else 0 for id in full},
        "check_notebook()": points_in(text),
        "labkit check": {mark.id: mark.points for mark in check_file(path, checker)},
        "labkit grade": {mark["id"]: mark["points"] for mark in grades["students"][0]["marks"]},
    }
    lost = {
        f"{id} {decorations[id]}": {way: points[id] for way, points in verdicts.items()}
        for id in full
        if any(points[id] != full[id] for points in verdicts.values())
    }
    assert not lost, json.dumps(lost, indent=1) + text[-3000:]
    assert not grades["students"][0]["flags"]


def ran(path, monkeypatch, cells_cut_short):
    """What a notebook prints that is run by a kernel in its folder. What the course computes in
    some of its cells does not matter here.
    """
    monkeypatch.delenv("PYTEST_VERSION")  # no kernel is to believe that nbval runs it
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    book = nbformat.read(path, as_version=4)
    NotebookClient(
        book,
        timeout_func=lambda cell: 1 if cell.source in cells_cut_short else 300,
        interrupt_on_timeout=True,
        allow_errors=True,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", ())]
    return "\n".join(output.get("text", output.get("evalue", "")) for output in outputs)


def points_in(text):
    """Exercise id -> points, of the table that check_notebook prints."""
    rows = re.findall(r"^(\d+\.\d+) +(\d+|\?) of \d+", text, re.MULTILINE)
    return {id: None if points == "?" else int(points) for id, points in rows}
