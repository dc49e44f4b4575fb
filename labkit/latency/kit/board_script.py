"""Measure latency on this board: `python3 kit.zip` (or `python3 FOLDER` once it is unpacked).

Needs Python 3.8, numpy 1.17 and onnxruntime 1.12, or newer ones. Writes latency.json into the
current folder (or where --out says), showing its progress. It may be interrupted at any time: run
it again and it goes on where it stopped. Before you start, stop other programs and, if you can, fix
the clock frequency:

    echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor

Where some cores are slow and others fast, choose: `taskset -c 4-7 python3 kit.zip`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import time
import zipfile

from labkit.latency.kit.crash_report import UNUSABLE, Activity, in_child, say
from labkit.latency.kit.partial_run import KitFiles, Unusable
from labkit.runtime.cores import SAME_SPEED, core_state
from labkit.runtime.machine_lock import undisturbed
from labkit.runtime.timing import (
    Call,
    TimingLimits,
    TimingRun,
    latency_file,
    machine_state,
    onnx_call,
    time_all,
)

# The zip, or the folder it was unpacked to, in which this file has the place that it has in labkit.
KIT = os.path.abspath(__file__)
for _ in ("board_script.py", "kit", "latency", "labkit"):
    KIT = os.path.dirname(KIT)
QUICK = {"min_repeats": 3, "max_repeats": 20, "seconds": 0.02, "min_rounds": 2, "max_rounds": 2}
# onnxruntime 1.12 is the first that knows the operators' version in the kit, numpy 1.17 the first
# with `default_rng`.
OLDEST = {"numpy": (1, 17), "onnxruntime": (1, 12)}
WITH_WHEELS = ("x86_64", "amd64", "aarch64", "arm64")


def read(name: str) -> bytes:
    """A file of the kit, whether it was unpacked or not."""
    if zipfile.is_zipfile(KIT):
        with zipfile.ZipFile(KIT) as archive:
            return archive.read(name)
    with open(os.path.join(KIT, *name.split("/")), "rb") as file:
        return file.read()


def versions() -> dict[str, str]:
    """The versions of the two packages; raises Unusable without them or where they are too old."""
    packages = {}
    for package, oldest in OLDEST.items():
        try:
            packages[package] = __import__(package).__version__
        except ModuleNotFoundError as error:
            if error.name != package:
                raise Unusable(f"{package} is installed but does not load: {error}") from None
            raise Unusable(_missing(package)) from None
        except Exception as error:  # of whatever kind a package's own start fails with
            reason = str(error).strip().split("\n")[0]
            raise Unusable(f"{package} is installed but does not load: {reason}") from None
        if tuple(map(int, re.findall(r"\d+", packages[package])[:2])) < oldest:
            raise Unusable(
                f"{package} {packages[package]} is too old, the kit needs"
                f" {'.'.join(map(str, oldest))} or newer; pip install --upgrade {package}"
            )
    return packages


def _missing(package: str) -> str:
    machine = platform.machine()
    if package == "onnxruntime" and (sys.maxsize < 2**32 or machine.lower() not in WITH_WHEELS):
        bits = 32 if sys.maxsize < 2**32 or machine.startswith("armv") else 64
        return (
            f"onnxruntime is not installed, and PyPI has none for {machine} ({bits} bit); use a"
            " 64-bit system, or time the models of the kit with another program and import its"
            " table (`labkit lut keys`, `labkit lut import --format csv`)"
        )
    return f"{package} is not installed; pip install numpy onnxruntime"


def measure(out: str, threads: int, quick: bool, activity: Activity) -> None:
    """Measure every model of the kit and write the result to `out`."""
    activity.enter("when it was loaded")
    packages = versions()
    kit = json.loads(read("kit.json").decode())
    options = f"threads={threads} quick={quick} onnxruntime={packages['onnxruntime']}"
    files = KitFiles(out, kit["kit"], options, quick)
    files.check()
    with undisturbed():
        files.check()  # another kit may have ended meanwhile
        files.check_writable()
        _measure(files, kit, threads, packages, activity)


def _measure(files: KitFiles, kit: dict, threads: int, packages: dict, activity: Activity) -> None:
    names = kit["pieces"] + [f"subnet-{i}" for i in range(len(kit["subnets"]))]
    limits = TimingLimits(**kit["limits"])
    if files.quick:
        limits = limits._replace(**QUICK)

    def call(name: str) -> Call:
        activity.enter(f"in {name}")
        try:
            return onnx_call(read(f"models/{name}.onnx"), threads)
        except Exception as error:  # of onnxruntime's own kinds
            reason = str(error).strip().split("\n")[0]
            raise Unusable(
                f"onnxruntime {packages['onnxruntime']} does not load {name}: {reason}; install"
                " another version of it"
            ) from None

    provenance = dict(machine_state(), runtime="onnxruntime", threads=threads, batch=1)
    provenance.update(runtime_version=packages["onnxruntime"], numpy=packages["numpy"])
    provenance.update(limits=limits._asdict(), mode="quick" if files.quick else "full")
    anchor, (run, earlier_seconds) = call(kit["anchor"]), files.earlier_run(names)
    if run.rounds and run.moved(anchor, limits):
        say("the board runs at another speed than in the run before: starting again")
        run, earlier_seconds = TimingRun(), 0.0
    if run.rounds:
        say(f"going on: {len(run.rounds)} of {len(names)} models have been measured before")
    begin = time.time()

    def seconds() -> float:
        return round(earlier_seconds + time.time() - begin, 1)

    def save(run: TimingRun, share: float) -> None:
        if activity.orphaned:
            os._exit(UNUSABLE)  # a kit that was killed measures no longer
        files.save(run, seconds())
        bar = "#" * int(40 * share)
        progress = f"[{bar:40}] {100 * share:3.0f} %  {seconds():4.0f} s"
        say(f"\r{progress}  anchor {run.anchor_ms[-1]:.3f} ms ", end="")

    run = time_all(names, call, anchor, limits, run=run, progress=save)
    files.finish(latency_file(kit, run, dict(provenance, seconds=seconds(), kit=files.name)))
    say(f"\nwrote {files.out}")
    cores = core_state(run.cores)
    if (cores["core_speed_ratio"] or 1) > SAME_SPEED:
        say(
            f"it ran on slow and on fast cores ({cores['cores_used']} of {cores['core_speeds']}):"
            " times of both are mixed; choose cores with taskset -c and run this again"
        )
    if not run.drifted:
        os.remove(files.partial)
        return
    typical = sorted(run.anchor_ms)[len(run.anchor_ms) // 2]
    drifted, run.anchor_ms = run.drifted, [typical]
    files.save(run, seconds(), drifted)
    say(
        f"{len(drifted)} blocks were measured while the board changed speed (throttling, other"
        " programs); cool it, fix its clock and run this again: only those are measured once more"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python3 kit.zip",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", default="latency.json", help="where to write the result (default: latency.json)"
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="threads of the runtime (default: 1)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer repeats: minutes become seconds, less exact"
    )
    options = parser.parse_args()
    # With 0 onnxruntime would take all cores, and the result would not say how many.
    if options.threads < 1:
        parser.error(f"--threads is {options.threads}, want 1 or more")

    def work(activity: Activity) -> int:
        try:
            measure(options.out, options.threads, options.quick, activity)
        except Unusable as error:
            say(str(error))
            return UNUSABLE
        return 0

    return in_child(work)
