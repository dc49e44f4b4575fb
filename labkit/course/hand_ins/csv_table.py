"""CSV files that people and platforms write, as rows with the number of their line."""

from __future__ import annotations

import csv
from pathlib import Path


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """The rows of a table, separated by commas, semicolons or tabs: the line that each ends in, and
    its cells without spaces around them. Rows of empty cells are left out.

    Raises ValueError, which names the file and the line, for what is no such table. A quotation
    mark that nothing closes would make one cell of many rows.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text in UTF-8; export it again as CSV UTF-8") from None
    separator = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=separator, strict=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {reader.line_num}: {error}; is a quotation mark open?"
        ) from None
    return [(line, cells) for line, cells in rows if any(cells)]
