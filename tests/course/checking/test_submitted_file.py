"""Reading what was handed in: formats, damage, links and giants."""

import json
import os

import pytest
from grading_for_tests import cells_of, notebook, solutions, write

from labkit.course.checking.submission import find_answers
from labkit.course.checking.submitted_file import (
    MAX_NOTEBOOK_BYTES,
    NotANotebook,
    parse,
    read_notebook,
)

ANSWERS = solutions(1)


def as_bytes(value):
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\x89PNG\r\n\x1a\n\xff", "UTF-8; save it again from Jupyter"),
        (b"[" * 200_000, "JSON"),
        (b"[]", "no cells"),
        (b'"text"', "no cells"),
        (as_bytes({"nbformat": 4}), "no cells"),
        (as_bytes({"cells": 3, "nbformat": 4}), "no cells"),
        (as_bytes({"cells": [], "nbformat": 5}), "format 5"),
        (as_bytes({"cells": [], "nbformat": "four"}), "format four"),
        (as_bytes({"cells": [], "nbformat": True}), "format True"),
        (as_bytes({"cells": []}), "format None"),
        (as_bytes({"worksheets": [{"cells": []}], "nbformat": 3}), "format 3"),
        (b'{"a": ' + b"9" * 5000 + b"}", "JSON"),
        ("{}".encode("utf-16"), "UTF-8"),
    ],
    ids=range(15),
)
def test_what_is_no_notebook_is_named_and_raises_nothing_else(content, message):
    with pytest.raises(NotANotebook, match=message):
        parse(content)


@pytest.mark.parametrize("minor", [2, 3, 4, 5])
@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize(
    "line_end, bom", [("\n", ""), ("\r\n", ""), ("\n", "\ufeff"), ("\r\n", "\ufeff")]
)
def test_formats_line_ends_and_byte_order_marks_change_nothing(minor, ids, line_end, bom):
    cells = [(kind, source.replace("\n", line_end)) for kind, source in cells_of(ANSWERS)]
    text = bom + json.dumps(notebook(cells, minor=minor, ids=ids), indent=1).replace("\n", line_end)
    assert find_answers(parse(text.encode())).answers == ANSWERS


def test_sources_as_one_string_and_cells_that_are_none_are_read():
    book = notebook(cells_of(ANSWERS))
    for cell in book["cells"]:
        cell["source"] = "".join(cell["source"])
    book["cells"] += [None, 3, {"cell_type": "code"}, {"cell_type": "code", "source": {"a": 1}}, []]
    assert find_answers(parse(as_bytes(book))).answers == ANSWERS


def test_half_an_emoji_becomes_a_question_mark():
    text = json.dumps(notebook([("markdown", "HALF an emoji")]))
    (cell,) = parse(text.replace("HALF", "\\ud800").encode())
    assert cell == ("markdown", "? an emoji")


def test_ten_thousand_cells_are_read():
    cells = [("code", "x = 1")] * 5000 + cells_of(ANSWERS) + [("code", ANSWERS["1.1"])] * 5000
    assert find_answers(parse(as_bytes(notebook(cells)))).answers == ANSWERS


def test_links_pipes_folders_and_giants_are_not_read(tmp_path):
    real = write(tmp_path / "real.ipynb", cells_of(ANSWERS))
    (tmp_path / "link.ipynb").symlink_to(real)
    os.mkfifo(tmp_path / "pipe.ipynb")
    (tmp_path / "folder.ipynb").mkdir()
    with open(tmp_path / "giant.ipynb", "wb") as file:
        file.truncate(MAX_NOTEBOOK_BYTES + 1)
    for name, message in (
        ("link", "link"),
        ("pipe", "not a file"),
        ("folder", "not a file"),
        ("giant", "at most"),
        ("none", "No such file"),
    ):
        with pytest.raises(NotANotebook, match=message):
            read_notebook(tmp_path / f"{name}.ipynb")
    assert find_answers(parse(read_notebook(real))).answers == ANSWERS
