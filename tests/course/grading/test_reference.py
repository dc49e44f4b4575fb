"""The reference hand-in is graded first, and without all of its points nobody is graded."""

import pytest
from grading_for_tests import cells_of, solutions, write

from labkit.course.checking import answer_run
from labkit.course.checking import submission as submission_module
from labkit.course.checking.marking import Mark
from labkit.course.confinement.file_view import FileView
from labkit.course.grading import grade as grading
from labkit.course.grading import reference
from labkit.course.hand_ins import collect as collect_module
from labkit.course.judges.registry import TOPICS, exercises_of
from labkit.storage.errors import LabError


@pytest.mark.parametrize("number", TOPICS)
def test_the_instructors_notebook_answers_every_exercise(number):
    submission = reference.reference(number)
    assert set(submission.answers) == set(exercises_of(number)) and not submission.problems


def test_nobody_is_graded_where_the_reference_loses_points(tmp_path, monkeypatch):
    path = write(tmp_path / "anna.ipynb", cells_of({"1.3": solutions(1)["1.3"]}))
    graded = []

    def marks_of(submission, ids, plan, address):
        marks = [Mark(id, 0 if id == "1.4" else 4, 4, "this machine has no torch") for id in ids]
        return marks, {mark.id: {} for mark in marks}

    monkeypatch.setattr(reference, "marks_of", marks_of)
    monkeypatch.setattr(grading, "_in_pool", lambda *_: graded.append(1) or [])
    with pytest.raises(
        LabError, match=r"nothing was graded(.|\n)*\n1.4: this machine has no torch$"
    ):
        grading.grade([path], tmp_path / "grades.csv", progress=False)
    assert not graded and not (tmp_path / "grades.csv").exists()


def test_a_kernel_that_does_not_come_up_is_no_fault_of_an_answer(tmp_path, monkeypatch):
    reply = {"cells": [{"notebook": "1.3", "role": "course", "ok": False, "how": "died"}]}
    monkeypatch.setattr(answer_run, "run_job", lambda *_: reply)
    plan = answer_run.RunPlan({"1.3": tmp_path}, FileView(()), 0, answer_run.RunLimits())
    marks, replies = answer_run.marks_of(reference.reference(1), ["1.3"], plan, "")
    assert marks[0].points is None and "no fault of yours" in marks[0].message
    assert "did not run the first cell" in replies["1.3"]["failure"]


def test_inputs_that_cannot_be_made_cost_their_exercise_only(tmp_path, monkeypatch):
    def make_job(submission, ids, *_):
        if ids == ["1.4"]:
            raise ValueError("max() arg is an empty sequence")
        return {"notebooks": {}, "inputs": {}}

    monkeypatch.setattr(answer_run, "make_job", make_job)
    plan = answer_run.RunPlan({}, FileView(()), 0, answer_run.RunLimits())
    marks, replies = answer_run.marks_of(reference.reference(1), exercises_of(1), plan, "")
    assert [mark.id for mark in marks if mark.points is None] == ["1.4"]
    assert "max() arg" in replies["1.4"]["failure"]


def test_an_answer_that_cannot_be_looked_for_costs_its_exercise_only(tmp_path, monkeypatch):
    class Slice(submission_module.NotebookSlice):
        def sliced_cells(self):
            return super().sliced_cells() if self.function != "count_subnets" else 1 / 0

    monkeypatch.setattr(submission_module, "NotebookSlice", Slice)
    monkeypatch.setattr(answer_run, "run_answer", lambda *_: {})
    plan = answer_run.RunPlan({}, FileView(()), 0, answer_run.RunLimits())
    marks, replies = answer_run.marks_of(reference.reference(1), exercises_of(1), plan, "")
    assert [mark.id for mark in marks if mark.points is None] == ["1.3"]
    assert "no fault of yours" in marks[2].message
    assert "ZeroDivisionError" in replies["1.3"]["failure"]


def test_a_hand_in_that_is_not_read_by_a_fault_of_ours_has_no_marks(tmp_path, monkeypatch):
    """They are empty, it is flagged, and the class report has the traceback."""
    read = collect_module.free_texts

    def failing(cells):
        return 1 / 0 if any("of anna" in source for _, source in cells) else read(cells)

    monkeypatch.setattr(collect_module, "free_texts", failing)
    monkeypatch.setattr(grading, "require_full_reference", lambda *_: None)
    monkeypatch.setattr(answer_run, "run_answer", lambda *_: {})
    for name in ("anna", "ben"):
        answer = f"{solutions(1)['1.3']}\n# of {name}"
        write(tmp_path / f"{name}.ipynb", cells_of({"1.3": answer}))
    grades = grading.grade([tmp_path], tmp_path / "grades.csv", seed=1, jobs=1, progress=False)
    anna, ben = grades["students"]
    assert {mark["points"] for mark in anna["marks"]} == {None} and not anna["complete"]
    assert "failure in the grader" in " ".join(anna["flags"]) and ben["complete"]
    report = (tmp_path / "grades/class.md").read_text(encoding="utf-8")
    assert "Failures of the grader" in report and "ZeroDivisionError" in report
    assert not (tmp_path / "grades/results/anna.json").exists()
