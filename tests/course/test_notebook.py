"""What notebooks do in a front end: the cell that checks all answers."""

import types

import IPython
import pytest
from grading_for_tests import solutions, write

from labkit.course import check, check_notebook
from labkit.course.checking import check as check_module
from labkit.course.checking import requirements
from labkit.course.exercises.exercise import SEEDS
from labkit.course.exercises.message_lines import WIDTH
from labkit.course.handout.notebook_file import cell_source, read
from labkit.course.handout.student_copy import INSTRUCTOR
from labkit.course.judges.registry import get_exercise
from labkit.storage.errors import LabError

NOTEBOOKS = [path for path in sorted(INSTRUCTOR.glob("*.ipynb")) if path.name[:2] != "00"]
RIGHT = solutions(1)["1.3"]
SOLVED = "# Exercise 1.3 (3 points)\ndef count_subnets(resolutions, stages):\n    return 1\n"


def words(text):
    """`text` without its lines."""
    return " ".join(text.split())


@pytest.fixture
def session(monkeypatch, tmp_path):
    """A session of a notebook, outside of pytest, in an empty folder: cells run by `session.run`,
    and are saved by `session.save`.
    """
    monkeypatch.delenv("PYTEST_VERSION")
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.chdir(tmp_path)
    shell = types.SimpleNamespace(
        user_ns={}, history_manager=types.SimpleNamespace(input_hist_raw=[""])
    )
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)

    def run(*sources):
        for source in sources:
            shell.history_manager.input_hist_raw.append(source)
            exec(source.removeprefix("%%time\n"), shell.user_ns)

    def save(*sources, name="mine.ipynb"):
        return write(tmp_path / name, [("code", source) for source in sources])

    return types.SimpleNamespace(run=run, save=save, value=shell.user_ns.get)


@pytest.mark.parametrize(
    "path",
    [path for path in NOTEBOOKS if "check(" in path.read_text(encoding="utf-8")],
    ids=lambda path: path.stem,
)
def test_the_last_code_cell_checks_all_answers(path):
    cells = [cell_source(cell) for cell in read(path)["cells"] if cell["cell_type"] == "code"]
    assert cells[-1].endswith("from labkit.course import check_notebook\n\ncheck_notebook()")
    assert f"labkit check notebooks/{path.name}" in cells[-1]
    assert sum("check_notebook" in cell for cell in cells) == 1


@pytest.fixture
def checked(monkeypatch):
    """What `check_notebook` checks, instead of its marks."""
    cells = []
    monkeypatch.setattr(check_module, "session_checker", lambda: None)
    monkeypatch.setattr(check_module, "check_cells", lambda some, _: cells.extend(some) or [])
    return cells


def test_the_saved_file_is_what_counts(session, checked, capsys):
    session.run("import torch", SOLVED.replace("1\n", "2\n"))
    session.save("import torch", SOLVED)
    check_notebook()
    assert [source for _, source in checked] == ["import torch", SOLVED]
    out = capsys.readouterr().out
    assert "mine.ipynb" in out and "Not saved: 1.3 ran in this session otherwise" in words(out)


def test_nothing_is_said_to_be_unsaved_where_all_is_saved(session, checked, capsys):
    session.run("import torch", SOLVED.replace("1\n", "2\n"), f"%%time\n{SOLVED}")
    session.save("import torch", f"%%time\n{SOLVED}\n")
    check_notebook()
    assert "Not saved" not in capsys.readouterr().out


def test_a_helper_that_is_not_saved_is_noticed(session, checked, capsys):
    answer = SOLVED.replace("return 1", "return one()")
    session.run("def one():\n    return 1", answer)
    session.save("def one():\n    return 2", answer)
    check_notebook()
    assert "Not saved: 1.3" in capsys.readouterr().out


