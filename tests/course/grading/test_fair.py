"""Honest work keeps its points, however it was written or saved; one slip loses one exercise, and
only that.
"""

import json

import pytest
from grading_for_tests import cells_of, confined, notebook, solutions
from lab_mutants import mutants

from labkit.course.checking.marking import time_limit
from labkit.course.checking.submitted_file import parse
from labkit.course.exercises.trial import try_answer
from labkit.course.handout.notebook_file import cell_source, read
from labkit.course.handout.pristine_course import (
    course_dir,
    course_names,
    pristine_cells,
    unsolved_cells,
)
from labkit.course.handout.student_copy import INSTRUCTOR, student_copy
from labkit.course.judges.registry import TOPICS, exercises_of, get_exercise

NUMBERS = [number for number in TOPICS if number in course_names() and exercises_of(number)]
ANSWERS = solutions(1)


@pytest.fixture(scope="module")
def grader():
    with confined() as runner:
        yield runner


def full(number):
    return {id: exercise.points for id, exercise in exercises_of(number).items()}


def points(marks):
    return {id: mark.points for id, mark in marks.items()}


SLOWLY = [pytest.param(number, marks=[] if number == 4 else pytest.mark.slow) for number in NUMBERS]


@pytest.mark.parametrize("number", SLOWLY)
def test_the_reference_scores_everything_and_the_unfilled_notebook_nothing(number, grader):
    assert points(grader.marks(cells_of(solutions(number)))) == full(number)
    unfilled = grader.marks([("code", source) for source in pristine_cells(number)])
    assert points(unfilled) == dict.fromkeys(full(number), 0)
    assert all("not solved yet" in mark.message for mark in unfilled.values())


def slip(id, source):
    """The answer with the first one-line slip that makes it wrong."""
    for mutant in mutants(source):
        scope = {}
        try:
            with time_limit(5):
                exec(
                    "import numpy as np, torch\nimport torch.nn.functional as F\n" + mutant.source,
                    scope,
                )
                exercise = get_exercise(id)
                if not try_answer(exercise, scope[exercise.function]).passed:
                    return f"# Exercise {id}\n{mutant.source}"
        except Exception:
            continue
    raise AssertionError(f"no slip makes the answer to {id} wrong")


@pytest.mark.parametrize(
    "id",
    [
        pytest.param(id, marks=[] if id in ("1.4", "4.1") else pytest.mark.slow)
        for number in NUMBERS
        for id in exercises_of(number)
    ],
)
def test_one_slip_loses_exactly_its_exercise(id, grader):
    number = int(id.partition(".")[0])
    answers = solutions(number)
    marks = grader.marks(cells_of(answers | {id: slip(id, answers[id])}))
    assert points(marks) == full(number) | {id: 0} and marks[id].message


HONEST = {
    "warnings on standard error": (
        "import sys, warnings\nwarnings.warn('careful')\nprint('oh', file=sys.stderr)\n"
    ),
    "a picture": (
        "from matplotlib.figure import Figure\nfigure = Figure()\nfigure.subplots().plot([1,"
        " 2])\nfigure\n"
    ),
    "pyplot": "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\n",
    "a magic": "%matplotlib inline\n",
    "a cell magic": "%%time\n",
    "blank lines": "\n\n   \n",
    "many lines of output": "for i in range(3000):\n    print('line', i)\n",
    "a check in the cell": "from labkit.course import check\ncheck('1.3', lambda *a: 1)\n",
    "names of the setup": "print(space.num_genes, space.smallest(), len(dataset.splits), torch)\n",
    "an answer with an error after it": None,
    "unusual formatting": None,
    "another right solution": None,
    "a helper in the cell": None,
    "an import in the cell": None,
}
OTHERS = {
    "an answer with an error after it": ANSWERS["1.3"] + "\nassert count_subnets(1, []) == 2",
    "unusual formatting": (
        "#   exercise 1.3\ndef count_subnets(resolutions,stages)"
        " :\n\ttotal=resolutions;\\\n\tpass\n\tfor(d,k,e)in stages : total*=sum((k*e)**n for n in"
        " d)\n\treturn(total)\n\n\n"
    ),
    "another right solution": (
        "# Exercise 1.3 (3 points)\nfrom functools import reduce\ncount_subnets = lambda r, s: "
        "reduce(lambda a, b: a * sum((b[1] * b[2]) ** n for n in b[0]), s, r)"
    ),
    "a helper in the cell": (
        "# Exercise 1.3 (3 points)\ndef stage(d, k, e):\n    return sum((k * e) ** n for n in d)\n"
        "def count_subnets(r, s):\n    for one in s:\n        r *= stage(*one)\n    return r"
    ),
    "an import in the cell": (
        "# Exercise 1.3 (3 points)\nimport math\ndef count_subnets(r, s):\n"
        "    return r * math.prod(sum((k * e) ** n for n in d) for d, k, e in s)"
    ),
}


@pytest.mark.parametrize("name", HONEST)
def test_what_does_not_matter_costs_nothing(name, grader):
    source = OTHERS[name] if HONEST[name] is None else HONEST[name] + ANSWERS["1.3"]
    graded = grader.marks([("code", source)], ["1.3"])["1.3"]
    assert graded.passed, graded.message


