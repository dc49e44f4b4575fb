"""From a class as a platform gives it to the table that the platform takes, deadlines, points by
hand, and regrading one student.
"""

import csv
import json
from datetime import datetime

import pytest
from click.testing import CliRunner
from grading_for_tests import cells_of, notebook, solutions
from platforms_for_tests import (
    canvas_import,
    canvas_name,
    classroom_grades,
    classroom_import,
    drive_name,
    gradescope_metadata,
    moodle_feedback_import,
    moodle_import,
    moodle_name,
    packed,
    sheets_import,
)

from labkit.cli import cli
from labkit.course.checking.marking import Mark
from labkit.course.gradebook.deadline import Deadline
from labkit.course.gradebook.terms import Terms
from labkit.course.grading import grade as grading
from labkit.course.grading.grade import student_seed
from labkit.course.grading.result_store import entry
from labkit.course.hand_ins.roster import read_roster
from labkit.course.handout.notebook_file import as_text
from labkit.course.judges.registry import get_exercise

ANSWERS = solutions(1)
WRONG = "# Exercise 1.3\ndef count_subnets(resolutions, stages):\n    return 7"
COUNT = 30


def content(number):
    """The notebook of student `number`: every third one is wrong, all are different."""
    answer = WRONG if number % 3 == 0 else ANSWERS["1.3"]
    return as_text(notebook(cells_of({"1.3": f"{answer}\n# {number}"})))


def points(number):
    return 0 if number % 3 == 0 else 3


@pytest.fixture
def judged_by_looking(monkeypatch):
    """Grades without running answers: an answer is wrong if it is the wrong one of this file."""
    runs = []

    def grade_all(tasks, grader, *_):
        for task in tasks:
            runs.append((task.hand_in.student, tuple(task.ids), task.seed))
            for id in task.ids:
                answer = task.hand_in.submission.answers.get(id)
                of = get_exercise(id).points
                right = answer is not None and "return 7" not in answer
                message = "" if right else "missing: no cell" if answer is None else "wrong"
                mark = Mark(id, of if right else 0, of, message)
                task.result["marks"][id] = entry(mark, task.seed, grader)
            yield task.result

    monkeypatch.setattr(grading, "grade_all", grade_all)
    return runs


