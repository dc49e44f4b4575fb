"""The timing harness on a scripted clock: no real time is measured, so every number can be worked
out.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.runtime.timing import (
    Timing,
    TimingLimits,
    TimingRun,
    machine_state,
    summarize,
    time_all,
    time_call,
)

MS = 1e-3


class Machine:
    """A clock that only moves when a call runs; `call(ms)` makes a call that takes so long, or as
    scripted.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.runs = 0

    def clock(self) -> float:
        return self.now

    def call(self, *ms: float):
        durations = iter(ms)
        last = ms[-1]

        def run() -> None:
            self.runs += 1
            self.now += next(durations, last) * MS

        return run


def test_a_steady_call_stops_at_the_fewest_repeats():
    machine = Machine()
    timing = time_call(machine.call(2.0), TimingLimits(warmup=7, min_repeats=20), machine.clock)
    assert timing == pytest.approx(Timing(2.0, 2.0, 2.0, 0.0, 20))
    assert machine.runs == 7 + 20


def test_warm_up_is_not_counted():
    machine = Machine()
    slow_start = [15.0] * 5 + [1.0]
    timing = time_call(
        machine.call(*slow_start), TimingLimits(warmup=5, min_repeats=10), machine.clock
    )
    assert timing.median_ms == pytest.approx(1.0) and timing.high_ms == pytest.approx(1.0)


def test_outliers_do_not_move_the_center_but_show_in_the_spread():
    machine = Machine()
    durations = [1.0, 1.0, 1.0, 9.0] * 500  # every fourth call is disturbed
    timing = time_call(
        machine.call(*durations), TimingLimits(warmup=0, min_repeats=40), machine.clock
    )
    assert timing.median_ms == pytest.approx(1.0)
    assert timing.spread == pytest.approx(8.0)


def test_a_noisy_call_is_repeated_until_the_interval_is_tight():
    rng = np.random.default_rng(0)
    machine = Machine()
    durations = rng.normal(1.0, 0.1, 5000).clip(0.1).tolist()
    limits = TimingLimits(warmup=0, min_repeats=20, max_repeats=5000, seconds=1e9, tolerance=0.01)
    timing = time_call(machine.call(*durations), limits, machine.clock)
    # the half-width of the median's interval is 1.96 * 1.2533 * sigma / sqrt(n): 1 % needs about
    # 600
    assert 300 < timing.repeats < 1500
    assert timing.half_width <= 0.01
    assert timing.low_ms <= 1.0 <= timing.high_ms


def test_limits_end_what_does_not_settle():
    machine = Machine()
    wild = [1.0, 3.0] * 1000
    by_count = time_call(
        machine.call(*wild),
        TimingLimits(warmup=0, min_repeats=10, max_repeats=31, seconds=1e9),
        machine.clock,
    )
    assert by_count.repeats == 31
    by_time = time_call(
        machine.call(*wild),
        TimingLimits(warmup=0, min_repeats=10, max_repeats=10**6, seconds=0.1),
        machine.clock,
    )
    assert by_time.repeats == 50  # 25 pairs of 1 + 3 ms
    slow = time_call(
        machine.call(400.0), TimingLimits(warmup=10, min_repeats=20, seconds=0.5), machine.clock
    )
    assert slow.repeats == 3 and slow.median_ms == pytest.approx(400.0)


def test_warm_up_ends_when_its_time_is_up():
    machine = Machine()
    time_call(
        machine.call(400.0), TimingLimits(warmup=10, min_repeats=20, seconds=0.5), machine.clock
    )
    assert machine.runs == 2 + 3


@given(st.lists(st.floats(1e-6, 10.0), min_size=1, max_size=60))
def test_summary_is_ordered_and_the_median_is_numpys(seconds):
    timing = summarize(seconds)
    assert timing.low_ms <= timing.median_ms * (
        1 + 1e-12
    ) and timing.median_ms <= timing.high_ms * (1 + 1e-12)
    assert timing.median_ms == pytest.approx(1e3 * np.median(seconds))
    assert timing.spread >= 0 and timing.repeats == len(seconds)


def test_the_interval_of_the_median_covers_as_often_as_it_says():
    """95 % of intervals over samples of a skewed distribution hold its median (ln 2)."""
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(600):
        timing = summarize(rng.exponential(1.0, 101).tolist())
        inside += timing.low_ms <= 1e3 * np.log(2) <= timing.high_ms
    assert 0.92 <= inside / 600 <= 0.985


# ---- many calls, and the anchor ----

QUICK = TimingLimits(
    warmup=0, min_repeats=3, max_repeats=3, min_rounds=1, max_rounds=1, chunk=2, redo=2, drift=0.05
)


def run_all(machine: Machine, anchor, names: str = "abcd", limits: TimingLimits = QUICK, **options):
    order = []

    def prepare(name: str):
        order.append(name)
        return machine.call(float(ord(name) - ord("a") + 1))

    session = time_all(list(names), prepare, anchor, limits, clock=machine.clock, **options)
    return session, "".join(order)


