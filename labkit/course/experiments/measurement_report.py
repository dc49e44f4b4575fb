"""A report of measurements in Markdown: every number with its unit and its origin.

A number without its origin is worth little a week later. A row says whether it was measured (the
report names machine and date), published (where), predicted, simulated or extrapolated, and from
what.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from labkit.accounting.records import machine_text
from labkit.accounting.search_cost import NOT_MEASURED
from labkit.runtime.machine import machine


@dataclass
class MeasurementReport:
    """Rows in the order in which they were added."""

    title: str
    machine: str | dict = field(default_factory=machine)  # a name, or what `machine` returns
    day: date = field(default_factory=date.today)
    rows: list[tuple[str, str, str]] = field(default_factory=list)

    def add(
        self, what: str, value: float | str | None, unit: str = "", how: str = "measured"
    ) -> None:
        """Add a row; a value of None is written as "not measured".

        Raises ValueError where it does not say what the value is, or how it is known.
        """
        if not what or not how:
            message = "every row says what it is and how it is known"
            raise ValueError(f"{message}; got {what!r}, {how!r}")
        if value is None:
            text, how = NOT_MEASURED, ""
        elif isinstance(value, str):
            text = value
        else:
            text = f"{float(f'{value:.3g}'):,.12g} {unit}".strip()  # three digits, no exponent
        self.rows.append((what, text, how))

    @property
    def machine_text(self) -> str:
        return machine_text(self.machine)

    def _repr_markdown_(self) -> str:  # how a notebook shows it
        return self.markdown()

    def markdown(self) -> str:
        """The report as a Markdown table under its title, machine and date."""
        lines = [
            f"### {self.title}",
            "",
            f"{self.machine_text}; {self.day.isoformat()}",
            "",
            "| what | value | how it is known |",
            "|---|---|---|",
        ]
        for row in self.rows:
            cells = [cell.replace("|", "\\|") for cell in row]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines)
