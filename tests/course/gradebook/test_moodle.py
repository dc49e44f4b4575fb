"""The worksheet and the feedback files for Moodle, imported back as Moodle does."""

import pytest
from platforms_for_tests import moodle_feedback_import, moodle_import

from labkit.course.gradebook.moodle import feedback_zip, moodle_table
from labkit.course.hand_ins.roster import read_roster

EXPORT = (
    'Identifier,"Full name","Email address",Status,Grade,"Maximum grade","Grade can be changed",'
    '"Last modified (submission)","Last modified (grade)","Feedback comments"\n'
    '"Participant 701","Jane Doe",jane@uni.edu,"Submitted for grading",,{of},Yes,"Friday",-,\n'
    '"Participant 702","Zoë Müller",zoe@uni.edu,"No submission",,{of},Yes,-,-,\n'
)
JANE = {
    "student": "Jane Doe",
    "id": "701",
    "total": 3.6,
    "penalty": 0.4,
    "extra": [{"exercise": "1.3", "points": 1, "comment": "well said"}],
    "marks": [{"id": "1.3", "points": 3, "of": 3}],
}


def test_grades_and_comments_come_back_by_participant(tmp_path):
    path = tmp_path / "worksheet.csv"
    path.write_text(EXPORT.format(of="18.00"), encoding="utf-8")
    for roster in (read_roster(path), None):
        grades = moodle_import(moodle_table([JANE], 18, roster), {"701", "702"})
        assert grades == {"701": (3.6, "1.3: 3 of 3; late: -0.4; 1.3 +1 well said")}


def test_a_maximum_that_moodle_would_cut_grades_at_is_refused(tmp_path):
    path = tmp_path / "worksheet.csv"
    path.write_text(EXPORT.format(of='"10,00"'), encoding="utf-8")
    with pytest.raises(ValueError, match="maximum grade is 10,00, and there are 18"):
        moodle_table([JANE], 18, read_roster(path))


def test_feedback_files_find_their_students():
    texts = [
        ("Jane Doe", "701", "one"),
        ("../../O'Neil_99_x/y", "702", "two"),
        ("without an id", "", "three"),
    ]
    files = moodle_feedback_import(feedback_zip(texts), {"701", "702", "99"})
    assert files == {"701": ("feedback.md", "one"), "702": ("feedback.md", "two")}
    assert feedback_zip(texts) == feedback_zip(texts)