def saved_by(front_end):
    """A solved notebook with what each front end adds to it."""
    book = notebook(
        [("markdown", "# My notes"), ("code", "x = 1 / 0"), *cells_of(ANSWERS)],
        minor={"Colab": 0, "VS Code": 2, "Jupyter 7": 5}[front_end],
        ids=front_end == "Jupyter 7",
    )
    for i, cell in enumerate(book["cells"]):
        if front_end == "Colab":
            cell["metadata"] = {
                "id": f"c{i}",
                "colab": {"base_uri": "https://localhost:8080/"},
                "outputId": "1",
            }
        if front_end == "VS Code":
            cell["metadata"] = {"vscode": {"languageId": "python"}}
        if front_end == "Jupyter 7":
            cell["metadata"] = {
                "editable": True,
                "slideshow": {"slide_type": ""},
                "tags": ["raises-exception"],
            }
        if cell["cell_type"] == "code":
            warning = {"output_type": "stream", "name": "stderr", "text": ["warning\n"]}
            cell |= {"execution_count": i, "outputs": [warning]}
    book["metadata"] = {
        "Colab": {
            "colab": {"provenance": []},
            "accelerator": "GPU",
            "kernelspec": {"name": "python3"},
        },
        "VS Code": {"kernelspec": {"name": "my-env"}, "language_info": {"name": "python"}},
        "Jupyter 7": {"kernelspec": {"name": "no-such"}, "widgets": {}},
    }[front_end]
    return book


@pytest.mark.parametrize("front_end", ["Colab", "VS Code", "Jupyter 7"])
def test_what_saved_it_does_not_matter(front_end, grader):
    text = ("\ufeff" + json.dumps(saved_by(front_end), indent=1)).replace("\n", "\r\n")
    assert points(grader.marks(parse(text.encode()), ["1.3", "1.5"])) == {"1.3": 3, "1.5": 6}


def test_imports_and_helpers_of_other_cells_are_found(grader):
    """As in the notebook itself: what `check` there finds right is right here."""
    answer = ANSWERS["1.3"].replace("total = resolutions", "total = first(resolutions)")
    other_cells = [
        ("code", "import operator as op\nprint('a cell of mine')\nwhile False: pass"),
        ("code", "def first(n):\n    return op.index(n)"),
        ("code", "this is no Python"),
    ]
    assert answer != ANSWERS["1.3"]
    assert grader.marks([*other_cells, ("code", answer)], ["1.3"])["1.3"].passed
    assert grader.marks([("code", answer), *other_cells], ["1.3"])["1.3"].passed


def test_what_no_cell_defines_is_explained(grader):
    cells = [("code", ANSWERS["1.3"].replace("total = resolutions", "total = helper"))]
    message = grader.marks(cells, ["1.3"])["1.3"].message
    assert (
        "name 'helper' is not defined" in message
        and "helper functions are safest in the cell" in message
    )


def test_an_answer_of_another_name_and_one_that_leaves_python_are_explained(grader):
    renamed = ANSWERS["1.3"].replace("def count_subnets(", "def count_all(")
    leaves = "# Exercise 1.3\nimport sys\ndef count_subnets(r, s): sys.exit(0)"
    messages = [
        grader.marks([("code", source)], ["1.3"])["1.3"].message for source in (renamed, leaves)
    ]
    assert messages[0] == (
        "the cell of exercise 1.3 defines count_all; its name must be count_subnets"
    )
    assert messages[1].startswith("count_subnets raised SystemExit: 0")


def test_an_answer_may_use_another_answer(grader):
    cells = [
        (
            "code",
            (
                "# Exercise 1.1\ndef product(r, s):\n    for d, k, e in s:\n"
                "        r *= sum((k * e) ** n for n in d)\n    return r"
            ),
        ),
        ("code", "# Exercise 1.3\ndef count_subnets(r, s):\n    return product(r, s)"),
    ]
    marks = grader.marks(cells, ["1.1", "1.3"])
    assert marks["1.3"].passed and not marks["1.1"].passed


def test_the_same_submission_and_seed_give_the_same_marks(grader):
    source = (
        "# Exercise 4.4\nimport numpy as np\ndef mutate(genes, choices, rate, rng):\n"
        "    fresh = np.random.randint(0, choices, genes.shape)\n"
        "    return np.where(np.random.random(genes.shape) < rate, fresh, genes)"
    )
    first, second = (grader.marks([("code", source)], ["4.4"], seed=5) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("path", sorted(INSTRUCTOR.glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_course_that_checks_use_is_fresh(path):
    copy = student_copy(read(path), path.name)
    sources = [cell_source(cell) for cell in copy["cells"] if cell["cell_type"] == "code"]
    stored = json.loads((course_dir() / f"{path.stem}.json").read_text(encoding="utf-8"))["cells"]
    assert stored == sources, "stale: run python -m labkit.course.release.student_notebooks"


def test_every_exercise_has_its_stub():
    assert all(set(unsolved_cells(number)) == set(exercises_of(number)) for number in NUMBERS)
