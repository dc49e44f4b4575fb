"""What the comparison of samplings judges, and how it adds up."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import arch_sampling  # noqa: E402

from labkit.space.presets import FMNIST  # noqa: E402
from labkit.tables.costs import macs_table  # noqa: E402


def test_neither_way_of_drawing_is_judged_on_its_own_archs_alone():
    groups = arch_sampling.judged_archs(FMNIST, 200)
    log_macs = {
        name: np.log(macs_table(FMNIST)(FMNIST.encode(archs))) for name, archs in groups.items()
    }
    assert {name: len(sizes) for name, sizes in log_macs.items()} == {
        "choices": 200,
        "log-macs": 200,
        "ends": 2,
    }
    low, high = log_macs["ends"]
    for sizes in log_macs.values():
        assert (sizes >= low).all() and (sizes <= high).all()
    # The spread of a uniform variable over the range, which that of uniform choices is well below.
    uniform = (high - low) / np.sqrt(12)
    assert log_macs["log-macs"].std() == pytest.approx(uniform, rel=0.15)
    assert log_macs["choices"].std() < 0.8 * uniform


def test_every_arch_counts_in_its_group_and_in_its_part_of_the_range():
    groups = arch_sampling.judged_archs(FMNIST, 30)
    archs = [arch for members in groups.values() for arch in members]
    macs = macs_table(FMNIST)(FMNIST.encode(archs))
    images = np.arange(1000)
    right = {  # uniform choices name 700 images rightly; log MACs 10 more, of large archs 20 fewer
        "choices": np.array([images < 700 for _ in archs]),
        "log-macs": np.array([images < (710 if size < np.median(macs) else 680) for size in macs]),
    }
    rows = arch_sampling.compared(FMNIST, groups, right)
    drawn = [row for row in rows if row["archs"].startswith("drawn")]
    parts = [row for row in rows if "MACs" in row["archs"] and row not in drawn]
    assert [row["count"] for row in drawn] == [30, 30] and sum(r["count"] for r in parts) == 60
    ends = {row["archs"]: row["difference"]["points"] for row in rows if row["count"] == 1}
    assert ends["the smallest"] == pytest.approx(1) and ends["the largest"] == pytest.approx(-2)
    for name, row in zip(("choices", "log-macs"), drawn):
        members = macs[:30] if name == "choices" else macs[30:60]
        small = np.mean(members < np.median(macs))
        assert row["difference"]["points"] == pytest.approx(small - 2 * (1 - small))
        assert row["accuracy"]["choices"] == pytest.approx(70)
    report = {
        "base": {"space": "made up"},
        "minutes": 15,
        "split": "test",
        "compared": rows,
        "rows": [{"recipe": "choices", "steps": 5000, "learning_rate": 0.25, "macs": 3e12}],
    }
    text = arch_sampling.text(report)
    assert "| the smallest | 1 | 70.00 | 71.00 | +1.00 ± " in text
    assert "every choice uniform: 5,000 steps at learning rate 0.25, 3.0 * 10^12 MACs." in text
