"""The notebook that runs an answer: the setup in it."""

from grading_for_tests import solutions

from labkit.course.checking.answer_notebook import answer_notebook
from labkit.course.handout.notebook_file import cell_source
from labkit.course.judges.registry import get_exercise


def test_only_needed_setup_is_put_before_an_answer():
    answers = solutions(1)
    plain = answer_notebook(get_exercise("1.3"), answers, "/nowhere", ("visible",))["cells"]
    assert [cell["metadata"]["labkit"] for cell in plain] == ["setup", "answer", "call"]
    looking = {"1.3": answers["1.3"] + "\nprint(space.size())"}
    setup = [
        cell_source(cell)
        for cell in answer_notebook(get_exercise("1.3"), looking, "/nowhere", ())["cells"][1:-1]
    ]
    assert list(dict.fromkeys(setup)) == [
        "from labkit import load",
        "trained = load('fmnist')",
        "space = trained.space",
    ]
