"""The report of an adoption: that of its folder, and where the time went."""

from __future__ import annotations

from pathlib import Path

from labkit.adopt.adoption import Adoption, with_more_time
from labkit.adopt.project_folder import FIGURES, REPORT
from labkit.adopt.report import write_report
from labkit.adopt.report_page import Section, escaped, table
from labkit.course.pictures.deployment import deployment_matrix
from labkit.course.pictures.fronts import fronts_of_matrix
from labkit.course.pictures.style import save_figure
from labkit.specialize.deployed_models import SPLIT


def write_adoption_report(adoption: Adoption, out: Path) -> Path:
    """Draw the pictures of an adoption into its folder, write its report there, return its path."""
    figures, matrix = out / FIGURES, adoption.matrix
    fronts = fronts_of_matrix(matrix, adoption.trained.predictor.on(SPLIT).predict)
    save_figure(fronts, figures / "What each device could have.png")
    save_figure(deployment_matrix(matrix), figures / "Every network on every device.png")
    minutes = [[name, f"{seconds / 60:.1f}"] for name, seconds in adoption.seconds.items()]
    minutes.append(["together", f"{adoption.total_seconds / 60:.1f} of {adoption.minutes:g}"])
    body = (
        f"{table(['part', 'minutes'], minutes)}<p>{escaped(with_more_time(adoption))}</p>"
        "<p>Go on by hand: <code>labkit search --supernet supernet --device pi4</code> in this"
        " folder, or any other command with <code>--supernet supernet</code>.</p>"
    )
    write_report(out, out / REPORT, more=[Section("Where the time went", body)])
    return out / REPORT
