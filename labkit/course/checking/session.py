"""The notebook that a running session belongs to: the cells that ran in it, and the saved file."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

from labkit.course.checking.submission import Submission, essence
from labkit.course.checking.submitted_file import NotANotebook, parse, read_notebook

MAX_FILES = 50  # of the working folder that are looked at
Cells = list[tuple[str, str]]  # (type, source)


def ran_cells() -> Cells:
    """The cells that ran in this session, in that order, as they were typed; none where no IPython
    runs.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    # As typed: in `In` the code of a cell with a magic, such as %%time, is one string.
    typed = getattr(getattr(shell, "history_manager", None), "input_hist_raw", None)
    sources = typed or (shell.user_ns.get("In", []) if shell else [])
    return [("code", source) for source in sources if source.strip()]


def global_value(name: str) -> object:
    """What `name` is in this session; None where it is nothing."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return None if shell is None else shell.user_ns.get(name)


def saved_cells() -> tuple[str, Cells] | None:
    """Where this session's notebook is saved, and its cells as they are there; None where nothing
    tells.

    Jupyter and VS Code say which file it is. On Colab it is the document in the browser. Anywhere
    else it is the notebook in the working folder that holds most of the cells that ran.
    """
    if "google.colab" in sys.modules:
        return _colab_document()
    named = os.environ.get("JPY_SESSION_NAME") or global_value("__vsc_ipynb_file__")
    path = Path(str(named)) if named else None
    if path is None or not path.is_file():
        path = _file_with_most_cells(ran_cells())
    return None if path is None else (str(path), parse(read_notebook(path)))


def _colab_document() -> tuple[str, Cells] | None:
    import json

    from google.colab import _message

    reply = _message.blocking_request("get_ipynb", timeout_sec=30)
    if not reply:
        return None
    return "the document in your browser", parse(json.dumps(reply["ipynb"]).encode())


def _file_with_most_cells(cells: Cells) -> Path | None:
    """The notebook of the working folder that holds at least half of `cells`, and most of them."""
    ran = {essence(source) for _, source in cells}
    counts: Counter[Path] = Counter()
    for path in sorted(Path.cwd().glob("*.ipynb"))[:MAX_FILES]:
        try:
            saved = {essence(source) for _, source in parse(read_notebook(path))}
        except NotANotebook:
            continue
        counts[path] = len(ran & saved)
    best = counts.most_common(2)
    if not best or 2 * best[0][1] < len(ran) or (len(best) > 1 and best[0][1] == best[1][1]):
        return None
    return best[0][0]


def unsaved_answers(ran: Submission, saved: Submission) -> list[str]:
    """The exercises whose answers, with all that these need of the student's cells, ran in this
    session otherwise than they are saved.
    """
    return [id for id in ran.answers if _code_of_student(ran, id) != _code_of_student(saved, id)]


def _code_of_student(submission: Submission, id: str) -> list[str]:
    cells = submission.programs.get(id, ())
    return [essence(cell.source) for cell in cells if cell.role != "course"]
