"""Samples of whole subnets, on a machine whose clock only moves when a call runs."""

from __future__ import annotations

import json
from contextlib import contextmanager

import numpy as np
import pytest
from latency_for_tests import TINY, own_cache  # noqa: F401  (a fixture)

from labkit.latency.devices import get_device
from labkit.latency.measured import subnet_sample
from labkit.latency.measured.subnet_sample import draw_genes, measure_sample
from labkit.runtime.machine_lock import undisturbed
from labkit.runtime.timing import TimingLimits
from labkit.space.presets import FMNIST

LIMITS = TimingLimits(
    warmup=0, min_repeats=3, max_repeats=3, min_rounds=2, max_rounds=2, chunk=4, redo=0
)


class Interrupted(Exception):
    pass


class Machine:
    """A runtime on which subnets take what the simulated Pi 4 says, times `slow`; `stop_after`
    subnets it is killed.
    """

    name, version, threads, batch = "abacus", "1", 1, 1

    def __init__(self, slow: float = 1.0, stop_after: int = 10**9) -> None:
        self.now, self.slow, self.stop_after, self.prepared = 0.0, slow, stop_after, []
        self.table = get_device("pi4").latency_table(TINY)

    def clock(self) -> float:
        return self.now

    def call(self, ms: float):
        def run() -> None:
            self.now += ms * self.slow / 1e3

        return run

    def block(self, space, block):
        return self.call(1.0)

    def subnet(self, space, arch):
        if len(self.prepared) == self.stop_after:
            raise Interrupted
        self.prepared.append(arch)
        return self.call(float(self.table(space.encode([arch]))[0]))


def measure(path, count: int, machine: Machine, **options):
    return measure_sample(
        TINY, path, count, runtime=machine, limits=LIMITS, clock=machine.clock, **options
    )


def test_a_larger_sample_begins_with_the_smaller():
    np.testing.assert_array_equal(draw_genes(FMNIST, 130, 5)[:60], draw_genes(FMNIST, 60, 5))
    assert not np.array_equal(draw_genes(FMNIST, 60, 5), draw_genes(FMNIST, 60, 6))


def test_times_are_those_of_the_machine(tmp_path):
    machine, shares = Machine(), []
    found = measure(tmp_path / "s.json", 10, machine, progress=shares.append)
    np.testing.assert_allclose(found.milliseconds, machine.table(found.genes))
    assert len(machine.prepared) == 2 * 10  # two rounds
    assert shares == pytest.approx(
        [0.2, 0.4, 0.5, 0.7, 0.9, 1.0]
    )  # chunks of 4, 4 and 2 in each round
    assert found.provenance["runtime"] == "abacus" and found.drifted == 0


def test_what_is_there_is_not_measured_again_and_more_is_added(tmp_path):
    path = tmp_path / "s.json"
    first = measure(path, 6, Machine())
    idle = Machine()
    again = measure(path, 6, idle)
    assert idle.prepared == [] and idle.now == 0
    np.testing.assert_array_equal(again.milliseconds, first.milliseconds)
    more = Machine()
    found = measure(path, 9, more)
    assert len(more.prepared) == 2 * 3
    np.testing.assert_array_equal(found.milliseconds[:6], first.milliseconds)
    fewer = Machine()
    assert len(measure(path, 4, fewer).milliseconds) == 4 and fewer.prepared == []
    assert (
        len(measure(path, 9, Machine()).milliseconds) == 9
    )  # asking for fewer has thrown nothing away


def test_what_another_program_measured_while_this_one_waited_is_not_measured_again(
    tmp_path, monkeypatch
):
    path, other, machine, lock = tmp_path / "s.json", Machine(), Machine(), undisturbed

    @contextmanager
    def waiting():
        with lock():
            monkeypatch.setattr(subnet_sample, "undisturbed", lock)
            measure(path, 6, other)
            yield

    monkeypatch.setattr(subnet_sample, "undisturbed", waiting)
    sample = measure(path, 6, machine)
    assert len(other.prepared) == 12 and not machine.prepared
    np.testing.assert_allclose(sample.milliseconds, other.table(sample.genes))


@pytest.mark.parametrize("stop_after", [0, 3, 4, 9, 13])
def test_an_interrupted_run_goes_on(tmp_path, stop_after):
    path = tmp_path / "s.json"
    with pytest.raises(Interrupted):
        measure(path, 8, Machine(stop_after=stop_after))
    rest = Machine()
    found = measure(path, 8, rest)
    np.testing.assert_allclose(found.milliseconds, rest.table(found.genes))
    kept = 4 * (stop_after // 4)  # whole chunks of 4
    assert len(rest.prepared) == 2 * 8 - kept


def test_a_machine_of_another_speed_starts_again(tmp_path):
    path = tmp_path / "s.json"
    with pytest.raises(Interrupted):
        measure(path, 8, Machine(stop_after=10))
    slower = Machine(slow=1.2)
    found = measure(path, 8, slower)
    assert len(slower.prepared) == 2 * 8
    np.testing.assert_allclose(found.milliseconds, 1.2 * slower.table(found.genes))


def test_another_runtime_seed_or_space_starts_again(tmp_path):
    path = tmp_path / "s.json"
    measure(path, 5, Machine())
    other = Machine()
    other.version = "2"
    measure(path, 6, other)
    assert len(other.prepared) == 2 * 6
    complete = Machine()  # nothing is left to measure, but it is not this runtime's
    measure(path, 6, complete)
    assert len(complete.prepared) == 2 * 6
    seeded = Machine()
    measure(path, 5, seeded, seed=1)
    assert len(seeded.prepared) == 2 * 5
    forced = Machine()
    measure(path, 5, forced, seed=1, remeasure=True)
    assert len(forced.prepared) == 2 * 5


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "",
        lambda text: text.replace('"schema": 2', '"schema": 1'),
        lambda text: text.replace('"median_ms": ', '"median_ms": -'),
        lambda text: text.replace('"rounds"', '"squares"'),
        lambda text: text.replace('"0": [', '"x": ['),
    ],
)
def test_a_damaged_file_is_measured_again(tmp_path, damage):
    path = tmp_path / "s.json"
    measure(path, 5, Machine())
    path.write_text(damage(path.read_text()))
    machine = Machine()
    assert len(measure(path, 5, machine).milliseconds) == 5 and len(machine.prepared) == 2 * 5


def test_subnets_that_were_measured_while_the_machine_changed_speed_are_counted(tmp_path):
    class Throttling(Machine):
        def subnet(self, space, arch):
            self.slow = 1.0 if len(self.prepared) < 8 else 1.3  # from the second round on
            return super().subnet(space, arch)

        def block(self, space, block):
            def run() -> None:
                self.now += 1e-3 * self.slow

            return run

    found = measure(tmp_path / "s.json", 8, Throttling())
    assert found.drifted == 8
    assert (
        measure(tmp_path / "s.json", 8, Machine(slow=1.3)).drifted == 8
    )  # nothing was measured again, nor forgotten
    assert json.loads((tmp_path / "s.json").read_text())["drifted"] == [str(i) for i in range(8)]


def test_learning_from_many_takes_few_rounds():
    assert subnet_sample.SAMPLE_LIMITS.max_rounds < TimingLimits().min_rounds
