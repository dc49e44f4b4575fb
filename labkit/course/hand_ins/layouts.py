"""How platforms name what a student handed in, when they are asked for all of it at once.

A layout is a pattern for a name beside the others of the class. What a student names stands behind
what the platform puts in front, or inside a folder that the platform named; so it is never looked
at to tell whose a file is.

Sources: Canvas, lib/content_zipper.rb; Moodle, mod/assign's downloader and the importer of feedback
files; Gradescope's export of submissions; Google Classroom's folder in Drive.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from labkit.course.hand_ins.files import NOTEBOOK
from labkit.course.handout.pristine_course import course_names

# What browsers, Jupyter, Drive and Canvas add to the name of a copy.
COPY_OF = re.compile(
    r"^(copy of|kopie von|kopie van|kopia|copie de|copia de|copia di|cópia de) +", re.IGNORECASE
)
COPY = re.compile(r"[ _-]*(\(\d+\)|(copy|kopie|copie|copia) *\d*|-\d+)$", re.IGNORECASE)


class Owner(NamedTuple):
    """Whose a file is, as far as its name tells."""

    name: str
    id: str = ""  # the platform's, for the table that it imports
    late: bool = False
    version: int = 0  # of two files of the same name, the later one is handed in
    file: str = ""  # the name that the student's file had; empty for a folder


@dataclass(frozen=True)
class Layout:
    """A platform, and the pattern of its names: groups name, id, late, version, file."""

    platform: str
    pattern: re.Pattern

    def owners(self, names: Iterable[str]) -> dict[str, Owner]:
        """Whose the names are that have this pattern; none if they contradict each other."""
        matches = {name: match for name in names if (match := self.pattern.fullmatch(name))}
        owners = {name: _owner(match.groupdict()) for name, match in matches.items()}
        # A version is the number of one upload. Where two share it, it is a number of something
        # else, as in lab_1_2_anna.ipynb and lab_1_2_ben.ipynb.
        versions = Counter(owner.version for owner in owners.values() if owner.version)
        return {} if any(count > 1 for count in versions.values()) else owners


def _owner(groups: dict[str, str | None]) -> Owner:
    id = groups.get("id") or ""
    name = groups.get("name") or ""
    return Owner(
        name if name and name != "Participant" else f"{name} {id}".strip(),
        id,
        bool(groups.get("late")),
        int(groups.get("version") or 0),
        groups.get("file") or "",
    )


@cache
def layouts() -> tuple[Layout, ...]:
    """All layouts. A name that has the pattern of none belongs to no platform."""
    course = "|".join(map(re.escape, course_names().values()))
    return (
        # doejane_LATE_1234_98765_01_supernet-2.ipynb, anon_x7f3k_98765_01_supernet.ipynb, and
        # doejane_1234_text.html of a student who typed instead of uploading
        Layout(
            "canvas",
            re.compile(
                r"(?:(?P<name>\w+?)_)??(?P<late>LATE_)?(?P<id>\d+|anon_[A-Za-z0-9]+)_"
                r"(?:(?P<version>\d+)_(?P<file>.+)|(?:text|link)\.html)",
                re.DOTALL,
            ),
        ),
        # Jane Doe_1234_assignsubmission_file_/ and, older, ..._file_01_supernet.ipynb
        Layout(
            "moodle",
            re.compile(
                r"(?P<name>[^_]+)_(?P<id>\d+)_assignsubmission_[a-z]+(?:_(?P<file>.*))?", re.DOTALL
            ),
        ),
        Layout("gradescope", re.compile(r"submission_(?P<id>\d+)")),
        # Jane Doe - Copy of 01_supernet (1).ipynb
        Layout(
            "classroom",
            re.compile(
                rf"(?P<name>.+?)\s*[-–—]\s*(?P<file>(?:{COPY_OF.pattern[1:]})?(?:{course})"
                rf"[^/]*{NOTEBOOK.pattern})",
                re.IGNORECASE | re.DOTALL,
            ),
        ),
    )


def course_name(file: str) -> str:
    """A notebook's name without what copies have more; the course's, if it is a copy of one.

    >>> course_name("Copy of 01_supernet (2)-Copy1.ipynb")
    '01_supernet'
    """
    name = NOTEBOOK.sub("", file)
    while (shorter := COPY.sub("", COPY_OF.sub("", name))) not in ("", name):
        name = shorter
    return name
