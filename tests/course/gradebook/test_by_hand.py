"""Points by hand: what is read, and what is refused rather than lost."""

import pytest

from labkit.course.gradebook import by_hand
from labkit.course.gradebook.by_hand import ByHand, lines_by_student, read_by_hand
from labkit.course.handout.free_text import WrittenTask

HEADER = "student,exercise,points,comment,late_days\n"


def read(tmp_path, text):
    path = tmp_path / "by-hand.csv"
    path.write_text(text, encoding="utf-8")
    return read_by_hand(path)


def test_lines_give_points_comments_and_extensions(tmp_path):
    lines = read(
        tmp_path, HEADER + 'anna,1.3,"1,5",well explained,\nben,,,ill,0\ncarl,,,,\ndora,,-2,,\n'
    )
    assert lines == [
        ByHand("anna", "1.3", 1.5, "well explained", None),
        ByHand("ben", "", 0.0, "ill", 0),
        ByHand("dora", "", -2.0, "", None),
    ]


@pytest.mark.parametrize(
    "line, message",
    [
        ("anna,1.99,1,,", r"line 2: there is no exercise '1\.99'"),
        ("anna,1.3,much,,", "line 2"),
        ("anna,1.3,nan,,", "want a number, such as 0.25, got 'nan'"),
        ("anna,1.3,1_0,,", "want a number, such as 0.25, got '1_0'"),
        ("anna,,1,,soon", "line 2"),
        (",1.3,1,,", "no student"),
        ("anna,,1e308,,", "no points"),
        ("anna,,1,,-9", "-9 is no number of late days"),
        ('anna,,1,"good work,\nben,,2,ok,', "line 3: unexpected end of data; is a quotation"),
        ("anna,,1," + 200_000 * "x", "line 2: field larger"),
    ],
)
def test_lines_that_say_nothing_clear_are_refused(line, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, f"{HEADER}{line}\n")
    with pytest.raises(ValueError, match="lacks the columns"):
        read(tmp_path, "name,points\n")


def test_a_table_in_another_encoding_is_named(tmp_path):
    (tmp_path / "by-hand.csv").write_bytes((HEADER + "jörg,,1,,\n").encode("cp1252"))
    with pytest.raises(ValueError, match="by-hand.csv is not text in UTF-8; export it again"):
        read_by_hand(tmp_path / "by-hand.csv")


def test_a_written_task_gets_points_up_to_its_own(tmp_path, monkeypatch):
    tasks = {"8.1": WrittenTask("8.1", "Images", 4)}
    monkeypatch.setattr(by_hand, "written_tasks", lambda: tasks)
    assert read(tmp_path, HEADER + "anna,8.1,4,all there,\n") == [
        ByHand("anna", "8.1", 4.0, "all there", None)
    ]
    for points, message in (("5", "8.1 is worth 0 to 4 points, not 5"), ("-1", "not -1")):
        with pytest.raises(ValueError, match=f"line 2: .*{message}"):
            read(tmp_path, f"{HEADER}anna,8.1,{points},,\n")
    with pytest.raises(ValueError, match="not a comment alone"):
        read(tmp_path, f"{HEADER}anna,8.1,,good,\n")


def test_a_line_is_about_one_student_by_name_or_id():
    students = [("José", "7"), ("Ben", "8"), ("ben #2", "")]
    lines = [ByHand("Jose\u0301", points=1), ByHand("8", points=2), ByHand("BEN", points=3)]
    by_student = lines_by_student(lines, students)
    assert [line.points for line in by_student["José"]] == [1]
    assert [line.points for line in by_student["Ben"]] == [2, 3] and by_student["ben #2"] == []
    with pytest.raises(ValueError, match="'Bne', which is the name of nobody"):
        lines_by_student([ByHand("Bne", points=1)], students)
    with pytest.raises(ValueError, match="of 2 students"):
        lines_by_student([ByHand("7", points=1)], [("7", ""), ("x", "7")])
