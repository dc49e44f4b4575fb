"""The timing harness: how one call is timed, and how many are timed one after another.

It runs on this machine and, copied into a kit, on boards: Python 3.8, the standard library, numpy and
onnxruntime are all it may need, and nothing of labkit.

A call is repeated until the 95 % confidence interval of its median is tight or a limit is reached. The
median and not the mean, because what disturbs a timing (interrupts, other programs) only ever makes it
longer. An anchor, one call that is timed again and again, tells whether the machine itself changed
speed: what was timed in between is then timed again, and marked if the machine does not settle.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from typing import Callable, NamedTuple  # noqa: UP035  (Python 3.8 cannot subscript the other one)

Call = Callable[[], object]


class Limits(NamedTuple):
    """When to stop repeating a call."""

    warmup: int = 10  # calls that are not counted
    min_repeats: int = 20  # unless time is up
    max_repeats: int = 2000
    seconds: float = 0.5  # for each call, and as long again to warm up
    tolerance: float = 0.01  # half-width of the confidence interval over the median
    drift: float = 0.05  # by how much the anchor may move
    redo: int = 2  # how often what was timed while it moved is timed again
    chunk: int = 12  # calls between two timings of the anchor


DEFAULT = Limits()
FEWEST = 3  # repeats of a call that alone takes longer than its time


class Timing(NamedTuple):
    """Milliseconds of one call."""

    median_ms: float
    low_ms: float  # 95 % confidence interval of the median
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
    drifted: list[str]  # names that were timed while the anchor moved, to the last try


def summarise(seconds: list[float]) -> Timing:
    """Median, its confidence interval from order statistics (binomial, normal approximation), spread."""
    ordered = sorted(seconds)
    n = len(ordered)
    reach = 0.98 * n ** 0.5  # 1.96 standard deviations of a binomial(n, 1/2)
    low, high = max(0, int(n / 2 - reach)), min(n - 1, int(n / 2 + reach))
    median = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    quartiles = ordered[n // 4], ordered[(3 * n) // 4 if n > 1 else 0]
    return Timing(1e3 * median, 1e3 * ordered[low], 1e3 * ordered[high], (quartiles[1] - quartiles[0]) / median, n)


def time_call(call: Call, limits: Limits = DEFAULT, clock: Callable[[], float] = time.perf_counter) -> Timing:
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
            timing = summarise(seconds)
            if over or timing.half_width <= limits.tolerance:
                return timing
            check_at = int(1.5 * check_at) + 1


def time_all(names: list[str], prepare: Callable[[str], Call], anchor: Call, limits: Limits = DEFAULT, *,
             done: dict[str, Timing] | None = None, clock: Callable[[], float] = time.perf_counter,
             progress: Callable[[str, dict[str, Timing], list[float]], None] | None = None) -> Session:
    """Time every name's call, `prepare(name)`, with the anchor in between.

    Names in `done` keep their timings. `progress(name, timings, anchor_ms)` is called after each call;
    after each chunk with the name ''.
    """
    timings: dict[str, Timing] = dict(done or {})
    anchor_ms: list[float] = []
    drifted: list[str] = []

    def time_anchor() -> float:
        anchor_ms.append(time_call(anchor, limits, clock).median_ms)
        return anchor_ms[-1]

    reference = sorted(time_anchor() for _ in range(3))[1]
    todo = [name for name in names if name not in timings]
    for begin in range(0, len(todo), limits.chunk):
        chunk = todo[begin:begin + limits.chunk]
        for _ in range(1 + limits.redo):
            for name in chunk:
                timings[name] = time_call(prepare(name), limits, clock)
                if progress:
                    progress(name, timings, anchor_ms)
            if abs(time_anchor() / reference - 1) <= limits.drift:
                break
        else:
            drifted += chunk
        if progress:
            progress("", timings, anchor_ms)
    return Session({name: timings[name] for name in names}, anchor_ms, drifted)


def onnx_call(model: bytes, threads: int = 1) -> Call:
    """A call that runs an ONNX model once on the CPU, on fixed random input."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    image = np.random.default_rng(0).standard_normal(entry.shape).astype(np.float32)
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
    names = [line.split(":", 1)[1].strip() for line in cpuinfo if line.lower().startswith(("model name", "hardware"))]
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
