"""Which cell is the answer to which exercise, and what is wrong with the rest."""

import pytest
from grading_for_tests import cells_of, solutions

from labkit.course.checking.submission import find_answers
from labkit.course.handout.pristine_course import unsolved_cells

ANSWERS = solutions(1)
UNSOLVED = unsolved_cells(1)


def replaced(id, *cells):
    return [
        cell
        for name, source in ANSWERS.items()
        for cell in (cells if name == id else [("code", source)])
    ]


def problem(*cells, id="1.2"):
    """The problem named for an exercise whose cell is replaced by `cells`; the others are found."""
    submission = find_answers(replaced(id, *cells))
    assert submission.answers == {name: source for name, source in ANSWERS.items() if name != id}
    return submission.problems[id]


BODY = ANSWERS["1.2"].split("\n", 1)[1]


def test_answers_are_found_wherever_they_were_moved():
    cells = [
        ("markdown", "# Exercise 1.2 (4 points)"),
        *reversed(cells_of(ANSWERS)),
        ("code", "print(1)"),
    ]
    submission = find_answers(cells)
    assert (
        submission.answers == ANSWERS and not submission.problems and submission.notebooks == (1,)
    )


@pytest.mark.parametrize(
    "comment",
    [
        "# Exercise 1.2 (4 points)",
        "#exercise 1.2",
        "   ##  EXERCISE 1.2: mine",
        "import math\n\n# Exercise 1.2 (4 points)",
        "%%time\n# Exercise 1.2",
    ],
)
def test_the_comment_may_look_different(comment):
    assert (
        find_answers(replaced("1.2", ("code", f"{comment}\n{BODY}"))).answers["1.2"].endswith(BODY)
    )


def test_missing_answers_are_named():
    assert problem().startswith("missing: no cell has the comment `# Exercise 1.2 (4 points)`")
    assert "one defines sort_channels; put the comment back" in problem(("code", BODY))
    assert "is a markdown cell" in problem(("markdown", ANSWERS["1.2"]))


def test_split_answers_are_named():
    head, tail = ANSWERS["1.2"].rsplit("\n", 2)[0], "    return expand, depthwise, project"
    for cells in (
        [("code", "# Exercise 1.2 (4 points)"), ("code", BODY)],
        [("code", head), ("code", tail)],
        [("code", "# Exercise 1.2 (4 points)\ndef helper(x):\n    return x"), ("code", BODY)],
    ):
        assert problem(*cells).startswith("split: the answer goes on in the cell after")


def test_two_different_answers_are_named_and_copies_are_not():
    other = ANSWERS["1.2"].replace("descending=True", "descending=False")
    assert problem(("code", ANSWERS["1.2"]), ("code", other)).startswith(
        "duplicated: 2 different cells"
    )
    for copy in (ANSWERS["1.2"], ANSWERS["1.2"] + "\n\n", UNSOLVED["1.2"]):
        assert not find_answers(replaced("1.2", ("code", copy), ("code", ANSWERS["1.2"]))).problems


def test_two_exercises_in_one_cell_are_both_found():
    both = ANSWERS["1.2"] + "\n\n" + ANSWERS["1.3"]
    submission = find_answers(
        [("code", both), *[("code", ANSWERS[id]) for id in ("1.1", "1.4", "1.5")]]
    )
    assert (
        submission.answers["1.2"] == submission.answers["1.3"] == both and not submission.problems
    )


def test_exercises_that_do_not_exist_are_noted():
    submission = find_answers(
        [*cells_of(ANSWERS), ("code", "# Exercise 1.77 (9 points)\n"), ("code", "# Exercise 99.1")]
    )
    assert submission.answers == ANSWERS and "1.77, 99.1" in submission.notes[0]