def canvas_class(folder):
    names = [f"Müller{i}, Zoë" for i in range(COUNT)]
    files = {
        canvas_name(name, 1000 + i, 5000 + i, "01_supernet.ipynb"): content(i)
        for i, name in enumerate(names)
    }
    (folder / "submissions.zip").write_bytes(packed(files))
    lines = [
        "Student,ID,SIS User ID,SIS Login ID,Section,Lab 1 (4321)",
        "    Points Possible,,,,,3",
    ]
    lines += [f'"{name}",{1000 + i},S{i},z{i},A,' for i, name in enumerate(names)]
    lines += ['"Absent, Ann",1999,S99,ann,A,']
    (folder / "roster.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "submissions.zip", folder / "roster.csv"


def moodle_class(folder):
    lines = [
        'Identifier,"Full name","Email address",Status,Grade,"Maximum grade",'
        '"Grade can be changed","Last modified (submission)","Last modified (grade)",'
        '"Feedback comments"'
    ]
    for i in range(COUNT):
        path = folder / "in" / moodle_name(f"Zoë Müller {i}", 1000 + i, "work.ipynb")
        path.parent.mkdir(parents=True)
        path.write_text(content(i), encoding="utf-8")
        lines.append(
            f'"Participant {1000 + i}","Zoë Müller {i}",z{i}@uni.edu,Submitted,,18.00,Yes,-,-,'
        )
    lines.append('"Participant 1999","Ann Absent",ann@uni.edu,"No submission",,18.00,Yes,-,-,')
    (folder / "roster.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "in", folder / "roster.csv"


def test_a_class_from_canvas_goes_back_to_canvas(judged_by_looking, tmp_path):
    path, roster_path = canvas_class(tmp_path)
    terms = Terms(roster=read_roster(roster_path), formats=("canvas",), assignment="Lab 1")
    grades = grading.grade([path], tmp_path / "grades.csv", terms=terms, progress=False)
    ids = {str(1000 + i) for i in range(COUNT)}
    scores, possible = canvas_import(
        (tmp_path / "grades/canvas.csv").read_text(encoding="utf-8"), ids, "Lab 1 (4321)"
    )
    assert scores == {str(1000 + i): points(i) for i in range(COUNT)} and possible == 18
    assert grades["missing"] == ["Absent, Ann"]
    assert "Absent, Ann" in (tmp_path / "grades/class.md").read_text(encoding="utf-8")


def test_a_class_from_moodle_goes_back_to_moodle(judged_by_looking, tmp_path):
    path, roster_path = moodle_class(tmp_path)
    terms = Terms(roster=read_roster(roster_path), formats=("moodle",))
    grading.grade([path], tmp_path / "grades.csv", terms=terms, progress=False)
    ids = {str(1000 + i) for i in range(COUNT)}
    read = moodle_import((tmp_path / "grades/moodle.csv").read_text(encoding="utf-8"), ids)
    assert {id: grade for id, (grade, _) in read.items()} == {
        str(1000 + i): points(i) for i in range(COUNT)
    }
    files = moodle_feedback_import((tmp_path / "grades/moodle-feedback.zip").read_bytes(), ids)
    assert set(files) == ids and "1.3 | 3 of 3 | correct" in files["1001"][1]
    assert "Zoë Müller 1\\" not in files["1001"][1] and "# Feedback for Zoë" in files["1001"][1]


def test_late_hand_ins_lose_points_and_points_by_hand_survive_regrading(
    judged_by_looking, tmp_path
):
    metadata = {}
    for i, time in enumerate(("2026-11-20 12:00:00 Z", "2026-11-21 13:00:00 Z")):
        (tmp_path / "in" / f"submission_{i}").mkdir(parents=True)
        (tmp_path / "in" / f"submission_{i}" / "work.ipynb").write_text(content(i + 1))
        metadata[f"submission_{i}"] = ([(f"student{i}", f"s{i}", f"s{i}@uni.edu")], time)
    (tmp_path / "in" / "submission_metadata.yml").write_text(gradescope_metadata(metadata))
    (tmp_path / "by-hand.csv").write_text(
        "student,exercise,points,comment,late_days\ns1,1.3,2,well explained,\n"
    )
    deadline = Deadline(datetime.fromisoformat("2026-11-20T12:00+00:00"), 25)
    terms = Terms(deadline=deadline, by_hand=tmp_path / "by-hand.csv")
    for seed in (1, 2):  # the second regrades everything
        grading.grade(
            [tmp_path / "in"], tmp_path / "grades.csv", terms=terms, seed=seed, progress=False
        )
        with open(tmp_path / "grades.csv", newline="", encoding="utf-8") as file:
            first, second = csv.DictReader(file)
        assert (first["id"], first["late_days"], first["total"]) == ("s0", "0", "3")
        assert second["penalty"] == "1.5" and second["by_hand"] == "2"
        assert second["total"] == "3.5" and "2 days late" in second["flags"]
        text = (tmp_path / "grades/feedback/student1.md").read_text(encoding="utf-8")
        assert "well explained" in text and "3.5 of 18 points" in text and "| late |" in text
    (tmp_path / "by-hand.csv").write_text("student,points,comment\nnobody,1,\n")
    with pytest.raises(ValueError, match="'nobody'"):
        grading.grade([tmp_path / "in"], tmp_path / "grades.csv", terms=terms, progress=False)


def test_two_hand_ins_of_one_id_are_in_no_platforms_table(judged_by_looking, tmp_path):
    """Somebody who hands in under another's name must not decide what the other gets."""
    for place, number in (("a", 1), ("b", 3)):
        (tmp_path / place).mkdir()
        (tmp_path / place / "Jane Doe.ipynb").write_text(content(number))
    (tmp_path / "roster.csv").write_text("student,id\nJane Doe,7\n")
    terms = Terms(roster=read_roster(tmp_path / "roster.csv"), formats=("canvas",))
    grades = grading.grade(
        [tmp_path / "a", tmp_path / "b"], tmp_path / "grades.csv", terms=terms, progress=False
    )
    assert all("have the id 7" in " ".join(one["flags"]) for one in grades["students"])
    table = (tmp_path / "grades/canvas.csv").read_text(encoding="utf-8")
    assert len(table.splitlines()) == 2


def test_one_student_is_regraded_and_the_others_stay(judged_by_looking, tmp_path):
    (tmp_path / "in").mkdir()
    for i, name in enumerate(("anna", "ben", "carl")):
        (tmp_path / "in" / f"{name}.ipynb").write_text(content(i))

    def grade(**how):
        return grading.grade([tmp_path / "in"], tmp_path / "grades.csv", progress=False, **how)

    before = grade(seed=3)
    judged_by_looking.clear()
    assert grade(students=["ben"]) == before
    assert [(student, len(ids)) for student, ids, _ in judged_by_looking] == [("ben", 5)]
    judged_by_looking.clear()
    grade(students=["ben"], only=["1.3"])
    assert judged_by_looking == [("ben", ("1.3",), 3)]
    with pytest.raises(ValueError, match="no student is called 'bne'"):
        grade(students=["bne"])


def test_each_student_has_inputs_of_his_or_her_own_if_asked_for(judged_by_looking, tmp_path):
    (tmp_path / "in").mkdir()
    for i, name in enumerate(("anna", "ben")):
        (tmp_path / "in" / f"{name}.ipynb").write_text(content(i))
    for _ in range(2):  # the second finds everything graded
        grading.grade(
            [tmp_path / "in"],
            tmp_path / "grades.csv",
            seed=3,
            per_student_inputs=True,
            progress=False,
        )
    seeds = {student: seed for student, _, seed in judged_by_looking}
    assert len(judged_by_looking) == 2 and len(set(seeds.values())) == 2
    assert seeds["anna"] == student_seed(3, "anna") != student_seed(4, "anna")


def test_the_command_takes_all_of_it(judged_by_looking, tmp_path):
    path, roster_path = canvas_class(tmp_path)
    arguments = ["grade", str(path), "--out", str(tmp_path / "grades.csv"), "--notebook", "1"]
    arguments += ["--roster", str(roster_path), "--format", "canvas", "--format", "csv"]
    arguments += ["--deadline", "2026-11-20 23:59", "--late-penalty", "10"]
    outcome = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    assert "grades/canvas.csv" in outcome.output
    assert "1 in the class list handed in nothing" in outcome.output
    assert len(json.loads((tmp_path / "grades.json").read_text())["students"]) == COUNT
    bad = CliRunner().invoke(cli, [*arguments[:4], "--deadline", "tomorrow"])
    assert bad.exit_code == 2 and "'tomorrow' is no time" in bad.output


def test_what_students_wrote_is_collected_for_marking_by_hand(judged_by_looking, tmp_path):
    cells = [("markdown", "My thoughts: `x` <b>"), *cells_of(ANSWERS)]
    (tmp_path / "anna.ipynb").write_text(as_text(notebook(cells)), encoding="utf-8")
    grading.grade([tmp_path / "anna.ipynb"], tmp_path / "grades.csv", progress=False)
    text = (tmp_path / "grades/free-text.md").read_text(encoding="utf-8")
    assert "### anna" in text and "My thoughts: `x` <b>" in text
    table = (tmp_path / "grades/free-text.csv").read_text(encoding="utf-8")
    filled = table.replace('"anna","",""', '"anna","","2"')
    (tmp_path / "by-hand.csv").write_text(filled, encoding="utf-8")
    terms = Terms(by_hand=tmp_path / "by-hand.csv")
    again = grading.grade(
        [tmp_path / "anna.ipynb"], tmp_path / "grades.csv", terms=terms, progress=False
    )
    assert again["students"][0]["total"] == 20


def test_a_fault_of_the_grader_is_a_mark_in_no_table(judged_by_looking, monkeypatch, tmp_path):
    grade_all = grading.grade_all

    def failing(tasks, grader, *others):
        for result in grade_all(tasks, grader, *others):
            if result["student"] == "Müller3, Zoë":
                result["marks"]["1.3"]["mark"] |= {"points": None, "flag": "1.3 not graded"}
            yield result

    monkeypatch.setattr(grading, "grade_all", failing)
    path, roster_path = canvas_class(tmp_path)
    terms = Terms(roster=read_roster(roster_path), formats=("canvas", "moodle"))
    grading.grade([path], tmp_path / "grades.csv", terms=terms, progress=False)
    table = (tmp_path / "grades/canvas.csv").read_text(encoding="utf-8")
    assert '"1002"' in table and '"1003"' not in table
    assert "Participant 1003" not in (tmp_path / "grades/moodle.csv").read_text(encoding="utf-8")
    with open(tmp_path / "grades.csv", newline="", encoding="utf-8") as file:
        row = next(row for row in csv.DictReader(file) if row["id"] == "1003")
    assert row["1.3"] == row["total"] == "" and "1.3 not graded" in row["flags"]


# ---- graded for real -----------------------------------------------------------------------------


def gradescope_class(folder):
    metadata = {}
    for i in range(COUNT):
        place = folder / "assignment_7_export" / f"submission_{i}"
        place.mkdir(parents=True)
        (place / "work.ipynb").write_text(content(i), encoding="utf-8")
        people = [(f"Zoë Müller {i}", str(1000 + i), f"z{i}@uni.edu")]
        metadata[place.name] = (people, "2026-11-20 12:00:00 Z")
    path = folder / "assignment_7_export" / "submission_metadata.yml"
    path.write_text(gradescope_metadata(metadata), encoding="utf-8")
    return folder / "assignment_7_export", None


@pytest.mark.slow
@pytest.mark.parametrize("platform", [canvas_class, moodle_class, gradescope_class])
def test_a_class_of_30_is_graded_and_goes_back(platform, tmp_path):
    path, roster_path = platform(tmp_path)
    roster = read_roster(roster_path) if roster_path else None
    terms = Terms(roster=roster, formats=("canvas", "moodle"), assignment="Lab 1")
    grades = grading.grade(
        [path], tmp_path / "grades.csv", seed=5, terms=terms, progress=False, without_walls=True
    )
    ids = {str(1000 + i) for i in range(COUNT)}
    expected = {str(1000 + i): points(i) for i in range(COUNT)}
    assert {one["id"]: one["total"] for one in grades["students"]} == expected
    table = (tmp_path / "grades/canvas.csv").read_text(encoding="utf-8")
    title = next(name for name in next(csv.reader(table.splitlines())) if name.startswith("Lab 1"))
    assert canvas_import(table, ids, title)[0] == expected
    read = moodle_import((tmp_path / "grades/moodle.csv").read_text(encoding="utf-8"), ids)
    assert {id: grade for id, (grade, _) in read.items()} == expected
    files = moodle_feedback_import((tmp_path / "grades/moodle-feedback.zip").read_bytes(), ids)
    assert set(files) == ids


@pytest.mark.slow
def test_a_class_of_30_from_google_drive_is_graded_and_goes_into_a_sheet(tmp_path):
    names = [f"Zoë Müller {i}" for i in range(COUNT)]
    files = {
        f"Lab 1/{drive_name(name, '01_supernet.ipynb', i)}": content(i)
        for i, name in enumerate(names)
    }
    path = tmp_path / "drive-download-20261120T120000Z-001.zip"
    path.write_bytes(packed(files))
    grades = grading.grade(
        [path], tmp_path / "grades.csv", seed=5, progress=False, without_walls=True
    )
    flags = " ".join(flag for one in grades["students"] for flag in one["flags"])
    assert "other versions" not in flags and "have this name" not in flags, flags
    totals = sheets_import((tmp_path / "grades.csv").read_text(encoding="utf-8"), "student")
    assert totals == {name: points(i) for i, name in enumerate(names)}


@pytest.mark.slow
def test_a_class_of_30_from_github_classroom_is_graded_and_joins_its_table(tmp_path):
    """The whole course is in each clone, and one notebook of it is graded."""
    users = {f"zoe-{i}": f"z{i}@uni.edu" for i in range(COUNT)}
    other = as_text(notebook(cells_of(solutions(2))))
    for i, user in enumerate(users):
        clone = tmp_path / "lab-submissions" / f"lab-{user}"
        for folder in ("notebooks", ".git"):
            (clone / folder).mkdir(parents=True)
        (clone / "README.md").write_text("the course")
        (clone / "notebooks/01_supernet.ipynb").write_text(content(i), encoding="utf-8")
        (clone / "notebooks/02_progressive_shrinking.ipynb").write_text(other, encoding="utf-8")
    table = classroom_grades("lab", users | {"absent": "absent@uni.edu"})
    (tmp_path / "classroom.csv").write_text(table, encoding="utf-8")
    arguments = ["grade", str(tmp_path / "lab-submissions"), "--notebook", "1", "--seed", "5"]
    arguments += ["--out", str(tmp_path / "grades.csv"), "--without-walls"]
    arguments += ["--roster", str(tmp_path / "classroom.csv")]
    outcome = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    assert "1 in the class list handed in nothing" in outcome.output
    totals = classroom_import((tmp_path / "grades.csv").read_text(encoding="utf-8"), table)
    assert totals == {name: points(i) for i, name in enumerate(users.values())}
