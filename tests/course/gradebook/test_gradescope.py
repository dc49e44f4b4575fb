"""results.json as Gradescope reads it."""

import json

from platforms_for_tests import gradescope_import

from labkit.course.gradebook.gradescope import results

STUDENT = {
    "notes": ["eve.ipynb: not a notebook"],
    "flags": ["1.2 calls labkit's own answer"],
    "marks": [
        {"id": "1.3", "points": 3, "of": 3, "message": "", "flag": "", "seed": 12345},
        {"id": "1.2", "points": 0, "of": 4, "message": "wrong", "flag": "secret", "seed": 12345},
    ],
}


def test_scores_and_messages_are_what_gradescope_reads():
    read = results(STUDENT)
    assert gradescope_import(json.loads(json.dumps(read))) == (3, 7)
    assert [test["status"] for test in read["tests"]] == ["passed", "failed"]
    assert "12345" not in json.dumps(read) and "secret" not in json.dumps(read)
