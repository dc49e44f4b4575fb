"""What benchmarks share: figures are kept as JSON, and pages of Markdown are written from them.

A page consists of sections, each between two comments that name it, so that every script replaces
its own section and leaves the others alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from labkit.storage.atomic_write import write_atomic

FOLDER = Path(__file__).resolve().parent


def save(path: Path, report: dict) -> None:
    """Write a report as JSON, in one step."""
    write_atomic(
        path,
        lambda temporary: temporary.write_text(
            json.dumps(report, indent=1, allow_nan=False) + "\n"
        ),
    )


def merged(earlier: Path | None, part: str, measured: list[dict], *names: str) -> list[dict]:
    """The studies in `part` of an earlier report, each replaced by the one `measured` now that has
    the same `names`, and the other new ones after them.
    """
    known = json.loads(earlier.read_text(encoding="utf-8"))[part] if earlier else []
    studies = {tuple(study[name] for name in names): study for study in [*known, *measured]}
    return list(studies.values())


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; a bar inside a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def put(page: Path, section: str, text: str, title: str = "") -> None:
    """Put `text` into `section` of `page`, which begins with `title` if it is new."""
    begin, end = f"<!-- {section} -->", f"<!-- end of {section} -->"
    text_of_page = page.read_text(encoding="utf-8") if page.is_file() else f"# {title}\n"
    block = f"{begin}\n{text.strip()}\n{end}"
    before, marker, rest = text_of_page.partition(begin)
    if marker:
        _, closed, after = rest.partition(end)
        if not closed:
            raise ValueError(f"{page}: section {section!r} has no end; put the line {end} back")
        text_of_page = before + block + after
    else:
        text_of_page = f"{text_of_page.rstrip()}\n\n{block}\n"
    write_atomic(page, lambda temporary: temporary.write_text(text_of_page, encoding="utf-8"))


def machine(record: dict) -> str:
    """One line about the machine and what ran on it."""
    return (
        f"{record['cpu']}, {record['cores']} cores; {record['runtime']}"
        f" {record['runtime_version']}, {record['threads']} thread(s), batch {record['batch']};"
        f" load {record['load']} at the start, governor {record['governor']}; {record['date'][:10]}"
    )
