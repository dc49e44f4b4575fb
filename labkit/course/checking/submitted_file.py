"""A submitted notebook's cells, read without trusting the file: only JSON is read, nothing runs."""

from __future__ import annotations

import json
from pathlib import Path

from labkit.course.execution.safe_reading import read_regular
from labkit.storage.errors import LabError

# Pictures in stored outputs make honest notebooks of a few MiB.
MAX_NOTEBOOK_BYTES = 64 * 2**20


class NotANotebook(LabError):
    """A file cannot be read as a notebook. The message says why, without the file's name."""


def read_notebook(path: Path) -> bytes:
    """A notebook's bytes; links are not followed. Raises NotANotebook."""
    try:
        return read_regular(path, MAX_NOTEBOOK_BYTES)
    except OSError as error:
        raise NotANotebook(
            f"the file cannot be read: {error.strerror}; hand in the notebook itself"
        ) from None
    except ValueError as error:
        raise NotANotebook(f"{error}. Clear the outputs and save it again") from None


def parse(content: bytes) -> list[tuple[str, str]]:
    """A notebook's cells: (type, source with \\n line ends). Raises NotANotebook."""
    try:
        notebook = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise NotANotebook(
            "not a notebook: the file is not text in UTF-8; save it again from Jupyter and hand"
            " that in"
        ) from None
    except (ValueError, RecursionError):
        raise NotANotebook(
            "not a notebook: the file is not valid JSON; save it again and hand that in"
        ) from None
    if not isinstance(notebook, dict) or not isinstance(
        notebook.get("cells", notebook.get("worksheets")), list
    ):
        raise NotANotebook("not a notebook: the file has no cells")
    version = notebook.get("nbformat")
    if version != 4 or isinstance(version, bool) or "cells" not in notebook:
        raise NotANotebook(
            f"a notebook of format {str(version)[:20]}; format 4 is read. Open it in JupyterLab, "
            "save it and hand that in"
        )
    return [cell for cell in map(_cell, notebook["cells"]) if cell]


def _cell(cell: object) -> tuple[str, str] | None:
    """A cell, or None for what is not one: the rest of the notebook is still read."""
    if not isinstance(cell, dict):
        return None
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        return None
    source = source.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    source = source.encode("utf-8", "replace").decode()  # half of an emoji can be in no report
    return str(cell.get("cell_type")), source
