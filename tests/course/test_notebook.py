"""What notebooks do in a front end: the cell that checks all answers."""

import types

import IPython
import pytest

from labkit.course import check_notebook
from labkit.course.checking import check
from labkit.course.handout.notebook_file import cell_source, read
from labkit.course.handout.student_copy import INSTRUCTOR
from labkit.course.notebook import _session_cells
from labkit.storage.errors import LabError, MissingPackage

NOTEBOOKS = [path for path in sorted(INSTRUCTOR.glob("*.ipynb")) if path.name[:2] != "00"]
SOLVED = "# Exercise 1.3 (3 points)\ndef count_subnets(resolutions, stages):\n    return 1\n"


@pytest.fixture
def session(monkeypatch):
    """A session of a notebook in which an answer ran twice, the second time changed; outside of
    pytest.
    """
    monkeypatch.delenv("PYTEST_VERSION")
    ran = ["import torch", SOLVED.replace("1\n", "2\n"), SOLVED, "check('1.3', count_subnets)"]
    monkeypatch.setattr(IPython, "get_ipython", lambda: types.SimpleNamespace(user_ns={"In": ran}))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_last_code_cell_checks_all_answers(path):
    cells = [cell_source(cell) for cell in read(path)["cells"] if cell["cell_type"] == "code"]
    assert cells[-1].endswith("from labkit.course import check_notebook\n\ncheck_notebook()")
    assert f"labkit check notebooks/{path.name}" in cells[-1]
    assert sum("check_notebook" in cell for cell in cells) == 1


def test_answers_are_checked_as_they_ran_last(session, monkeypatch, capsys):
    checked = []
    monkeypatch.setattr(check, "check_cells", lambda cells: checked.extend(cells) or [])
    check_notebook()
    assert (
        checked[-1] == ("code", SOLVED) and len(checked) == 3
    )  # the import and the check belong to no answer
    assert capsys.readouterr().out.startswith("exercise  points")


def test_a_cell_that_only_tries_an_answer_out_is_none_and_magics_are_read_as_typed(monkeypatch):
    monkeypatch.delenv("PYTEST_VERSION")
    typed = [
        "",
        SOLVED.replace("1\n", "2\n"),
        f"%%time\n{SOLVED}",
        "# Exercise 1.3, tried out\nprint(count_subnets(1, []))",
    ]
    run = [*typed[:2], f"get_ipython().run_cell_magic('time', '', {SOLVED!r})", typed[3]]
    history = types.SimpleNamespace(input_hist_raw=typed)
    monkeypatch.setattr(
        IPython,
        "get_ipython",
        lambda: types.SimpleNamespace(user_ns={"In": run}, history_manager=history),
    )
    checked = []
    monkeypatch.setattr(check, "check_cells", lambda cells: checked.extend(cells) or [])
    check_notebook()
    assert checked[-1] == ("code", typed[2])


def test_a_session_without_answers_says_what_is_missing(monkeypatch):
    monkeypatch.delenv("PYTEST_VERSION")
    with pytest.raises(LabError, match="nothing to check"):
        check_notebook()


def test_where_nbval_is_missing_the_notebook_goes_on(session, monkeypatch, capsys):
    def without_nbval(cells):
        raise MissingPackage("checking a notebook needs nbval: pip install nbval nbformat")

    monkeypatch.setattr(check, "check_cells", without_nbval)
    check_notebook()
    assert "pip install nbval" in capsys.readouterr().out


def test_pytest_is_not_started_from_pytest(monkeypatch, capsys):
    monkeypatch.setattr(check, "check_cells", None)  # called, it would fail
    check_notebook()
    assert "left to pytest" in capsys.readouterr().out


@pytest.mark.slow
def test_the_table_of_a_session(session, capsys):
    check_notebook()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:1]] == ["exercise"]
    assert next(line for line in lines if line.startswith("1.3 ")).split()[1:4] == ["0", "of", "3"]
    assert lines[-1].split() == ["all", "0", "of", "18"]


def test_the_answers_of_a_session_are_those_that_ran_last(monkeypatch):
    class Shell:
        user_ns = {
            "In": [
                "",
                "# Exercise 1.3\nold",
                "x = 1",
                "# Exercise 1.2\nfirst",
                "# Exercise 1.3\nnew",
            ]
        }

    monkeypatch.setattr("IPython.get_ipython", lambda: Shell)
    assert _session_cells() == [
        ("code", "x = 1"),
        ("code", "# Exercise 1.3\nnew"),
        ("code", "# Exercise 1.2\nfirst"),
    ]
