"""What students wrote into text cells. Nothing judges it: it is collected for marking by hand."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from labkit.course.handout import student_copy
from labkit.course.handout.notebook_file import cell_source, read

MAX_TEXTS = 100  # of one student
MAX_CHARACTERS = 5_000  # of one text
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
BADGE_LINE = re.compile(r"^\[!\[Open in Colab\].*\n")  # above the title, in a release
QUESTION = re.compile(r"\*\*(.+?)\*\*")


class FreeText(NamedTuple):
    """One text cell of a student, and the course's text before it."""

    question: str
    text: str


@cache
def course_texts() -> frozenset[str]:
    """The text cells of all notebooks as they are handed out."""
    return frozenset(
        _essence(cell_source(cell))
        for path in sorted(student_copy.INSTRUCTOR.glob("[0-9][0-9]_*.ipynb"))
        for cell in read(path)["cells"]
        if cell["cell_type"] != "code"
    )


def free_texts(cells: list[tuple[str, str]]) -> list[FreeText]:
    """The texts among the cells of a student, (type, source) pairs, that are not the course's: new
    cells, and those of the course into which something was written.
    """
    texts, question = [], ""
    if not course_texts():  # nothing to compare with, as in a student's repository
        return []
    for kind, source in cells:
        if kind not in ("markdown", "raw") or not source.strip():
            continue
        if _essence(BADGE_LINE.sub("", source)) in course_texts():
            question = _question(source)
        elif len(texts) < MAX_TEXTS:
            texts.append(FreeText(question, source.strip()[:MAX_CHARACTERS]))
    return texts


def _question(source: str) -> str:
    """What a text of the course asks for: its last words in bold, or its heading."""
    heading, bold = HEADING.search(source), QUESTION.findall(source)
    return (bold[-1] if bold else heading[1] if heading else source.strip().split("\n")[0])[:100]


def _essence(source: str) -> str:
    return " ".join(source.split())
