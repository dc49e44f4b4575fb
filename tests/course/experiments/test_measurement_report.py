"""The report of measured things."""

from datetime import date

import pytest

from labkit.course.experiments.measurement_report import MeasurementReport


def test_rows_say_what_they_are_and_how_they_are_known():
    report = MeasurementReport(
        "Mine", {"cpu": "EPYC", "cores": 2, "threads": 1}, date(2026, 11, 24)
    )
    report.add("search", 0.123456, "s")
    report.add("devices", 12345.0, "", "published, arXiv 1908.09791")
    report.add("energy", None, "kWh")
    report.add("arch", "28px k3|k5", how="chosen by evolution")
    lines = report.markdown().splitlines()
    assert report._repr_markdown_() == report.markdown()
    assert lines[0] == "### Mine" and "EPYC, 2 cores, 1 thread; 2026-11-24" in lines
    assert lines[-4:] == [
        "| search | 0.123 s | measured |",
        "| devices | 12,300 | published, arXiv 1908.09791 |",
        "| energy | not measured |  |",
        "| arch | 28px k3\\|k5 | chosen by evolution |",
    ]


@pytest.mark.parametrize("what,how", [("", "measured"), ("search", "")])
def test_a_row_without_origin_is_refused(what, how):
    with pytest.raises(ValueError, match="how it is known"):
        MeasurementReport("Mine", "a board").add(what, 1.0, how=how)
