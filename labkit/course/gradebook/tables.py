"""Tables as text, no cell of which a spreadsheet calculates."""

from __future__ import annotations

import csv
import io
import unicodedata


def csv_text(rows: list[list[object]]) -> str:
    """Rows as CSV. Text is quoted, so that the table can be read also where a semicolon separates
    columns.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    table.writerows(
        [[safe_cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    )
    return text.getvalue()


def safe_cell(text: str) -> str:
    """Text that a spreadsheet shows, and does not calculate."""
    text = one_line(text)
    # Some spreadsheets read the wide forms of these characters as the characters.
    first = unicodedata.normalize("NFKC", text[:1])
    return f"'{text}" if first and first in "=+-@|%" else text


def one_line(text: str) -> str:
    """Text without line breaks, control characters and runs of spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
