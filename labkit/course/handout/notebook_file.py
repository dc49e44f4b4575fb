"""A notebook as the JSON that its file holds (nbformat 4), without a dependency on nbformat."""

from __future__ import annotations

import json
from pathlib import Path


def read(path: Path) -> dict:
    """The notebook in the file at `path`."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def as_text(notebook: dict) -> str:
    """What a file of `notebook` holds: the same text for the same notebook."""
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def new_notebook(cells: list[dict]) -> dict:
    """A notebook for Python with these cells. It shares nothing with any other notebook."""
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def new_code_cell(id: str, source: str, metadata: dict | None = None) -> dict:
    """A code cell that has not run."""
    return {
        "cell_type": "code",
        "id": id,
        "metadata": metadata or {},
        "execution_count": None,
        "outputs": [],
        "source": source_lines(source),
    }


def cell_source(cell: dict) -> str:
    """The source of a cell as one text."""
    return "".join(cell["source"])


def source_lines(text: str) -> list[str]:
    """Source as notebooks store it: a list of lines, each but the last with its line end."""
    return text.splitlines(keepends=True)


def code_sources(notebook: dict) -> list[str]:
    """The sources of a notebook's code cells, in order."""
    return [cell_source(cell) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def text_sources(notebook: dict) -> list[str]:
    """The sources of a notebook's other cells, which are text, in order."""
    return [cell_source(cell) for cell in notebook["cells"] if cell["cell_type"] != "code"]
