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

from timing import (
    Session,
    Timing,
    TimingLimits,
    machine_state,
    moved,
    onnx_call,
    share_done,
    time_all,
)

HERE = os.path.dirname(os.path.abspath(__file__))


def read(name: str) -> bytes:
    """A file of the kit, whether it was unpacked or not."""
    if zipfile.is_zipfile(HERE):
        with zipfile.ZipFile(HERE) as archive:
            return archive.read(name)
    with open(os.path.join(HERE, *name.split("/")), "rb") as file:
        return file.read()


def write(path: str, value: dict) -> None:
    """Write JSON so that whoever reads `path` sees the old file or the new one, whole."""
    with open(path + ".tmp", "w") as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".tmp", path)


class AnotherRun(Exception):
    """What an unfinished run has kept is not of the run that would replace it."""


def resume(path: str, kit: str) -> tuple[dict[str, list[Timing]], list[float], dict[str, int]]:
    """Rounds, anchors and counts of unsteady rounds of an earlier run of this kit, without what
    drifted in it.

    Raises AnotherRun where they are of another kit, or were measured with other options.
    """
    try:
        with open(path) as file:
            value = json.load(file)
    except (OSError, ValueError):
        return {}, [], {}
    if not isinstance(value, dict):
        return {}, [], {}
    if value.get("kit") != kit:
        raise AnotherRun(path)
    rounds = {
        name: [Timing(**timing) for timing in timings]
        for name, timings in value["rounds"].items()
        if name not in value["drifted"]
    }
    return (
        rounds,
        value["anchor_ms"],
        {name: n for name, n in value.get("unsteady", {}).items() if name in rounds},
    )


def result(kit: dict, session: Session, made: dict) -> dict:
    """latency.json: the kit's description, with a time for each model."""
    timings = {name: timing._asdict() for name, timing in session.timings.items()}
    return {
        "schema": kit["schema"],
        "what": "latency",
        "space": kit["space"],
        "space_sha256": kit["space_sha256"],
        "made": made,
        "anchor_ms": session.anchor_ms,
        "drifted": session.drifted,
        "pieces": {name: timings[name] for name in kit["pieces"]},
        "subnets": [
            dict(timings[f"subnet-{i}"], arch=arch) for i, arch in enumerate(kit["subnets"])
        ],
    }


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
    arguments = parser.parse_args()
    if (
        arguments.threads < 1
    ):  # onnxruntime would take that for all cores, and the result would not say how many
        parser.error(f"--threads is {arguments.threads}, want 1 or more")
    try:
        import numpy
        import onnxruntime
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name in ("numpy", "onnxruntime")
        print(
            (
                f"{error.name} is not installed; pip install numpy onnxruntime"
                if missing
                else f"numpy or onnxruntime is installed but does not load: {error}"
            ),
            file=sys.stderr,
        )
        return 2

    partial = arguments.out + ".partial"
    try:  # now and not after minutes of measuring
        if os.path.isdir(arguments.out):
            raise IsADirectoryError("it is a folder")
        with open(partial + ".tmp", "w"):  # as `write` will
            pass
    except OSError as error:
        print(
            f"cannot write {arguments.out}: {error.strerror or error}; say where with --out",
            file=sys.stderr,
        )
        return 2
    kit = json.loads(read("kit.json").decode())
    kit["kit"] = f"{kit['kit']} threads={arguments.threads} quick={arguments.quick}"
    models = dict(
        kit["pieces"], **{f"subnet-{i}": f"subnets/{i}.onnx" for i in range(len(kit["subnets"]))}
    )
    names = list(models)
    limits = TimingLimits(**kit["limits"])
    if arguments.quick:
        limits = limits._replace(
            min_repeats=3, max_repeats=20, seconds=0.02, min_rounds=2, max_rounds=2
        )
    anchor = onnx_call(read(kit["anchor"]), arguments.threads)
    try:
        done, anchor_ms, unsteady = resume(partial, kit["kit"])
    except AnotherRun:
        print(
            f"{partial} holds an unfinished run of another kit, or with other --threads or --quick:"
            " repeat that to go on with it, or remove the file, or choose another --out",
            file=sys.stderr,
        )
        return 2
    if done and moved(anchor, anchor_ms, limits):
        print(
            "the board runs at another speed than in the run before: starting again",
            file=sys.stderr,
        )
        done, anchor_ms, unsteady = {}, [], {}
    if done:
        print(
            f"going on: {len(done)} of {len(names)} models have been measured before",
            file=sys.stderr,
        )

    made = dict(
        machine_state(),
        runtime="onnxruntime",
        runtime_version=onnxruntime.__version__,
        numpy=numpy.__version__,
        threads=arguments.threads,
        batch=1,
        limits=limits._asdict(),
        kit=kit["kit"],
    )
    begin = time.time()

    def progress(rounds: dict[str, list[Timing]], anchors: list[float]) -> None:
        kept = {
            name: [timing._asdict() for timing in timings]
            for name, timings in rounds.items()
            if timings
        }
        write(
            partial,
            {
                "kit": kit["kit"],
                "rounds": kept,
                "anchor_ms": anchor_ms + anchors,
                "drifted": [],
                "unsteady": unsteady,
            },
        )
        share = share_done(rounds, limits)
        bar = "#" * int(40 * share)
        print(
            f"\r[{bar:40}] {100 * share:3.0f} %  {time.time() - begin:4.0f} s  anchor"
            f" {anchors[-1]:.3f} ms ",
            end="",
            file=sys.stderr,
            flush=True,
        )

    session = time_all(
        names,
        lambda name: onnx_call(read(models[name]), arguments.threads),
        anchor,
        limits,
        done=done,
        unsteady=unsteady,
        progress=progress,
    )
    made["seconds"] = round(time.time() - begin, 1)
    write(
        arguments.out, result(kit, session._replace(anchor_ms=anchor_ms + session.anchor_ms), made)
    )
    print(f"\nwrote {arguments.out}", file=sys.stderr)
    if session.drifted:
        with open(partial) as file:
            kept = json.load(file)
        typical = sorted(kept["anchor_ms"])[len(kept["anchor_ms"]) // 2]
        write(partial, dict(kept, drifted=session.drifted, anchor_ms=[typical]))
        print(
            f"{len(session.drifted)} blocks were measured while the board changed speed"
            " (throttling, other programs); cool it, fix its clock and run this again: only those"
            " are measured once more",
            file=sys.stderr,
        )
    else:
        os.remove(partial)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from what was measured so far", file=sys.stderr)
        sys.exit(130)