def test_a_steady_machine_is_timed_once():
    machine = Machine()
    session, order = run_all(machine, machine.call(1.0))
    assert order == "abcd" and session.drifted == []
    assert [session.timings[n].median_ms for n in "abcd"] == pytest.approx([1, 2, 3, 4])
    assert session.anchor_ms == pytest.approx(
        [1.0] * 5
    )  # three for the reference, one after each chunk


def test_what_was_timed_during_a_passing_disturbance_is_timed_again():
    machine = Machine()
    anchor = machine.call(*[1.0] * 9, *[1.4] * 3, 1.0)  # slow after the first chunk, for one timing
    session, order = run_all(machine, anchor)
    assert order == "ababcd" and session.drifted == []
    assert session.anchor_ms == pytest.approx([1, 1, 1, 1.4, 1, 1])


def test_a_machine_that_stays_slow_is_marked():
    machine = Machine()
    anchor = machine.call(*[1.0] * 12, 1.3)  # throttles after the first chunk and stays there
    session, order = run_all(machine, anchor)
    assert order == "ab" + "cd" * 3 and session.drifted == ["c", "d"]


def test_an_earlier_run_is_continued_and_progress_is_told():
    machine = Machine()
    old = Timing(7.0, 6.9, 7.1, 0.0, 20)
    seen = []
    session, order = run_all(
        machine,
        machine.call(1.0),
        run=TimingRun({"a": [old], "c": [old]}),
        progress=lambda run, share: seen.append((share, len(run.anchor_ms))),
    )
    assert order == "bd" and session.timings["a"] == old
    assert list(session.timings) == list("abcd")
    assert seen == [(1.0, 4)]


def test_rounds_take_turns_and_a_disturbed_round_does_not_count():
    """Each name is timed once a round; a disturbance of one round leaves the median of the rounds
    alone.
    """
    machine, order = Machine(), []
    disturbed = {("a", 2): 9.0}

    def prepare(name: str):
        order.append(name)
        return machine.call(disturbed.get((name, order.count(name)), 2.0))

    limits = QUICK._replace(min_rounds=5, max_rounds=5)
    session = time_all(["a", "b"], prepare, machine.call(1.0), limits, clock=machine.clock)
    assert "".join(order) == "ab" * 5
    assert (
        session.timings["a"].median_ms == pytest.approx(2.0) and session.timings["a"].repeats == 15
    )
    assert session.timings["a"].high_ms == pytest.approx(
        9.0
    )  # five rounds: their range is the interval
    assert session.timings["b"] == pytest.approx(Timing(2.0, 2.0, 2.0, 0.0, 15))


def test_only_what_is_not_settled_gets_more_rounds():
    machine, order = Machine(), []

    def prepare(name: str):
        order.append(name)
        return machine.call(1.0 + 0.1 * (order.count(name) % 2) if name == "b" else 1.0)

    limits = QUICK._replace(min_rounds=3, max_rounds=7, tolerance=0.02)
    time_all(["a", "b"], prepare, machine.call(1.0), limits, clock=machine.clock)
    assert "".join(order) == "ab" * 3 + "b" * 4


def test_nothing_is_timed_again_after_the_time():
    machine = Machine()
    throttled = machine.call(*[1.0] * 12, 1.3)  # would be waited for, three times
    session, order = run_all(machine, throttled, seconds=0.03)
    assert machine.now > 0.03 and order == "abcd" and session.drifted == ["c", "d"]
    machine = Machine()
    limits = QUICK._replace(min_rounds=5, max_rounds=5)
    options = {"clock": machine.clock, "seconds": 0.0}
    run = time_all(["a"], lambda name: machine.call(2.0), machine.call(1.0), limits, **options)
    assert len(run.rounds["a"]) == 1


def test_earlier_rounds_count():
    machine, order = Machine(), []

    def prepare(name: str):
        order.append(name)
        return machine.call(3.0)

    old = Timing(3.0, 3.0, 3.0, 0.0, 3)
    limits = QUICK._replace(min_rounds=3, max_rounds=3)
    session = time_all(
        ["a", "b"],
        prepare,
        machine.call(1.0),
        limits,
        clock=machine.clock,
        run=TimingRun({"a": [old, old]}),
    )
    assert sorted(order) == ["a", "b", "b", "b"] and session.timings["a"].repeats == 9


def test_the_reference_survives_one_disturbed_anchor():
    machine = Machine()
    session, order = run_all(machine, machine.call(*[5.0] * 3, 1.0))
    assert order == "abcd" and session.drifted == []


def test_machine_state_is_plain_data():
    state = machine_state()
    assert {"cpu", "cores", "governor", "load", "python", "date", "system"} <= set(state)
    assert all(value is None or isinstance(value, (str, int, float)) for value in state.values())
