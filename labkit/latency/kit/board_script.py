"""Measure latency on this board: `python3 kit.zip` (or `python3 FOLDER` once it is unpacked).

Needs Python 3.8 or newer, numpy and onnxruntime. Writes latency.json into the current folder (or
where --out says), showing its progress. It may be interrupted at any time: run it again and it goes
on where it stopped. Before you start, stop other programs and, if you can, fix the clock frequency:

    echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import zipfile

from timing import TimingLimits, TimingRun, latency_file, machine_state, onnx_call, time_all

KIT = os.path.dirname(os.path.abspath(__file__))  # the zip, or the folder it was unpacked to
QUICK = {"min_repeats": 3, "max_repeats": 20, "seconds": 0.02, "min_rounds": 2, "max_rounds": 2}


class Unusable(Exception):
    """What stops the kit; the message says the way out."""


def read(name: str) -> bytes:
    """A file of the kit, whether it was unpacked or not."""
    if zipfile.is_zipfile(KIT):
        with zipfile.ZipFile(KIT) as archive:
            return archive.read(name)
    with open(os.path.join(KIT, *name.split("/")), "rb") as file:
        return file.read()


def write(path: str, value: dict) -> None:
    """Write JSON in one step: whoever reads `path` sees the old file or the new one."""
    with open(path + ".tmp", "w") as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".tmp", path)


def versions() -> dict[str, str]:
    """The versions of the two packages; raises Unusable without them."""
    try:
        import numpy
        import onnxruntime
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name in ("numpy", "onnxruntime"):
            message = f"{error.name} is not installed; pip install numpy onnxruntime"
        else:
            message = f"numpy or onnxruntime is installed but does not load: {error}"
        raise Unusable(message) from None
    return {"runtime_version": onnxruntime.__version__, "numpy": numpy.__version__}


def check_writable(path: str) -> None:
    """Raise Unusable now, and not after minutes of measuring, where `path` cannot be written."""
    try:
        if os.path.isdir(path):
            raise IsADirectoryError("it is a folder")
        with open(path + ".partial.tmp", "w"):  # as `write` does
            pass
    except OSError as error:
        reason = error.strerror or error
        raise Unusable(f"cannot write {path}: {reason}; say where with --out") from None


def earlier_run(path: str, kit: str) -> TimingRun:
    """The unfinished run of this kit in `path`, without what drifted in it; empty without one.

    Raises Unusable where it is of another kit, or was measured with other options.
    """
    try:
        with open(path) as file:
            value = json.load(file)
    except (OSError, ValueError):
        return TimingRun()
    if not isinstance(value, dict):
        return TimingRun()
    if value.get("kit") != kit:
        raise Unusable(
            f"{path} holds an unfinished run of another kit, or with other --threads or --quick:"
            " repeat that to go on with it, or remove the file, or choose another --out"
        )
    return TimingRun.from_json(value, without=value["drifted"])


def measure(out: str, threads: int, quick: bool) -> None:
    """Measure every model of the kit and write the result to `out`."""
    provenance = dict(
        machine_state(), runtime="onnxruntime", threads=threads, batch=1, **versions()
    )
    check_writable(out)
    kit, partial = json.loads(read("kit.json").decode()), out + ".partial"
    kit["kit"] = f"{kit['kit']} threads={threads} quick={quick}"
    names = kit["pieces"] + [f"subnet-{i}" for i in range(len(kit["subnets"]))]
    limits = TimingLimits(**kit["limits"])
    if quick:
        limits = limits._replace(**QUICK)
    provenance.update(limits=limits._asdict(), kit=kit["kit"])

    def call(name: str):
        return onnx_call(read(f"models/{name}.onnx"), threads)

    anchor, run = call(kit["anchor"]), earlier_run(partial, kit["kit"])
    if run.rounds and run.moved(anchor, limits):
        say("the board runs at another speed than in the run before: starting again")
        run = TimingRun()
    if run.rounds:
        say(f"going on: {len(run.rounds)} of {len(names)} models have been measured before")
    begin = time.time()

    def save(run: TimingRun, share: float) -> None:
        write(partial, dict(run.to_json(), kit=kit["kit"], drifted=[]))
        bar, seconds = "#" * int(40 * share), time.time() - begin
        progress = f"[{bar:40}] {100 * share:3.0f} %  {seconds:4.0f} s"
        say(f"\r{progress}  anchor {run.anchor_ms[-1]:.3f} ms ", end="")

    run = time_all(names, call, anchor, limits, run=run, progress=save)
    provenance["seconds"] = round(time.time() - begin, 1)
    write(out, latency_file(kit, run, provenance))
    say(f"\nwrote {out}")
    if not run.drifted:
        os.remove(partial)
        return
    typical = sorted(run.anchor_ms)[len(run.anchor_ms) // 2]
    value = dict(run.to_json(), kit=kit["kit"], drifted=run.drifted, anchor_ms=[typical])
    write(partial, value)
    say(
        f"{len(run.drifted)} blocks were measured while the board changed speed (throttling, other"
        " programs); cool it, fix its clock and run this again: only those are measured once more"
    )


def say(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)


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
    try:
        measure(options.out, options.threads, options.quick)
    except Unusable as error:
        say(str(error))
        return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("\nstopped; the same command goes on from what was measured so far")
        sys.exit(130)
