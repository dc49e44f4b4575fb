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
        ("markdown", "# Exercise 1.2 (2 points)"),
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
        "# Exercise 1.2 (2 points)",
        "#exercise 1.2",
        "   ##  EXERCISE 1.2: mine",
        "import math\n\n# Exercise 1.2 (2 points)",
        "%%time\n# Exercise 1.2",
    ],
)
def test_the_comment_may_look_different(comment):
    assert (
        find_answers(replaced("1.2", ("code", f"{comment}\n{BODY}"))).answers["1.2"].endswith(BODY)
    )


def test_missing_answers_are_named():
    assert problem().startswith("missing: no cell has the comment `# Exercise 1.2 (2 points)`")
    assert "or defines sort_channels" in problem()
    assert "is a markdown cell" in problem(("markdown", ANSWERS["1.2"]))


def program(*cells, id="1.2"):
    """The (role, source) cells that run for the answer among `cells`."""
    return [tuple(cell) for cell in find_answers(replaced(id, *cells)).programs[id]]


def test_the_cell_that_defines_the_function_is_the_answer_wherever_the_comment_is():
    for before in ("# Exercise 1.2 (2 points)", "# Exercise 1.2\ndef helper(x):\n    return x"):
        assert program(("code", before), ("code", BODY)) == [("answer", BODY)]
    assert program(("code", BODY)) == [("answer", BODY)]


def test_of_two_answers_the_one_counts_that_the_check_saw():
    other = ANSWERS["1.2"].replace("descending=True", "descending=False")
    right, wrong, checked = (
        ("code", ANSWERS["1.2"]),
        ("code", other),
        ("code", "check('1.2', sort_channels)"),
    )
    assert program(wrong, right) == program(wrong, right, checked) == [("answer", right[1])]
    assert program(right, checked, wrong) == [("answer", right[1])]
    assert program(checked, wrong, right) == [("answer", right[1])]
    assert program(right, checked, wrong, checked) == [("answer", other)]
    for copy in (ANSWERS["1.2"], UNSOLVED["1.2"]):
        assert (
            program(("code", copy), right)
            == program(right, ("code", copy))
            == [("answer", right[1])]
        )


def test_two_notebooks_with_different_answers_are_named_and_copies_are_not():
    other = ANSWERS["1.2"].replace("descending=True", "descending=False")
    two = [*cells_of(ANSWERS), ("file", "b.ipynb"), ("code", other)]
    assert find_answers(two).problems["1.2"].startswith("duplicated: 2 notebooks have different")
    for copy in (ANSWERS["1.2"] + "\n\n", UNSOLVED["1.2"]):
        assert not find_answers([*two[:-1], ("code", copy)]).problems


def test_what_another_notebook_calls_like_an_answer_is_none():
    """A loop variable, a helper, or a changed copy on which a later task builds."""
    check = ("code", 'check("1.2", sort_channels)')
    alone = [*cells_of(ANSWERS), check]
    name = "sort_channels"
    for other in (
        f"for {name} in range(5):\n    pass",
        f"def {name}(x):\n    return x / 2",
        ANSWERS["1.2"].replace("descending=True", "descending=False"),
    ):
        for cells in (
            [*alone, ("file", "b.ipynb"), ("code", other)],
            [("code", other), ("file", "b.ipynb"), *alone],
        ):
            found = find_answers(cells)
            assert (
                not found.problems and found.programs["1.2"] == find_answers(alone).programs["1.2"]
            )


def test_a_notebook_knows_no_names_of_another_one():
    cells = [
        ("code", "def helper(x):\n    return x"),
        ("file", "b.ipynb"),
        ("code", ANSWERS["1.2"]),
    ]
    assert [cell.role for cell in find_answers(cells).programs["1.2"]] == ["answer"]


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


def test_a_function_that_would_define_the_answer_and_is_not_called_is_no_answer():
    cell = (
        "# Exercise 1.2 (4 points)\ndef define():\n    global sort_channels\n    sort_channels = 0"
    )
    submission = find_answers(replaced("1.2", ("code", cell)))
    assert submission.programs["1.2"] == (("answer", cell),) and not submission.failures
