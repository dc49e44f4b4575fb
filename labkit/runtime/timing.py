"""The timing harness: how one call is timed, and how many are timed one after another.

It runs on this machine and, copied into a kit, on boards: Python 3.8, the standard library, numpy
and onnxruntime are all it may need, and nothing of labkit.

Many calls are timed in rounds: each round times every call once more, for a short while, so that
what disturbs the machine for a minute touches one round of each call and not all of one call's
timings. A call's latency is the median of its rounds' medians, and it gets more rounds until the 95
% confidence interval of that is tight or a limit is reached (of fewer than six it is their range,
which holds the median with 94 % for five and 75 % for three). Medians and not means, because what
disturbs a timing (interrupts, other programs) only ever makes it longer.

An anchor, one call that is timed again and again, tells whether the machine itself changed speed:
what was timed in between is then timed again, and marked if the machine does not settle.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from typing import Callable, NamedTuple  # noqa: UP035  (Python 3.8 cannot subscript the other one)

Call = Callable[[], object]


class TimingLimits(NamedTuple):
    """When to stop repeating."""

    warmup: int = 5  # calls that are not counted, at the start of each round
    min_repeats: int = 20  # in a round, unless time is up
    max_repeats: int = 300  # in a round
    seconds: float = 0.1  # for each call in a round, and as long again to warm up
    tolerance: float = (
        0.01  # half-width of the confidence interval over the median, in a round and over rounds
    )
    min_rounds: int = 5
    max_rounds: int = 9
    drift: float = 0.05  # by how much the anchor may move
    redo: int = 2  # how often what was timed while it moved is timed again
    chunk: int = 12  # calls between two timings of the anchor


DEFAULT = TimingLimits()
FEWEST = 3  # repeats of a call that alone takes longer than its time


class Timing(NamedTuple):
    """Milliseconds of one call: of one round, or of all of them."""

    median_ms: float
    low_ms: float  # 95 % confidence interval of the median; of fewer than six timings their range
    high_ms: float
    spread: float  # interquartile range over the median
    repeats: int

    @property
    def half_width(self) -> float:
        """Half of the confidence interval over the median."""
        return (self.high_ms - self.low_ms) / 2 / self.median_ms


class Session(NamedTuple):
    """What a run of the harness found."""

    timings: dict[str, Timing]
    anchor_ms: list[float]  # the anchor's medians, in order of time
    drifted: list[
        str
    ]  # names of which half of the rounds or more were timed while the anchor was off


def summarize(seconds: list[float]) -> Timing:
    """Median, its confidence interval from order statistics (binomial, normal approximation),
    spread.
    """
    ordered = sorted(seconds)
    n = len(ordered)
    reach = 0.98 * n**0.5  # 1.96 standard deviations of a binomial(n, 1/2)
    low, high = max(0, int(n / 2 - reach)), min(n - 1, int(n / 2 + reach))
    median = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    quartiles = ordered[n // 4], ordered[(3 * n) // 4 if n > 1 else 0]
    return Timing(
        1e3 * median,
        1e3 * ordered[low],
        1e3 * ordered[high],
        (quartiles[1] - quartiles[0]) / median,
        n,
    )


def time_call(
    call: Call, limits: TimingLimits = DEFAULT, clock: Callable[[], float] = time.perf_counter
) -> Timing:
    """Repeat `call` until its median is known well enough, or a limit is reached.

    `clock` returns seconds; it is read before and after each counted call.
    """
    begin = clock()
    for _ in range(limits.warmup):
        call()
        if clock() - begin >= limits.seconds:
            break
    seconds: list[float] = []
    check_at, begin = limits.min_repeats, clock()
    while True:
        start = clock()
        call()
        now = clock()
        seconds.append(now - start)
        late = now - begin >= limits.seconds and len(seconds) >= FEWEST
        over = late or len(seconds) >= limits.max_repeats
        if over or len(seconds) >= check_at:  # at growing intervals: sorting is not for every call
            timing = summarize(seconds)
            if over or timing.half_width <= limits.tolerance:
                return timing
            check_at = int(1.5 * check_at) + 1


def merge(rounds: list[Timing]) -> Timing:
    """One timing from those of several rounds: the median of their medians, and its interval."""
    if len(rounds) == 1:
        return rounds[0]
    between = summarize([timing.median_ms / 1e3 for timing in rounds])
    spreads = sorted(timing.spread for timing in rounds)
    return between._replace(
        spread=spreads[len(spreads) // 2], repeats=sum(timing.repeats for timing in rounds)
    )


def time_all(
    names: list[str],
    prepare: Callable[[str], Call],
    anchor: Call,
    limits: TimingLimits = DEFAULT,
    *,
    done: dict[str, list[Timing]] | None = None,
    unsteady: dict[str, int] | None = None,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[dict[str, list[Timing]], list[float]], None] | None = None,
) -> Session:
    """Time every name's call, `prepare(name)`, in rounds, with the anchor in between.

    `done` holds rounds of an earlier run, which count. `unsteady` says how many of a name's rounds
    were timed while the anchor was off; it is counted on in place, to be kept with the rounds.
    `progress(rounds, anchor_ms)` is called after each chunk of a round, with all rounds so far by
    name.
    """
    rounds: dict[str, list[Timing]] = {name: list((done or {}).get(name, [])) for name in names}
    unsteady = {} if unsteady is None else unsteady
    anchor_ms: list[float] = []

    def time_anchor() -> float:
        anchor_ms.append(time_call(anchor, limits, clock).median_ms)
        return anchor_ms[-1]

    def wants_more(name: str, round_: int) -> bool:
        timings = rounds[name]
        if len(timings) > round_:
            return False
        return len(timings) < limits.min_rounds or merge(timings).half_width > limits.tolerance

    reference = sorted(time_anchor() for _ in range(3))[1]
    for round_ in range(limits.max_rounds):
        todo = [name for name in names if wants_more(name, round_)]
        for begin in range(0, len(todo), limits.chunk):
            chunk = todo[begin : begin + limits.chunk]
            for _ in range(1 + limits.redo):
                fresh = {name: time_call(prepare(name), limits, clock) for name in chunk}
                steady = abs(time_anchor() / reference - 1) <= limits.drift
                if steady:
                    break
            for name in chunk:
                rounds[name].append(fresh[name])
                unsteady[name] = unsteady.get(name, 0) + (not steady)
            if progress:
                progress(rounds, anchor_ms)
    return Session(
        {name: merge(rounds[name]) for name in names},
        anchor_ms,
        [name for name in names if 2 * unsteady.get(name, 0) >= len(rounds[name])],
    )


def moved(
    anchor: Call,
    before: list[float],
    limits: TimingLimits = DEFAULT,
    clock: Callable[[], float] = time.perf_counter,
) -> bool:
    """Whether the machine runs at another speed than when the anchor took `before` (medians,
    milliseconds).

    What was measured then and what is measured now do not belong into one table.
    """
    now = sorted(time_call(anchor, limits, clock).median_ms for _ in range(3))[1]
    return bool(before) and abs(now / sorted(before)[len(before) // 2] - 1) > limits.drift


def share_done(rounds: dict[str, list[Timing]], limits: TimingLimits) -> float:
    """How much of the fewest rounds is done, from 0 to 1."""
    return sum(min(len(timings), limits.min_rounds) for timings in rounds.values()) / (
        len(rounds) * limits.min_rounds
    )


def onnx_call(model: bytes, threads: int = 1, shape: tuple[int, ...] | None = None) -> Call:
    """A call that runs an ONNX model once on the CPU, on fixed random input (of `shape` if the
    model's is free).
    """
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    image = np.random.default_rng(0).standard_normal(shape or entry.shape).astype(np.float32)
    return lambda: session.run(None, {entry.name: image})


def machine_state() -> dict[str, object]:
    """What a timing depends on besides the model: processor, governor, load, temperature, versions."""

    def read(path: str) -> str | None:
        try:
            with open(path) as file:
                return file.read().strip()
        except OSError:
            return None

    cpuinfo = (read("/proc/cpuinfo") or "").splitlines()
    names = [
        line.split(":", 1)[1].strip()
        for line in cpuinfo
        if line.lower().startswith(("model name", "hardware"))
    ]
    board = (read("/proc/device-tree/model") or "").strip("\0")
    celsius = read("/sys/class/thermal/thermal_zone0/temp")
    return {
        "cpu": board or (names[0] if names else platform.processor() or platform.machine()),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "celsius": int(celsius) / 1000 if celsius and celsius.lstrip("-").isdigit() else None,
        "python": sys.version.split()[0],
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