def test_jupyter_names_the_file(session, checked, monkeypatch, capsys):
    session.save("x = 1", SOLVED, name="other.ipynb")
    monkeypatch.setenv("JPY_SESSION_NAME", str(session.save(SOLVED, name="this.ipynb")))
    check_notebook()
    assert len(checked) == 1 and "this.ipynb" in capsys.readouterr().out


def test_where_no_file_is_told_the_session_is_checked_and_it_says_so(session, checked, capsys):
    session.run("x = 1", SOLVED)
    check_notebook()
    assert len(checked) == 2
    assert "it was not found; to check it, give its name" in words(capsys.readouterr().out)


def test_a_notebook_without_answers_says_what_is_missing(session):
    session.run("x = 1")
    with pytest.raises(LabError, match="nothing to check"):
        check_notebook()


def test_where_nbval_is_missing_the_notebook_goes_on(session, monkeypatch, capsys):
    monkeypatch.setattr(requirements, "find_spec", lambda name: None)
    check_notebook()
    assert "pip install nbval" in capsys.readouterr().out
    session.run(RIGHT)
    check("1.3", session.value("count_subnets"))
    out = capsys.readouterr().out
    assert out.startswith("Exercise 1.3: correct, 3 of 3 points\n") and "pip install nbval" in out


def test_pytest_is_not_started_from_pytest(monkeypatch, capsys):
    monkeypatch.setattr(check_module, "check_cells", None)  # called, it would fail
    check_notebook()
    assert "left to pytest" in capsys.readouterr().out


def test_a_long_message_of_a_check_is_broken_between_words(session, capsys):
    check("1.3", lambda resolutions, stages: 1)
    out = capsys.readouterr().out
    assert out.startswith("Exercise 1.3: 0 of 3 points\n  ")
    assert all(len(line) <= WIDTH for line in out.splitlines())


@pytest.mark.slow
def test_the_table_of_a_session(session, capsys):
    session.run(SOLVED)
    check_notebook()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:1]] == ["exercise"]
    assert next(line for line in lines if line.startswith("1.3 ")).split()[1:4] == ["0", "of", "3"]
    assert next(line for line in lines if line.startswith("all ")).split() == [
        "all",
        "0",
        "of",
        "18",
    ]


@pytest.mark.slow
def test_a_function_that_is_right_here_but_not_as_it_is_graded_is_not_right(session, capsys):
    called = RIGHT.replace("total = resolutions", "total = resolutions + 0 * space.size()")
    session.run(
        "from labkit.course import check\nfrom labkit import get_space",
        "space = get_space('fmnist')",
        called,
        "check('1.3', count_subnets)",
    )
    out = words(capsys.readouterr().out)
    assert "0 of 3 points" in out and "calls labkit's own SearchSpace.size" in out
    assert "right as it ran here" in out
    session.run(RIGHT, "check('1.3', count_subnets)")
    assert capsys.readouterr().out == "Exercise 1.3: correct, 3 of 3 points\n"


@pytest.mark.slow
def test_a_function_that_the_notebook_will_not_be_graded_for_is_not_right(session, capsys):
    session.run(
        "from labkit.course import check",
        RIGHT.replace("def count_subnets", "def my_count"),
        "check('1.3', my_count)",
    )
    out = words(capsys.readouterr().out)
    assert "0 of 3 points" in out and "not defined" in out and "right as it ran here" in out


@pytest.mark.slow
def test_an_answer_that_is_wrong_for_other_inputs_only_gets_a_small_example(session, capsys):
    inputs = get_exercise("1.3").inputs
    seen = {inputs(seed)["resolutions"] for seed in SEEDS}
    session.run(
        "from labkit.course import check",
        RIGHT.replace("return total", f"return total if resolutions in {seen} else 0"),
        "check('1.3', count_subnets)",
    )
    out = words(capsys.readouterr().out)
    assert "0 of 3 points" in out and "right for the inputs of the notebook's check" in out
    assert "A small example: fewer subnets than there are" in out
    assert " stages = [[[" in out
