"""The timing harness: how one call is timed, and how many are timed in turns.

It runs on this machine and, copied into a kit, on boards: Python 3.8, the standard library, numpy
and onnxruntime are all it may need, and of labkit what is copied as well.

Many calls are timed in rounds: each round times every call once more, for a short while, so that
what disturbs the machine for a minute touches one round of each call and not all of one call's
timings. A call's latency is the median of its rounds' medians, and it gets more rounds until the 95
% confidence interval of that is tight or a limit is reached (of fewer than six it is their range,
which holds the median with 94 % for five and 75 % for three). Medians and not means, because what
disturbs a timing (interrupts, other programs) only ever makes it longer.

An anchor, one call that is timed again and again, tells whether the machine itself changed speed:
what was timed in between is then timed again, and marked if the machine does not settle.

Programs that measure one machine wait for each other. Which cores the calls ran on is recorded,
because a phone or a board may have slow ones and fast ones.
"""

from __future__ import annotations

import math
import os
import platform
import sys
import time
from typing import Callable, Iterable, NamedTuple  # noqa: UP035  (for Python 3.8)

from labkit.runtime.cores import busy_cores, core_state, read_text, thread_states
from labkit.runtime.machine_lock import undisturbed

Call = Callable[[], object]


class TimingLimits(NamedTuple):
    """When to stop repeating."""

    warmup: int = 5  # calls that are not counted, at the start of each round
    min_repeats: int = 20  # in a round, unless time is up
    max_repeats: int = 300  # in a round
    seconds: float = 0.1  # for each call in a round, and as long again to warm up
    tolerance: float = 0.01  # half-width of the interval over the median, in a round and of rounds
    min_rounds: int = 5
    max_rounds: int = 9
    drift: float = 0.05  # by how much the anchor may move
    redo: int = 2  # how often what was timed while it moved is timed again
    chunk: int = 12  # calls between two timings of the anchor


DEFAULT = TimingLimits()
# What a latency file says of the space that it was measured for.
SPACE_FIELDS = ("schema", "space", "space_sha256", "space_definition")
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


