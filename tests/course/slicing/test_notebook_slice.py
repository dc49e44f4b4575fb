"""What a function needs of a notebook: right answers of every form stay right when all else is left
out, and nothing else runs.
"""

import contextlib
import io
import logging
import warnings

import pytest
import torch
from decorations_for_tests import DECORATIONS, Answer
from grading_for_tests import solutions
from IPython.core.interactiveshell import InteractiveShell

from labkit.course.checking.submission import find_answers
from labkit.course.exercises.trial import try_answer
from labkit.course.handout.pristine_course import pristine_cells
from labkit.course.judges.registry import exercises_of, get_exercise
from labkit.course.slicing.cell_statements import cell_statements
from labkit.course.slicing.notebook_slice import Cell, NotebookSlice, cell_with

COUNT = Answer("1.3", "count_subnets", solutions(1)["1.3"])
DERIVE = Answer("6.3", "derive_node", solutions(6)["6.3"])  # which needs an import
# At each call these start processes, which the full run of the corpus has time for.
STARTING = ("sixteen_processes", "processes_that_load_data", "a_shell_in_the_function")
COUNTED = ("the_value_of_a_cell",)  # is kept by a shell that counts its cells


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
    before, dtype = dict(shell.user_ns), torch.get_default_dtype()
    handlers = list(logging.getLogger().handlers)
    with warnings.catch_warnings():
        yield shell
    torch.set_default_dtype(dtype)
    logging.getLogger().handlers[:] = handlers
    shell.user_ns.clear()
    shell.user_ns.update(before)


@pytest.mark.parametrize("answer", [COUNT, DERIVE], ids=["1.3", "6.3"])
@pytest.mark.parametrize("name", [name for name in DECORATIONS if name not in STARTING + COUNTED])
def test_what_is_left_of_a_right_answer_is_right(name, answer, fresh):
    cells = [cell.replace("'ID'", repr(answer.id)) for cell in DECORATIONS[name](answer)]
    cells = ["import numpy as np", *cells, f'check("{answer.id}", {answer.function})']
    submission = find_answers([("code", cell) for cell in cells])
    assert not submission.problems.get(answer.id)
    output = io.StringIO()
    for programs in (submission.programs, submission.wider_programs):
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            for cell in programs.get(answer.id, ()):
                if cell.role != "course":  # which would load the supernet, and no answer needs that
                    fresh.run_cell(cell.source, store_history=False)
        verdict = try_answer(get_exercise(answer.id), fresh.user_ns[answer.function])
        if verdict.passed:
            break
    assert verdict.passed, verdict.message + output.getvalue()[-500:]


def test_the_value_at_the_end_of_a_cell_has_a_name():
    cells = ("x = 2", "x", "print(x)", "last = _", "def f(): return last")
    assert sliced(*cells) == ["x = 2", "x", "last = _", "def f(): return last"]


