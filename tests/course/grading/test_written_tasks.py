"""The project: what was written is collected for each task, marked by hand, and counted."""

import csv
import json
import re
import shutil

import pytest

from labkit.course.gradebook.terms import Terms
from labkit.course.grading import grade as grading
from labkit.course.handout.free_text import written_tasks
from labkit.course.handout.notebook_file import as_text, read
from labkit.course.handout.student_copy import INSTRUCTOR

ANSWERS = {"anna": {"8.1": "Shoes, `x` <b>.", "8.7": "All of it."}, "ben": {}}


@pytest.fixture(name="hand_ins")
def two_projects(tmp_path):
    """One with two answers, one as it was handed out."""
    for student, answers in ANSWERS.items():
        notebook = read(INSTRUCTOR.parent / "08_project.ipynb")
        for cell in notebook["cells"]:
            if (task := cell["id"].removeprefix("answer-")) in answers:
                cell["source"] = [answers[task]]
        path = tmp_path / "hand-ins" / student / "08_project.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(as_text(notebook), encoding="utf-8")
    return tmp_path / "hand-ins"


def graded(hand_ins, by_hand=None):
    out = hand_ins.parent / "grades.csv"
    terms = Terms(by_hand=by_hand, formats=("canvas",))
    grades = grading.grade([hand_ins], out, notebook=8, terms=terms, progress=False)
    with open(out, newline="", encoding="utf-8") as file:
        return grades, {row["student"]: row for row in csv.DictReader(file)}


def test_answers_wait_for_points_and_get_them_by_hand(hand_ins):
    grades, table = graded(hand_ins)
    folder = hand_ins.parent / "grades"
    assert grades["not_graded"] == [] and sum(grades["tasks"].values()) == 40
    anna, ben = table["anna"], table["ben"]
    assert anna["8.1"] == anna["8.7"] == anna["total"] == "" and anna["8.2"] == "0"
    assert ben["total"] == "0" and {ben[id] for id in written_tasks()} == {"0"}
    feedback = (folder / "feedback" / "anna.md").read_text("utf-8")
    assert "| 8.1 The question and the images | ? of 4 | not marked yet |" in feedback
    assert "| 0 of 6 | nothing was written |" in feedback
    assert "2 answers wait for points" in (folder / "class.md").read_text("utf-8")
    canvas = (folder / "canvas.csv").read_text("utf-8")
    assert "ben" in canvas and "anna" not in canvas  # who has no total yet
    with open(folder / "free-text.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 14
    filled = {("anna", "8.1"): ("3.5", "short"), ("anna", "8.7"): ("8", "")}
    for row in rows:
        row["points"], row["comment"] = filled.get((row["student"], row["exercise"]), ("", ""))
    assert [row["of"] for row in rows if row["exercise"] == "8.1"] == ["4", "4"]
    by_hand = hand_ins.parent / "by-hand.csv"
    with open(by_hand, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    grades, table = graded(hand_ins, by_hand)
    assert table["anna"]["total"] == "11.5" and table["anna"]["8.1"] == "3.5"
    feedback = (folder / "feedback" / "anna.md").read_text("utf-8")
    assert "**11.5 of 40 points.**" in feedback and "| 3.5 of 4 | short |" in feedback
    assert "anna" in (folder / "canvas.csv").read_text("utf-8")
    stored = json.loads((hand_ins.parent / "grades.json").read_text("utf-8"))
    assert stored == grades


def test_a_task_whose_heading_was_changed_or_lost_still_counts(hand_ins):
    path = hand_ins / "anna" / "08_project.ipynb"
    notebook = read(path)
    for cell in notebook["cells"]:
        text = re.sub(r"^(## 8.+) points\)$", r"\1 pts)", "".join(cell["source"]), flags=re.M)
        cell["source"] = [text.replace("## 8.7 Conclusions", "### 8.7: What I conclude")]
    notebook["cells"] = [
        cell for cell in notebook["cells"] if not "".join(cell["source"]).startswith("## 8.4")
    ]
    path.write_text(as_text(notebook), encoding="utf-8")
    (hand_ins / "carl").mkdir()
    shutil.copy(INSTRUCTOR.parent / "04_evolutionary_search.ipynb", hand_ins / "carl")
    grades, table = graded(hand_ins)
    assert table["anna"]["8.7"] == "" and table["anna"]["8.4"] == "0"  # "" waits for points
    assert [one["of"] for one in grades["students"]] == [40, 40, 40]
    assert "8.4 missing" in table["anna"]["flags"] and "8.1" not in table["anna"]["flags"]
    assert table["carl"]["total"] == "0" and "8.1 missing" in table["carl"]["flags"]
    with open(hand_ins.parent / "grades" / "free-text.csv", newline="", encoding="utf-8") as file:
        (last,) = [row for row in csv.DictReader(file) if row["exercise"] == "8.7"][:1]
    assert last["text"] == "All of it."


def test_points_above_what_a_task_is_worth_are_refused(hand_ins):
    by_hand = hand_ins.parent / "by-hand.csv"
    by_hand.write_text("student,exercise,points,comment\nanna,8.1,35,\n")
    with pytest.raises(ValueError, match="task 8.1 is worth 0 to 4 points, not 35"):
        graded(hand_ins, by_hand)