class TimingRun:
    """The rounds of timings of every name. An interrupted run is read back and continued.

    `anchor_ms` are the anchor's medians in order of time. `unsteady` counts, for each name, the
    rounds that were timed while the anchor was off. `cores` are those that the calls ran on, as far
    as the system says it.
    """

    def __init__(
        self,
        rounds: dict[str, list[Timing]] | None = None,
        anchor_ms: list[float] | None = None,
        unsteady: dict[str, int] | None = None,
        cores: Iterable[int] = (),
    ) -> None:
        self.rounds = rounds or {}
        self.anchor_ms = anchor_ms or []
        self.unsteady = unsteady or {}
        self.cores = set(cores)

    @property
    def timings(self) -> dict[str, Timing]:
        """One timing for each name, from all its rounds."""
        return {name: merge(timings) for name, timings in self.rounds.items() if timings}

    @property
    def drifted(self) -> list[str]:
        """Names of which half of the rounds or more were timed while the anchor was off."""
        return [
            name
            for name, timings in self.rounds.items()
            if timings and 2 * self.unsteady.get(name, 0) >= len(timings)
        ]

    def moved(
        self, anchor: Call, limits: TimingLimits, clock: Callable[[], float] = time.perf_counter
    ) -> bool:
        """Whether the machine runs at another speed now than when this run was timed.

        What was measured then and what is measured now do not belong into one table.
        """
        if not self.anchor_ms:
            return False
        before = sorted(self.anchor_ms)[len(self.anchor_ms) // 2]
        now = sorted(_time_anchor(anchor, limits, clock))[1]
        return abs(now / before - 1) > limits.drift

    def share(self, names: list[str], limits: TimingLimits) -> float:
        """The part of the fewest rounds of `names` that has been timed, from 0 to 1."""
        rounds = sum(min(len(self.rounds.get(name, ())), limits.min_rounds) for name in names)
        return rounds / (len(names) * limits.min_rounds)

    def to_json(self) -> dict[str, object]:
        rounds = {
            name: [timing._asdict() for timing in timings]
            for name, timings in self.rounds.items()
            if timings
        }
        return {
            "rounds": rounds,
            "anchor_ms": self.anchor_ms,
            "unsteady": self.unsteady,
            "cores": sorted(self.cores),
        }

    @classmethod
    def from_json(cls, value: dict) -> TimingRun:
        """The run that `to_json` described."""
        rounds = {
            name: [Timing(**timing) for timing in timings]
            for name, timings in value["rounds"].items()
        }
        counts = value.get("unsteady", {}).items()
        unsteady = {name: int(count) for name, count in counts if name in rounds}
        return cls(rounds, list(value["anchor_ms"]), unsteady, value.get("cores", ()))


def summarize(seconds: list[float]) -> Timing:
    """Median, spread, and the median's confidence interval from order statistics.

    The interval is that of a binomial distribution in its normal approximation.

    >>> summarize([0.001, 0.002, 0.004])
    Timing(median_ms=2.0, low_ms=1.0, high_ms=4.0, spread=1.5, repeats=3)
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
    run: TimingRun | None = None,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[TimingRun, float], None] | None = None,
    seconds: float = math.inf,
) -> TimingRun:
    """Time every name's call, `prepare(name)`, in rounds, with the anchor in between.

    `run` is an earlier run to continue: its rounds count, and those timed now are added to it.
    `progress(run, share)` is called after each chunk of a round with the share that is timed. After
    `seconds` nothing is timed again: no further round begins. It waits for other programs that
    measure this machine.
    """
    with undisturbed():
        run = run or TimingRun()
        return _time_all(names, prepare, anchor, limits, run, clock, progress, clock() + seconds)


def _time_all(
    names: list[str],
    prepare: Callable[[str], Call],
    anchor: Call,
    limits: TimingLimits,
    run: TimingRun,
    clock: Callable[[], float],
    progress: Callable[[TimingRun, float], None] | None,
    end: float,
) -> TimingRun:
    run.rounds = {**{name: run.rounds.get(name, []) for name in names}, **run.rounds}

    def needs_round(name: str, index: int) -> bool:
        timings = run.rounds[name]
        if len(timings) > index:
            return False
        return len(timings) < limits.min_rounds or merge(timings).half_width > limits.tolerance

    def timed(name: str) -> Timing:
        before = thread_states()
        timing = time_call(prepare(name), limits, clock)
        run.cores |= busy_cores(before, thread_states())
        return timing

    anchor_ms = _time_anchor(anchor, limits, clock)
    reference = sorted(anchor_ms)[1]
    run.anchor_ms += anchor_ms
    for index in range(limits.max_rounds):
        pending = [name for name in names if needs_round(name, index)]
        if index and clock() >= end:
            break
        for begin in range(0, len(pending), limits.chunk):
            chunk = pending[begin : begin + limits.chunk]
            for _ in range(1 + limits.redo):
                timings = {name: timed(name) for name in chunk}
                run.anchor_ms.append(time_call(anchor, limits, clock).median_ms)
                steady = abs(run.anchor_ms[-1] / reference - 1) <= limits.drift
                if steady or clock() >= end:
                    break
            for name, timing in timings.items():
                run.rounds[name].append(timing)
                run.unsteady[name] = run.unsteady.get(name, 0) + (not steady)
            if progress:
                progress(run, run.share(names, limits))
    return run


def _time_anchor(anchor: Call, limits: TimingLimits, clock: Callable[[], float]) -> list[float]:
    """Three medians: the middle one survives a disturbance of another."""
    return [time_call(anchor, limits, clock).median_ms for _ in range(3)]


def latency_file(contents: dict, run: TimingRun, provenance: dict) -> dict:
    """The content of latency.json, made on this machine and on a board alike.

    `contents` lists the blocks and subnets that were timed, as
    `labkit.latency.measured.latency_file.contents` does; subnets have the names subnet-0 and so on.
    `provenance` says on which machine and with which runtime.
    """
    timings = {name: timing._asdict() for name, timing in run.timings.items()}
    return {
        **{field: contents[field] for field in SPACE_FIELDS if field in contents},
        "what": "latency",
        "made": dict(provenance, **core_state(run.cores)),
        "anchor_ms": run.anchor_ms,
        "drifted": run.drifted,
        "pieces": {name: timings[name] for name in contents["pieces"]},
        "subnets": [
            dict(timings[f"subnet-{i}"], arch=arch) for i, arch in enumerate(contents["subnets"])
        ],
    }


def onnx_session(model: bytes | str, threads: int = 1):
    """An ONNX Runtime session on the CPU, of a model's bytes or of its file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def onnx_call(model: bytes, threads: int = 1, shape: tuple[int, ...] | None = None) -> Call:
    """A call that runs an ONNX model once on fixed random input.

    `shape` is the input's, where a dimension of the model's own is free.
    """
    import numpy as np

    session = onnx_session(model, threads)
    entry = session.get_inputs()[0]
    image = np.random.default_rng(0).standard_normal(shape or entry.shape).astype(np.float32)
    return lambda: session.run(None, {entry.name: image})


def machine_state() -> dict[str, object]:
    """What a timing depends on besides the model: processor, clock governor, load, temperature."""
    cpuinfo = (read_text("/proc/cpuinfo") or "").splitlines()
    names = [
        line.split(":", 1)[1].strip()
        for line in cpuinfo
        if line.lower().startswith(("model name", "hardware"))
    ]
    board = (read_text("/proc/device-tree/model") or "").strip("\0")
    celsius = read_text("/sys/class/thermal/thermal_zone0/temp")
    return {
        "cpu": board or (names[0] if names else platform.processor() or platform.machine()),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "governor": read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "celsius": int(celsius) / 1000 if celsius and celsius.lstrip("-").isdigit() else None,
        "python": sys.version.split()[0],
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
