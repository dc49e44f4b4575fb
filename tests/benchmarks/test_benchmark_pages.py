"""What benchmarks share: tables, and sections that are replaced one by one."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import darts_comparison  # noqa: E402
import page  # noqa: E402
import publish  # noqa: E402
import stand_alone  # noqa: E402

from labkit.accounting.records import records  # noqa: E402


def test_a_table_escapes_bars():
    assert page.table(("a", "b"), [(1, "x | y")]) == "| a | b |\n| --- | --- |\n| 1 | x \\| y |"


def test_sections_are_added_and_replaced_in_place(tmp_path):
    path = tmp_path / "PAGE.md"
    page.put(path, "first", "one", "Title")
    page.put(path, "second", "two", "ignored: the page is there")
    page.put(path, "first", "three")
    assert (
        path.read_text() == "# Title\n\n<!-- first -->\nthree\n<!-- end of first -->\n\n"
        "<!-- second -->\ntwo\n<!-- end of second -->\n"
    )


def test_text_around_sections_stays_and_a_lost_end_is_named(tmp_path):
    path = tmp_path / "PAGE.md"
    path.write_text("# T\n\nby hand\n\n<!-- a -->\nold\n<!-- end of a -->\n\nbelow\n")
    page.put(path, "a", "new")
    assert path.read_text() == "# T\n\nby hand\n\n<!-- a -->\nnew\n<!-- end of a -->\n\nbelow\n"
    path.write_text("# T\n\n<!-- a -->\nold\n")
    with pytest.raises(ValueError, match="section 'a' has no end"):
        page.put(path, "a", "new")


def test_a_report_must_be_json(tmp_path):
    page.save(tmp_path / "new" / "r.json", {"a": 1})
    assert (tmp_path / "new" / "r.json").read_text() == '{\n "a": 1\n}\n'
    with pytest.raises(ValueError):
        page.save(tmp_path / "bad.json", {"a": float("nan")})
    assert not (tmp_path / "bad.json").exists()


def test_a_report_takes_over_what_is_not_measured_again(tmp_path):
    page.save(tmp_path / "r.json", {"studies": [{"net": n, "points": 1} for n in "abc"]})
    measured = [{"net": n, "points": 2} for n in "db"]
    studies = page.merged(tmp_path / "r.json", "studies", measured, "net")
    assert [(s["net"], s["points"]) for s in studies] == [("a", 1), ("b", 2), ("c", 1), ("d", 2)]
    assert page.merged(None, "studies", measured, "net") == measured


def test_a_section_is_written_from_what_a_script_prints(tmp_path, monkeypatch, capsys):
    (tmp_path / "results").mkdir()
    (tmp_path / "exact_front.py").write_text(
        "import json, sys\nprint('progress')\nprint(json.dumps({'machine': {'cpu': 'made up'},"
        " 'date': '2020-02-03', 'budgets': int(sys.argv[1]), 'pairs': 4, 'ours': {'a|b': {'front':"
        " {'points': 1234, 'seconds': 0.5}, 'evolution_gap': {'median': 0.25, 'worst': 1},"
        " 'random_search_gap': {'median': 2, 'worst': 3}, 'pairs_of_budgets': {'seconds':"
        " {'median': 4, 'worst': 5}}}}}))"
    )
    monkeypatch.setattr(page, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "argv", ["publish.py", "exact_front", "7"])
    publish.main()
    text = (tmp_path / "SEARCH.md").read_text()
    assert "| a\\|b | 1,234 archs, 0.50 s | 0.250 / 1.000 | 2.00 | 4.00 / 5.00 s |" in text
    assert (
        "7 random latency budgets, 8 random pairs" in text
        and "made up, one thread, 2020-02-03." in text
    )
    (tmp_path / "SEARCH.md").unlink()
    (tmp_path / "exact_front.py").unlink()  # not needed to write the page again
    monkeypatch.setattr(sys, "argv", ["publish.py"])
    publish.main()
    assert (tmp_path / "SEARCH.md").read_text() == text


def test_a_section_with_a_picture_says_what_the_study_found(tmp_path, monkeypatch):
    rows = [
        {
            "macs": 10**6 * (i + 1),
            "inherited": 92.0 + i,
            "alone": 91.75 + i,
            "split": "test",
            "cpu_hours": 0.25,
            "inherited_minus_alone": {"points": 0.25, "standard_error": 0.125},
            **({"distilled": 92.25} if i == 0 else {}),
        }
        for i in range(2)
    ]
    report = {
        "machine": {"cpu": "made up"},
        "date": "2020-02-03",
        "rows": rows,
        "seed": 7,
        "split": "test",
        "archs": 3,
        "complete": False,
        "weights_sha256": "0123456789abcdef",
        "config": {"epochs": 24, "space": "made up"},
        "settings": [
            {"learning_rate": rate, "erase": erase}
            for rate, erase in ((0.25, 0.0), (0.12, 0.2), (0.25, 0.2))
        ],
        "mean_gap": 0.25,
        "mean_gap_error": 0.0625,
        "worst_gap": 0.25,
        "cpu_hours": 0.5,
        "doubling_the_epochs": {"points": 0.0625, "standard_error": 0.25},
        "kendall_tau": {"tau": 1.0, "low": 0.5, "high": 1.0},
    }
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(page, "FOLDER", tmp_path / "benchmarks")
    publish.write("stand_alone", report)
    text = (tmp_path / "benchmarks" / "TRAINING.md").read_text()
    assert (
        "3 archs of `made up`, seed 7, spread evenly over the range of log MACs, of which 2 are"
        " trained so" in text
    )
    assert (
        "24 epochs at learning rate 0.12, 0.25, share of images with an erased rectangle 0, 0.2;"
        in text
        and "average (± 0.06), +0.25" in text
    )
    assert "| 1.00M | 92.00 | 91.75 | +0.25 ± 0.12 | 0.25 | 92.25 |" in text
    assert "| 2.00M | 93.00 | 92.75 | +0.25 ± 0.12 | 0.25 |  |" in text
    assert "Kendall" not in text and "SHA-256 0123456789ab." in text
    assert "stand_alone.png" not in text and not list((tmp_path / "docs").iterdir())
    publish.write("stand_alone", {**report, "complete": True})
    whole = (tmp_path / "benchmarks" / "TRAINING.md").read_text()
    assert "Kendall tau between the two columns is 1.00, 95 % interval 0.50 to 1.00" in whole
    assert "so far" not in whole
    assert "(../docs/stand_alone.png)" in whole
    assert (tmp_path / "docs" / "stand_alone.png").read_bytes().startswith(b"\x89PNG")


def test_a_comparison_is_recorded_once_and_under_its_own_space(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    (tmp_path / "published").mkdir()
    made = {"machine": "made up", "date": "2020-02-03"}
    cells = {"cells": {"search": {"cpu_seconds": 3600}, "derived": {"cpu_seconds": 1800}}}
    space = {
        "space": {
            "space": "mine",
            "results": [{"rows": [{"method": "gradient", "cpu_seconds": 360}]}],
        }
    }
    for part in (cells, space, cells, space):
        darts_comparison.note({**made, **part})
    assert [
        (r["what"], r["space"], r["cpu_hours"])
        for name in ("fmnist", "mine")
        for r in records(name)
    ] == [
        ("darts-search", "fmnist", 1.0),
        ("darts-training", "fmnist", 0.5),
        ("gradient-search", "mine", 0.1),
    ]
    monkeypatch.setattr(
        sys, "argv", ["darts_comparison.py", "cells", "--config", "smoke", "--record"]
    )
    with pytest.raises(SystemExit):
        darts_comparison.main()
    assert "a smoke run is none" in capsys.readouterr().err


def test_a_report_of_networks_that_are_gone_is_built_upon(tmp_path, monkeypatch):
    def right_answers(net, arch, dataset, *splits):
        (split,) = splits
        return (
            np.random.default_rng(abs(hash((net, arch)))).random(len(dataset.splits[split].images))
            < 0.9
        )

    def options(**changes):
        return argparse.Namespace(
            **{
                "archs": 3,
                "seed": 7,
                "epochs": 5,
                "steps_per_epoch": None,
                "trial_epochs": 1,
                "rates": [0.25],
                "distil": 1,
                "precision": "float32",
                "supernet": "fmnist",
                "split": "val",
                "out": tmp_path,
                "earlier": None,
                **changes,
            }
        )

    def whole(study):
        return {**study.report(study.settings()), "machine": None}

    trained = {"alone-0", "alone-1", "double-1", "distilled-0"}
    monkeypatch.setattr(stand_alone, "right_answers", right_answers)
    monkeypatch.setattr(stand_alone, "is_finished", lambda out: out.name in trained)
    monkeypatch.setattr(stand_alone, "finished", lambda config, out: (out.name, {"cpu_hours": 0.5}))
    monkeypatch.setattr(
        stand_alone.InheritedAnswers,
        "__call__",
        lambda answers, arch: right_answers("supernet", arch, answers.trained.dataset, "val"),
    )
    study = stand_alone.Study(options())
    part = whole(study)
    assert (
        not part["complete"]
        and [row["cpu_hours"] for row in part["rows"]] == [0.5, 0.5]
        and part["cpu_hours"] == 2
    )
    page.save(tmp_path / "part.json", part)

    trained = {"alone-2"}  # the others are gone
    study = stand_alone.Study(options(earlier=tmp_path / "part.json"))
    assert [name for name, _, _ in study.runs(study.settings())] == ["alone-2"]
    again = whole(study)
    assert again["complete"] and again["rows"][:2] == part["rows"] and again["cpu_hours"] == 2.5
    assert again["doubling_the_epochs"] == part["doubling_the_epochs"]

    monkeypatch.setattr(stand_alone, "sha256", lambda path: "another supernet's")
    study = stand_alone.Study(options(earlier=tmp_path / "part.json"))
    assert [name for name, _, _ in study.runs(study.settings())] == ["alone-2", "distilled-0"]
    # Another decay of the supernet is none of networks that were trained before.
    decay = 2 * part["config"]["weight_decay"]
    page.save(tmp_path / "other.json", part | {"config": part["config"] | {"weight_decay": decay}})
    study = stand_alone.Study(options(earlier=tmp_path / "other.json"))
    assert [run[2].weight_decay for run in study.runs(study.settings())] == [decay, decay]
    with pytest.raises(
        SystemExit, match="part.json is of another study: its epochs is 5, here it is 6"
    ):
        stand_alone.Study(options(earlier=tmp_path / "part.json", epochs=6))
