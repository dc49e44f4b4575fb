"""The table for Canvas, imported back as Canvas does."""

from platforms_for_tests import canvas_import

from labkit.course.gradebook.canvas import canvas_table
from labkit.course.hand_ins.roster import read_roster

EXPORT = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Other (1),Once-for-All lab (98765),Final Score\n"
    ",,,,,,Manual Posting,\n"
    "    Points Possible,,,,,5,18,(read only)\n"
    '"Doe, Jane",1001,S1,jdoe,"A, 1",4,,\n'
    "=Zoë Müller,1002,S2,zoe,B,5,,\n"
)
STUDENTS = [
    {"student": "Doe, Jane", "id": "1001", "total": 12.5},
    {"student": "=Zoë Müller", "id": "1002", "total": 0},
]


def test_the_exported_gradebooks_column_and_ids_are_used(tmp_path):
    path = tmp_path / "export.csv"
    path.write_text(EXPORT, encoding="utf-8")
    table = canvas_table(STUDENTS, 18, "Once-for-All lab", read_roster(path))
    scores, possible = canvas_import(table, {"1001", "1002"}, "Once-for-All lab (98765)")
    assert scores == {"1001": 12.5, "1002": 0} and possible == 18
    assert "Other" not in table  # what another assignment was graded with stays as it is
    row = table.splitlines()[2]
    assert '"S1","jdoe","A, 1"' in row


def test_without_it_ids_come_from_the_names_of_files():
    table = canvas_table(STUDENTS, 18, "Lab", None)
    scores, _ = canvas_import(table, {"1001", "1002"}, "Lab")
    assert scores == {"1001": 12.5, "1002": 0}
    assert '"=Z' not in table
