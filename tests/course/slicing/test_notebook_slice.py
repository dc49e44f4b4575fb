"""What a function needs of a notebook: right answers of every form stay right when all else is left
out, and nothing else runs.
"""

import contextlib
import io

import pytest
from decorations_for_tests import DECORATIONS, Answer
from grading_for_tests import solutions
from IPython.core.interactiveshell import InteractiveShell

from labkit.course.checking.submission import find_answers
from labkit.course.exercises.trial import try_answer
from labkit.course.judges.registry import get_exercise
from labkit.course.slicing.cell_statements import cell_statements
from labkit.course.slicing.notebook_slice import Cell, NotebookSlice, cell_with

COUNT = Answer("1.3", "count_subnets", solutions(1)["1.3"])
DERIVE = Answer("6.3", "derive_node", solutions(6)["6.3"])  # which needs an import
# At each call these start processes, which the full run of the corpus has time for.
STARTING = ("sixteen_processes", "processes_that_load_data", "a_shell_in_the_function")


def sliced(*cells, last=None, course=()):
    """What `f` needs of a notebook, cell by cell, without what was left out."""
    cells = [cell if isinstance(cell, Cell) else Cell(cell) for cell in cells]
    last = len(cells) - 1 if last is None else last
    remaining = NotebookSlice("f", cells, last, course).sliced_cells()
    lines = [[line for line in cell.source.split("\n") if line] for cell in remaining]
    return ["\n".join(line for line in cell if line != "pass") for cell in lines]


@pytest.fixture(scope="module")
def shell():
    return InteractiveShell.instance()


@pytest.fixture
def fresh(shell, tmp_path, monkeypatch):
    """A shell with no names of an earlier test, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = dict(shell.user_ns)
    yield shell
    shell.user_ns.clear()
    shell.user_ns.update(before)


@pytest.mark.parametrize("answer", [COUNT, DERIVE], ids=["1.3", "6.3"])
@pytest.mark.parametrize("name", [name for name in DECORATIONS if name not in STARTING])
def test_what_is_left_of_a_right_answer_is_right(name, answer, fresh):
    cells = [cell.replace("'ID'", repr(answer.id)) for cell in DECORATIONS[name](answer)]
    cells = ["import numpy as np", *cells, f'check("{answer.id}", {answer.function})']
    submission = find_answers([("code", cell) for cell in cells])
    assert not submission.problems.get(answer.id)
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        for cell in submission.programs[answer.id]:
            if cell.role != "course":  # which would load the supernet, and no answer needs that
                fresh.run_cell(cell.source, store_history=False)
    verdict = try_answer(get_exercise(answer.id), fresh.user_ns[answer.function])
    assert verdict.passed, verdict.message + output.getvalue()[-500:]


def test_only_what_is_needed_is_left():
    assert sliced(
        "import os, sys\nheavy = train()\nx = 2\nprint(heavy)", "def f():\n  return x"
    ) == [
        "x = 2",
        "def f():\n  return x",
    ]
    assert sliced("import os, sys\ndef f():\n  return os.name") == [
        "import os\ndef f():\n  return os.name"
    ]


def test_the_last_value_above_counts_and_then_the_cells_below_and_then_the_course():
    f = "def f():\n  return x"
    assert sliced("x = 1", "x = 2", f) == ["x = 2", f]
    assert sliced("x = 1", f, "x = 2") == [f, "x = 2"]
    assert sliced("x = 1", f, "x = 2", last=1) == ["x = 1", f]
    assert sliced(f, "x = 2", last=0, course=["x = 3"]) == [f, "x = 2"]
    assert sliced(f, course=["x = 3"]) == ["x = 3", f]


def test_a_students_function_below_wins_over_a_name_of_the_course_above():
    f, own = "def f():\n  return options()", "def options():\n  return 1"
    assert sliced(Cell("options = [1]", is_course=True), f, own, last=1) == [f, own]
    assert sliced("options = [1]", f, own, last=1) == ["options = [1]", f]


def test_builtins_are_the_students_only_where_a_cell_above_or_a_function_says_so():
    f = "def f():\n  return sum([1])"
    assert sliced(f, "sum = 0", last=0) == [f]
    assert sliced("def sum(x):\n  return 2", f) == ["def sum(x):\n  return 2", f]


def test_what_changes_a_value_belongs_to_it():
    f = "def f():\n  return T"
    for change in (
        "T['a'] = 1",
        "T.update(a=1)",
        "for key in 'ab':\n  T[key] = 1",
        "del T['a']",
        "fill(T)",
        "for row in T:\n  row.append(1)",
    ):
        assert sliced("T = {}", change, f) == ["T = {}", change, f]
    for other in ("print(T)", "show(T)", "check('1.3', T)", "assert T", "x = T", "len(T)"):
        assert sliced("T = {}", other, f) == ["T = {}", f]


def test_a_function_is_run_with_the_values_of_where_it_is_called():
    cells = (
        "S = 2\ndef g(x): return S * x",
        "T = [g(i) for i in range(3)]",
        "S = 5",
        "def f(): return T",
    )
    assert sliced(*cells) == [*cells[:2], cells[3]]


def test_settings_and_patches_of_modules_run_and_what_draws_the_results_of_others_does_not():
    f = "def f(x):\n  return x.total()"
    patch = "import torch\ntorch.Tensor.total = torch.Tensor.sum"
    assert sliced(patch, f) == [patch, f]
    plot = "import numpy as np\nlosses = train()\nnp.testing.assert_allclose(losses, 0)"
    assert sliced(plot, "def f():\n  return np.ones(1)")[0] == "import numpy as np"


def test_cells_that_are_no_python_are_left_out():
    assert sliced("this is no Python", "%%bash\nx=1", "def f():\n  return 1") == [
        "def f():\n  return 1"
    ]


def test_lines_stay_where_they_were():
    source = "x = [\n1]; y = 2\nprint(\n3)\n@cache\ndef f():\n    return y"
    plain, statements = cell_statements(source)
    kept = cell_with(source, [one for one in statements if one.binds & {"y", "f"}])
    compile(kept, "cell", "exec")
    assert [line.strip() for line in kept.split("\n")][-3:] == ["@cache", "def f():", "return y"]
    assert kept.count("\n") == source.count("\n") and "print" not in kept
