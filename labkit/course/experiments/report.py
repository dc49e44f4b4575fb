"""A report of measured things: every number with its unit and how it is known, as Markdown.

A figure without its origin is worth little a week later. A row says whether it was measured (the
report names machine and date), published (where), predicted, simulated or extrapolated, and from
what.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from labkit.accounting.records import machine_text

NOT_MEASURED = "not measured"


@dataclass
class Report:
    """Rows in the order in which they were added."""

    title: str
    machine: str | dict  # a name, or what `labkit.runtime.machine.machine` gives
    day: date = field(default_factory=date.today)
    rows: list[tuple[str, str, str]] = field(default_factory=list)

    def add(
        self, what: str, value: float | str | None, unit: str = "", how: str = "measured"
    ) -> None:
        """Note a value; None is written as "not measured"."""
        if not what or not how:
            raise ValueError(
                f"every row says what it is and how it is known; got {what!r}, {how!r}"
            )
        text = (
            NOT_MEASURED
            if value is None
            else value
            if isinstance(value, str)
            else f"{value:,.4g} {unit}".strip()
        )
        self.rows.append((what, text, "" if value is None else how))

    def markdown(self) -> str:
        """The report as a Markdown table under its title, machine and date."""
        head = [
            f"### {self.title}",
            "",
            f"{machine_text(self.machine)}; {self.day.isoformat()}",
            "",
            "| what | value | how it is known |",
            "|---|---|---|",
        ]
        return "\n".join(
            [
                *head,
                *(
                    "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
                    for row in self.rows
                ),
            ]
        )
