"""From hand-ins to files: table, JSON, feedback, class report; resuming, regrading, seeds; the
command line.
"""

import csv
import json
import os
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from grading_for_tests import cells_of, solutions, write

from labkit.cli import cli
from labkit.course.checking import answer_run
from labkit.course.checking.answer_run import RunPlan
from labkit.course.checking.check import check_cells
from labkit.course.checking.marking import Mark
from labkit.course.confinement.file_view import FileView
from labkit.course.confinement.limits import RunLimits
from labkit.course.grading import grade as grading
from labkit.course.grading.feedback import class_report, feedback
from labkit.course.grading.grade_files import as_csv
from labkit.course.grading.graded_run import GradingPlan, grade_hand_in
from labkit.course.grading.result_store import ResultStore, entry, grader_hash, is_current, slug
from labkit.course.judges.registry import exercises_of

ANSWERS = solutions(1)
WRONG = (
    "# Exercise 1.3\ndef count_subnets(resolutions, stages):\n    return 'wrong `` ` <b>' +"
    " '=cmd()'\n"
)


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A small class, graded once."""
    folder = tmp_path_factory.mktemp("class")
    hand_ins = folder / "hand-ins"
    hand_ins.mkdir()
    write(hand_ins / "anna.ipynb", cells_of({"1.3": ANSWERS["1.3"]}))
    write(hand_ins / "=1+1.ipynb", [("code", WRONG)])
    (hand_ins / "carl.ipynb").write_bytes(b"\x00 not a notebook")
    grades = grading.grade([hand_ins], folder / "grades.csv", seed=7, jobs=2, progress=False)
    return folder, grades


def rows(folder):
    with open(folder / "grades.csv", newline="", encoding="utf-8") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def test_the_table_has_points_totals_and_flags(graded):
    table = rows(graded[0])
    assert list(table["anna"]) == ["student", "1.1", "1.2", "1.3", "1.4", "1.5", "total", "flags"]
    assert (
        table["anna"]["1.3"] == table["anna"]["total"] == "3"
        and "1.1 missing" in table["anna"]["flags"]
    )
    assert table["'=1+1"]["total"] == "0" and table["carl"]["total"] == "0"
    assert "not a notebook" in table["carl"]["flags"]


def test_json_and_class_report_have_the_seed_and_the_walls(graded):
    folder, grades = graded
    assert (
        json.loads((folder / "grades.json").read_text(encoding="utf-8")) == grades
        and grades["seed"] == 7
    )
    report = (folder / "grades/class.md").read_text(encoding="utf-8")
    assert all(
        text in report for text in ("Seed 7", "walls:", "| 1.3 | 1 of 3 |", "kernel's start took")
    )
    assert "(2 notebooks)" in report and "- 2 notebooks ran" in report  # of carl's nothing ran


def test_feedback_says_what_failed_and_nothing_of_the_grader(graded):
    folder, grades = graded
    texts = {
        path.name: path.read_text(encoding="utf-8")
        for path in (folder / "grades/feedback").glob("*.md")
    }
    assert len(texts) == 3 and "| 1.3 | 3 of 3 | correct |" in texts["anna.md"]
    wrong = texts[f"{slug('=1+1')}.md"]
    assert "should be a whole number" in wrong and "````" not in wrong.replace("```text", "")
    assert not any("seed" in text.lower() or grades["grader"] in text for text in texts.values())


def test_what_is_unchanged_is_not_run_again(graded, monkeypatch):
    folder, before = graded
    monkeypatch.setattr(
        grading, "grade_all", lambda tasks, *_: pytest.fail("ran again") if tasks else []
    )
    assert (
        grading.grade([folder / "hand-ins"], folder / "grades.csv", progress=False) == before
    )  # the seed is kept


@pytest.mark.parametrize(
    "name, text",
    [
        ("grades.csv", "student,mine\n"),
        ("grades.json", '{"mine": 1}'),
        ("grades.json", "[1]"),
        ("grades.json", "no JSON"),
    ],
)
def test_a_table_that_somebody_else_made_is_not_overwritten(
    name, text, graded, tmp_path, monkeypatch
):
    monkeypatch.setattr(grading, "collect", lambda *_, **__: pytest.fail("worked before it looked"))
    (tmp_path / name).write_text(text)
    with pytest.raises(FileExistsError, match=f"{name} is there .* another --out"):
        grading.grade([graded[0] / "hand-ins"], tmp_path / "grades.csv", seed=7, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == [name] and (
        tmp_path / name
    ).read_text() == text


def test_an_interrupted_run_goes_on_where_it_was(graded, monkeypatch):
    folder, before = graded
    results = folder / "grades/results"
    stored = (results / "anna.json").read_text()
    (results / "anna.json").write_text(stored[:100])  # cut short
    students = []
    monkeypatch.setattr(
        grading,
        "grade_all",
        lambda tasks, *_: students.extend(task.hand_in.student for task in tasks) or [],
    )
    grading.grade([folder / "hand-ins"], folder / "grades.csv", progress=False)
    assert students == ["anna"]
    # Also before the first table was written: with the seed that was drawn, and not another one.
    for name in ("grades.csv", "grades.json"):
        (folder / name).unlink()
    grading.grade([folder / "hand-ins"], folder / "grades.csv", progress=False)
    assert students == ["anna", "anna"]
    (results / "anna.json").write_text(stored)
    assert grading.grade([folder / "hand-ins"], folder / "grades.csv", progress=False) == before


def test_regrading_one_exercise_leaves_the_others(graded, monkeypatch):
    folder, before = graded
    regraded = []
    monkeypatch.setattr(grading, "grade_all", lambda tasks, *_: regraded.extend(tasks) or [])
    again = grading.grade(
        [folder / "hand-ins"], folder / "grades.csv", only=["1.3"], progress=False
    )
    assert [task.ids for task in regraded] == [["1.3"]] * 3 and again == before
    with pytest.raises(ValueError, match="no exercise '1.99'"):
        grading.grade([folder / "hand-ins"], folder / "grades.csv", only=["1.99"])


def test_a_mark_holds_for_one_seed_one_grader_and_one_hand_in(tmp_path):
    store, mark = ResultStore(tmp_path), Mark("1.3", 3, 3)
    result = store.load("a/b", "digest") | {"marks": {"1.3": entry(mark, 4, "grader")}}
    store.save(result)
    assert (
        is_current(store.load("a/b", "digest"), "1.3", 4, "grader")
        and not store.load("a/b", "other")["marks"]
    )
    for other in (("1.3", 5, "grader"), ("1.3", 4, "x"), ("1.1", 4, "grader")):
        assert not is_current(result, *other)
    assert grader_hash(RunLimits()) == grader_hash(RunLimits()) != grader_hash(RunLimits(cell_s=1))


def test_the_class_report_has_no_line_for_what_was_not_asked_for(graded):
    students = [
        one | {"marks": [mark for mark in one["marks"] if mark["id"] == "1.3"]}
        for one in graded[1]["students"]
    ]
    report = class_report(graded[1] | {"students": students})
    assert "| 1.3 | 1 of 3 |" in report and "| 1.1 |" not in report


def test_a_failure_of_ours_is_said_and_tried_again(tmp_path, monkeypatch):
    write(tmp_path / "anna.ipynb", cells_of({"1.3": ANSWERS["1.3"]}))

    def grade_in_process(tasks, *_):
        monkeypatch.setattr(answer_run, "run_answer", lambda *a: 1 / 0)
        for task in tasks:
            yield grade_hand_in(
                *task, GradingPlan(RunPlan({}, FileView(()), 0, RunLimits()), ""), ""
            )

    monkeypatch.setattr(grading, "grade_all", grade_in_process)
    student = grading.grade([tmp_path / "anna.ipynb"], tmp_path / "grades.csv", progress=False)[
        "students"
    ][0]
    assert "1.3 not graded: run again" in student["flags"] and "no fault of yours" in feedback(
        student
    )
    assert not (tmp_path / "grades/results/anna.json").exists()
    assert [mark["points"] for mark in student["marks"]] == [None] * 5  # of all of notebook 1
    assert rows(tmp_path)["anna"]["1.3"] == ""  # no mark, and not none of its points
    report = (tmp_path / "grades/class.md").read_text()
    assert "Failures of the grader" in report and "ZeroDivisionError" in report


@pytest.mark.skipif(
    sys.platform != "linux", reason="the pool's processes have to be forks of this one"
)
@pytest.mark.parametrize("jobs", [1, 3])
def test_a_process_that_dies_costs_its_own_hand_in_and_no_other(jobs, tmp_path, monkeypatch):
    students, runs = ["anna", "ben", "carl", "dora", "eve"], []
    for name in students:
        write(tmp_path / f"{name}.ipynb", [("code", f"# Exercise 1.3\nraise {name}")])

    def run(submission, *_):
        if "ben" in submission.answers["1.3"]:
            os._exit(137)
        return {"ended": f"run {len(runs)}"}

    monkeypatch.setattr(answer_run, "run_answer", run)
    monkeypatch.setattr(grading, "require_full_reference", lambda *_: None)
    monkeypatch.setattr(
        grading, "ForkServer", lambda _: nullcontext(SimpleNamespace(folder=tmp_path, address=""))
    )
    monkeypatch.setattr(
        grading, "make_plan", lambda folder, numbers, *others: RunPlan({}, FileView(()), *others)
    )
    monkeypatch.setattr(grading, "raise_walls", lambda *_: SimpleNamespace(namespaces=True))
    for _ in range(2):  # the second grades nobody again but the one who has no grade yet
        runs.append(
            grading.grade(
                [tmp_path / f"{name}.ipynb" for name in students],
                tmp_path / "grades.csv",
                jobs=jobs,
                progress=False,
            )
        )
        texts = {one["student"]: feedback(one) for one in runs[-1]["students"]}
        assert "no fault of yours" in texts.pop("ben") and len(texts) == 4
        assert all("run 0" in text and "no fault" not in text for text in texts.values())
        assert {path.stem for path in (tmp_path / "grades/results").glob("*.json")} == set(texts)
        assert "1.3 not graded: run again" in rows(tmp_path)["ben"]["flags"]


@pytest.mark.parametrize(
    "name",
    ["=HYPERLINK(1)", "+1", "-1", "@x", "|x", "\t=1", "a\n=1,2", 'a"b', "<script>", "[x](y)"],
)
def test_no_name_is_a_formula_or_markup(name):
    student = {
        "student": name,
        "id": name,
        "total": 0,
        "complete": True,
        "late_days": 1,
        "penalty": 1.0,
        "extra": [{"exercise": "", "points": 1, "comment": name}],
        "of": 3,
        "flags": [name],
        "notes": [name],
        "runs": {},
        "marks": [{"id": "1.3", "points": 0, "of": 3, "message": f"```\n{name}", "flag": ""}],
        "tasks": [],
    }
    grades = {
        "seed": 1,
        "grader": "g",
        "labkit": "1",
        "python": "3",
        "torch": "2",
        "numpy": "2",
        "exercises": {"1.3": 3},
        "tasks": {},
        "students": [student],
        "missing": [name],
        "not_graded": [{"path": name, "reason": name}],
    }
    row = list(csv.reader(as_csv(grades).splitlines()))
    assert len(row) == 2 and len(row[1]) == 8
    assert all(cell[0] not in "=+-@|\t" for cell in row[1])
    for text in (feedback(student).split("````")[0], class_report(grades)):
        assert "<script>" not in text and "[x](y)" not in text


def test_students_with_odd_names_get_files_of_their_own():
    names = ["a/b", "a_b", "a b", "../../x", "", "é", "è", "x" * 300]
    assert len({slug(name) for name in names}) == len(names)
    assert all(
        slug(name).replace("-", "").replace("_", "").isalnum() and len(slug(name)) < 80
        for name in names
    )


def test_the_commands_say_what_is_wrong(tmp_path):
    (tmp_path / "x.ipynb").write_text("{}")
    bad = CliRunner().invoke(cli, ["check", str(tmp_path / "x.ipynb")])
    assert bad.exit_code != 0 and "no cells" in str(bad.exception)
    assert CliRunner().invoke(cli, ["grade"]).exit_code == 2
    assert CliRunner().invoke(cli, ["grade", str(tmp_path), "--out", "grades.txt"]).exit_code == 2


def test_check_prints_what_grade_would_give(tmp_path):
    path = write(
        tmp_path / "mine.ipynb",
        cells_of({"1.3": ANSWERS["1.3"], "1.2": "# Exercise 1.2\nsort_channels = 3"}),
    )
    outcome = CliRunner().invoke(cli, ["check", str(path)])
    lines = outcome.output.splitlines()
    assert outcome.exit_code == 1 and lines[0].split() == ["exercise", "points"]
    rows = [line for line in lines[1:-1] if not line.startswith(" ")]  # long messages are wrapped
    assert len(rows) == 5
    assert rows[2].startswith("1.3       3 of 3   pass")
    assert rows[0].startswith("1.1       0 of 4   missing")
    assert lines[-1].split() == [
        "all",
        "3",
        "of",
        str(sum(e.points for e in exercises_of(1).values())),
    ]


def test_check_runs_a_setup_that_reads_data(tmp_path, monkeypatch):
    """The data lie beside labkit, not beside the copy of it that answers run with."""
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    marker, function = ANSWERS["1.3"].split("\n", 1)
    source = f"{marker}\nimport labkit\nlabkit.load('fmnist').supernet\n{function}"
    marks = {mark.id: mark for mark in check_cells([("code", source)])}
    assert marks["1.3"].passed, marks["1.3"].message


def test_a_module_in_a_folder_that_another_statement_makes_is_not_a_missing_package():
    marker, function = ANSWERS["1.3"].split("\n", 1)
    sources = [
        "import os\nos.makedirs('helpers_1_3', exist_ok=True)",
        f"%%writefile helpers_1_3/counting.py\n{function}",
        f"{marker}\ndef count_subnets(*arguments):\n"
        "    from helpers_1_3 import counting\n    return counting.count_subnets(*arguments)",
    ]
    marks = {mark.id: mark for mark in check_cells([("code", source) for source in sources])}
    assert marks["1.3"].passed, marks["1.3"].message
