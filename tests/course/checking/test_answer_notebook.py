"""The notebook that runs an answer: what it needs of the student's notebook, and calls of it."""

import pytest
from grading_for_tests import cells_of, solutions

from labkit.course.checking.answer_notebook import answer_notebook
from labkit.course.checking.submission import find_answers
from labkit.course.handout.notebook_file import cell_source
from labkit.course.judges.registry import exercises_of, get_exercise

ANSWERS = solutions(1)


def cells(sources, id="1.3"):
    """(role, statements) of what runs for an answer, without the first cell and the calls."""
    program = find_answers([("code", source) for source in sources]).programs[id]
    notebook = answer_notebook(get_exercise(id), program, "/nowhere", ())
    lines = ((cell["metadata"]["labkit"], cell_source(cell)) for cell in notebook["cells"][1:])
    return [
        (
            role,
            [
                line.partition("  #")[0]
                for line in text.split("\n")
                if line and line[0] != "#" and line[:4] != "pass"
            ],
        )
        for role, text in lines
    ]


def test_of_the_course_only_what_is_needed_runs():
    assert [role for role, _ in cells([ANSWERS["1.3"]])] == ["answer"]
    looking = ANSWERS["1.3"].replace(
        "total = resolutions", "total = resolutions + 0 * space.size()"
    )
    assert looking != ANSWERS["1.3"]
    assert cells([looking])[:-1] == [
        ("course", ["import labkit"]),
        ("course", ['trained = labkit.load("fmnist")', "space = trained.space"]),
    ]


def test_calls_come_last_and_name_their_inputs():
    program = find_answers(cells_of(ANSWERS)).programs["1.3"]
    notebook = answer_notebook(get_exercise("1.3"), program, "/nowhere", ("visible", "hidden"))
    assert [cell["metadata"].get("inputs") for cell in notebook["cells"]][-3:] == [
        None,
        "1.3-visible",
        "1.3-hidden",
    ]


@pytest.mark.parametrize("id", exercises_of(1))
def test_an_answer_runs_whole_and_on_its_lines(id):
    program = find_answers(cells_of(ANSWERS)).programs[id]
    assert program[-1].source == ANSWERS[id]
