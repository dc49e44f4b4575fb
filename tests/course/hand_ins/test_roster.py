"""Class lists as platforms export them."""

import pytest

from labkit.course.hand_ins.roster import read_roster

CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Once-for-All lab (98765),Final Score\n"
    ",,,,,Manual Posting,\n"
    "    Points Possible,,,,,18,(read only)\n"
    '"Doe, Jane",1001,S1,jdoe,A,,\n'
    '"Müller, Zoë",1002,S2,zoe,A,,\n'
)
MOODLE = (
    '\ufeffIdentifier,"Full name","Email address",Status,Grade,"Maximum grade",'
    '"Grade can be changed","Last modified (submission)","Last modified (grade)",'
    '"Feedback comments"\n'
    '"Participant 701","Jane Doe",jane@uni.edu,"Submitted for grading - 1 day 3 hours late",,'
    '18.00,Yes,"Saturday, 21 November 2026, 3:05 PM",-,\n'
    '"Participant 702","Zoë Müller",zoe@uni.edu,"No submission",,18.00,Yes,-,-,\n'
)
GITHUB = (
    "assignment_name,assignment_url,starter_code_url,github_username,roster_identifier,"
    "student_repository_name,student_repository_url,submission_timestamp,points_awarded,"
    "points_available\n"
    "lab,u,u,jdoe,jane@uni.edu,lab-jdoe,u,2026-11-21 14:05:00 UTC,0,18\n"
)
PLAIN = "student;id;submitted\nJane Doe;7;2026-11-21T15:05:00+01:00\n"


def roster(tmp_path, text):
    path = tmp_path / "list.csv"
    path.write_text(text, encoding="utf-8")
    return read_roster(path)


@pytest.mark.parametrize(
    "text, name, id, expected",
    [
        (CANVAS, "doejane", "1001", ("Doe, Jane", "1001", "", None)),
        (CANVAS, "Jane Doe", "", ("Doe, Jane", "1001", "", None)),
        (CANVAS, "Jane Doe", "S1", ("Doe, Jane", "1001", "", None)),
        (MOODLE, "Jane Doe", "701", ("Jane Doe", "701", "2026-11-21T15:05:00", 2)),
        (MOODLE, "Zoe\u0308 Mu\u0308ller", "", ("Zoë Müller", "702", "", None)),
        (
            GITHUB,
            "lab-jdoe",
            "",
            ("jane@uni.edu", "lab-jdoe", "2026-11-21T14:05:00+00:00", None),
        ),
        (PLAIN, "jane doe", "", ("Jane Doe", "7", "2026-11-21T15:05:00+01:00", None)),
    ],
)
def test_a_student_is_known_by_id_or_name(text, name, id, expected, tmp_path):
    known = roster(tmp_path, text).identify(name, id)
    assert (known["student"], known["id"], known["submitted"], known["late_days"]) == expected


def test_rows_that_are_no_students_are_not_among_them(tmp_path):
    canvas = roster(tmp_path, CANVAS)
    assert [row["ID"] for row in canvas.rows] == ["1001", "1002"]
    assert not canvas.identify("Points Possible", "") and not canvas.identify("Nobody", "9")


def test_a_name_of_two_is_nobodys(tmp_path):
    twins = roster(tmp_path, "student,id\nJane Doe,1\nDoe Jane,2\n")
    assert twins.identify("Jane Doe", "") == {} and twins.identify("x", "2")["id"] == "2"


@pytest.mark.parametrize(
    "text, message",
    [
        ("name,points\nx,1\n", "has the columns name, points"),
        ("", "an empty file"),
        ("student,id\na,1\nb,1\n", "more than once"),
    ],
)
def test_what_is_no_class_list_is_refused(text, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        roster(tmp_path, text)