FILL = "def fill(table):\n  table['a'] = 1\n  return table"
COUNTER = "class Counter:\n  n = 0\n  def step(self):\n    self.n += 1\n    return self.n"
# Each with f(), a right value of which hangs on something that no text of a needed statement says.
UNTOLD = {
    "a function of a function sets a global": (
        "def inner():\n  global x\n  x = 5\ndef outer(): inner()\nouter()",
        "def f(): return x",
    ),
    "a function of a function fills a table": (
        "T = []\ndef add(i): T.append(i)\ndef fill():\n  for i in range(3): add(i)\nfill()",
        "def f(): return T",
    ),
    "a method sets a global": (
        "class Setup:\n  def run(self):\n    global x\n    x = 4\nsetup = Setup()\nsetup.run()",
        "def f(): return x",
    ),
    "a comprehension": ("T = []\n[T.append(i) for i in range(3)]", "def f(): return T"),
    "map": ("T = []\n_ = list(map(T.append, range(3)))", "def f(): return T"),
    "a condition": ("T = []\nTrue and T.append(1)", "def f(): return T"),
    "pop": ("T = [1, 2, 3]\nhead = T.pop(0)", "def f(): return T"),
    "next": ("T = iter([1, 2, 3])\nhead = next(T)", "def f(): return list(T)"),
    "an argument with a value": (f"T = {{}}\n{FILL}\nU = fill(T)", "def f(): return T"),
    "an argument by its name": (f"T = {{}}\n{FILL}\nfill(table=T)", "def f(): return T"),
    "a method with a value": (f"{COUNTER}\nc = Counter()\nx = c.step()", "def f(): return c.n"),
    "a method by another name": ("T = []\nadd = T.append\nadd(1)", "def f(): return T"),
    "a part by another name": ("T = [[]]\nrow = T[0]\nrow.append(1)", "def f(): return T"),
    "a list in a list": ("A = []\nL = [A]\nL[0].append(1)", "def f(): return A"),
    "a list that a function gives": (
        "A = []\ndef get(): return A\nget().append(1)",
        "def f(): return A",
    ),
    "a default": (
        "T = {'n': 0}\ndef step(t=T): t['n'] += 1\nstep()",
        "def f(): return T",
    ),
    "a closure": (
        "def make():\n  n = 0\n  def step():\n    nonlocal n\n    n += 1\n    return n\n"
        "  return step\nstep = make()\nstep()",
        "def f(): return step()",
    ),
    "a subclass": (
        "class A: pass\nclass B(A): v = 1",
        "def f(): return [c.v for c in A.__subclasses__()]",
    ),
    "a generator of numbers": (
        "import random\nrng = random.Random(0)\nx = rng.random()",
        "def f(): return rng.random()",
    ),
    "names made of texts": (
        "t_1 = 3\nt_2 = 4",
        "def f(): return [globals()[f't_{i}'] for i in (1, 2)]",
    ),
    "eval": ("x = 3", "def f(): return eval('x + 1')"),
    "a file that a function writes": (
        "def save():\n  with open('n.txt', 'w') as file: file.write('7')\nsave()",
        "def f(): return open('n.txt').read()",
    ),
    "a file by a variable": (
        "PATH = 'n.txt'\n_ = open(PATH, 'w').write('7')",
        "def f(): return open(PATH).read()",
    ),
}


@pytest.mark.parametrize("name", UNTOLD)
def test_the_wider_slice_holds_what_no_text_tells(name, fresh, tmp_path):
    names = dict(fresh.user_ns)

    def value(sources):
        for source in sources:
            fresh.run_cell(source, store_history=False).raise_error()
        result = fresh.user_ns["f"]()
        fresh.user_ns.clear()
        fresh.user_ns.update(names)
        for file in tmp_path.glob("*.txt"):
            file.unlink()
        return result

    cells = [Cell(source) for source in UNTOLD[name]]
    wider = NotebookSlice("f", cells, len(cells) - 1).wider_cells()
    assert value(cell.source for cell in wider) == value(UNTOLD[name])


def test_the_wider_slice_needs_nothing_that_the_course_computes():
    course = [Cell("import os\nLIMIT = 3\ndef area(x): return x * LIMIT", is_course=True)]
    course += [Cell("trained = load()\ndef macs(x): return trained(x)", is_course=True)]
    f = "def f(): return T"
    student = ["T = []\nU = [T]", "U[0].append(area(1))", "n = macs(2)\nU.append(n)\nprint(T)", f]
    cells = [*course, *map(Cell, student)]
    wider = NotebookSlice("f", cells, len(cells) - 1).wider_cells()
    lines = [line for cell in wider for line in cell.source.split("\n") if line not in ("", "pass")]
    assert "U[0].append(area(1))" in lines and "LIMIT = 3" in lines
    assert not {"trained = load()", "n = macs(2)", "U.append(n)", "print(T)"} & set(lines)


def test_without_statements_that_could_matter_there_is_no_wider_slice():
    cells = [
        "import os\nN = 3\ndef g(): pass",
        "def f(): return 1",
        "print(f())\n!pip install x\nassert f()",
    ]
    assert not NotebookSlice("f", [Cell(cell) for cell in cells], 2).wider_cells()


@pytest.mark.parametrize("number", range(1, 8))
def test_answers_that_are_functions_have_no_wider_programs(number):
    cells = [("code", source) for source in [*pristine_cells(number), *solutions(number).values()]]
    assert find_answers(cells).programs.keys() == exercises_of(number).keys()
    assert not find_answers(cells).wider_programs


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
