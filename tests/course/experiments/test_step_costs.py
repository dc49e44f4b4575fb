"""Costs that a notebook measures on its own machine."""

import time

import numpy as np
import pytest
import torch

from labkit.course.experiments import recipe_race, step_costs
from labkit.data import datasets as data
from labkit.supernet.supernet import Supernet


def test_cpu_time_is_that_of_the_work():
    def spin():
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
        return "done"

    result, seconds = step_costs.cpu_seconds(spin)
    assert result == "done" and seconds >= 0.05
    assert step_costs.cpu_seconds(lambda: time.sleep(0.05))[1] < 0.05  # waiting costs nothing


@pytest.mark.parametrize("arch", [None, recipe_race.SPACE.smallest()], ids=["sandwich", "alone"])
def test_timing_a_step_changes_nothing(arch):
    supernet = Supernet(recipe_race.SPACE).requires_grad_(False)
    before = {name: p.clone() for name, p in supernet.state_dict().items()}
    assert step_costs.step_seconds(supernet, data.load(), arch, batch=4, steps=2) > 0
    assert all(torch.equal(before[name], p) for name, p in supernet.state_dict().items())
    assert not any(p.requires_grad for p in supernet.parameters())


def counter(folder, zone, text, name="package-0"):
    (folder / zone).mkdir()
    (folder / zone / "energy_uj").write_text(text)
    (folder / zone / "name").write_text(f"{name}\n")


def test_energy_of_all_processors_but_of_their_parts_only_once(tmp_path):
    counter(tmp_path, "intel-rapl:0", "3500000\n")
    counter(tmp_path, "intel-rapl:1", "1500000\n", "package-1")
    counter(tmp_path, "intel-rapl:0:0", "999000000\n", "core")
    (tmp_path / "intel-rapl").mkdir()
    assert step_costs.processor_joules(tmp_path) == 5.0


def test_energy_of_a_laptop_is_that_of_its_processor_once(tmp_path):
    counter(tmp_path, "intel-rapl:0", "3500000\n")
    counter(tmp_path, "intel-rapl:1", "9000000\n", "psys")  # the board, with the processor
    counter(tmp_path, "intel-rapl-mmio:0", "3500000\n")  # the same counter, read in another way
    (tmp_path / "dtpm").mkdir()
    assert step_costs.processor_joules(tmp_path) == 3.5


def test_no_energy_without_a_meter(tmp_path):
    assert (
        step_costs.processor_joules(tmp_path) is None
        and step_costs.processor_joules(tmp_path / "nowhere") is None
    )
    counter(tmp_path, "intel-rapl:0", "no number")
    assert step_costs.processor_joules(tmp_path) is None


def test_power_is_energy_by_time_and_unknown_where_a_counter_starts_over(monkeypatch):
    clock, joules = iter([0.0, 2.0, 3.0, 7.0]), iter([10.0, 16.0, 20.0, 1.0])
    monkeypatch.setattr(step_costs.time, "perf_counter", lambda: next(clock))
    seconds, watts = step_costs.power_readings(lambda: None, 3, lambda: next(joules))
    assert seconds.tolist() == [1.0, 2.5, 5.0]
    assert watts[:2].tolist() == [3.0, 4.0] and np.isnan(watts[2])


def test_no_power_without_a_meter():
    seconds, watts = step_costs.power_readings(lambda: None, 2, lambda: None)
    assert len(seconds) == 2 and np.isnan(watts).all()
