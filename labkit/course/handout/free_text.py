"""What students wrote into text cells. Nothing judges it: it is collected for marking by hand.

A task that is answered in writing has its number and points in a heading (`WRITTEN_TASK`); what is
written below, as far as the next such heading, answers it.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from labkit.course.handout.pristine_course import course_texts
from labkit.course.handout.student_copy import WRITTEN_TASK

MAX_TEXTS = 100  # of one student, that are collected
MAX_CHARACTERS = 5_000  # of one text
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
NUMBERED = re.compile(r"^#+ +(\d+\.\d+)\b.*$", re.MULTILINE)
BADGE_LINE = re.compile(r"^\[!\[Open in Colab\].*\n")  # above the title, in a release
QUESTION = re.compile(r"\*\*(.+?)\*\*")
PICTURE = re.compile(r"data:image/[\w.+-]+;base64,[\w+/=]+")  # inside a text, as Colab keeps it


class WrittenTask(NamedTuple):
    """A task of the course that is answered in writing."""

    id: str
    title: str
    points: int


class FreeText(NamedTuple):
    """One text of a student, and the course's text before it; empty for a task without one."""

    question: str
    text: str
    task: str = ""  # the id of the task that it answers


@cache
def written_tasks() -> dict[str, WrittenTask]:
    """The tasks of the course that are answered in writing, by id, in order."""
    headings = map(WRITTEN_TASK.search, _headings().values())
    return {one[1]: WrittenTask(one[1], one[2], int(one[3])) for one in headings}


@cache
def _course_essences() -> frozenset[str]:
    return frozenset(map(_essence, course_texts()))


def free_texts(cells: list[tuple[str, str]]) -> list[FreeText]:
    """The texts among the cells of a student, (type, source) pairs, that are not the course's: new
    cells, and those of the course into which something was written. A task whose heading is there,
    and nothing else, has an empty text.
    """
    texts, question, task = [], "", ""
    if not course_texts():  # nothing to compare with
        return []
    for kind, source in cells:
        if kind not in ("markdown", "raw") or not source.strip():
            continue
        source = NUMBERED.sub(_course_heading, source)
        if heading := WRITTEN_TASK.search(source):
            task = heading[1] if heading[1] in written_tasks() else ""
            texts += [FreeText(f"{task} {heading[2]}", "", task)] if task else []
        if _essence(BADGE_LINE.sub("", source)) in _course_essences():
            question = _question(source)
        else:
            texts.append(FreeText(question, source.strip(), task))
    answered = {text.task for text in texts if text.text}
    return [text for text in texts if text.text or text.task not in answered]


def _course_heading(heading: re.Match) -> str:
    """A task's heading as the course has it: somebody may have changed its words."""
    return _headings().get(heading[1], heading[0])


@cache
def _headings() -> dict[str, str]:
    found = [one for text in course_texts() for one in WRITTEN_TASK.finditer(text)]
    return {one[1]: one[0] for one in found}


def bounded(texts: list[FreeText]) -> list[FreeText]:
    """The first texts, each without the pictures inside it and cut where it has no end."""
    short = []
    for one in texts[:MAX_TEXTS]:
        text = PICTURE.sub("a picture, see the notebook", one.text)
        if len(text) > MAX_CHARACTERS:
            text = f"{text[:MAX_CHARACTERS]} … ({len(text) - MAX_CHARACTERS} more characters)"
        short.append(one._replace(text=text))
    return short


def _question(source: str) -> str:
    """What a text of the course asks for: its task, its last words in bold, or its heading."""
    task, heading = WRITTEN_TASK.search(source), HEADING.search(source)
    if task:
        return f"{task[1]} {task[2]}"
    bold = QUESTION.findall(source)
    return (bold[-1] if bold else heading[1] if heading else source.strip().split("\n")[0])[:100]


def _essence(source: str) -> str:
    return " ".join(source.split())
