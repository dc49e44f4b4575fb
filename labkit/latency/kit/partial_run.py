"""The files that a kit writes: latency.json at its end, and until then what it has measured so far.

An unfinished run lies in latency.json.partial and is continued. Whatever in that file was edited or
damaged is measured again, all else is kept. Copied into kits: it needs Python 3.8 and the standard
library.
"""

from __future__ import annotations

import json
import os
from typing import Iterable  # noqa: UP035  (for Python 3.8)

from labkit.latency.kit.crash_report import say
from labkit.runtime.timing import Timing, TimingRun

LONGEST_MS = 1e6
ROOM = 4096  # bytes that must be free for a start


class Unusable(Exception):
    """What stops the kit; the message says the way out."""


class KitFiles:
    """latency.json, or what --out says, and the unfinished run beside it."""

    def __init__(self, out: str, kit: str, options: str, quick: bool) -> None:
        """`kit` identifies the kit, `options` what else must be the same for a run to go on."""
        self.out, self.partial = out, out + ".partial"
        self.kit, self.name, self.quick = kit, f"{kit} {options}", quick

    def check(self) -> None:
        """Raise Unusable, now and not after minutes of measuring, where files of another kit are in
        the way.
        """
        partial = _json_of(self.partial)
        if isinstance(partial, dict) and partial.get("kit") != self.name:
            raise Unusable(
                f"{self.partial} holds an unfinished run of another kit or version of onnxruntime,"
                " or with other --threads or --quick: repeat that to go on with it, or remove the"
                " file, or choose another --out"
            )
        if not os.path.isfile(self.out):
            return
        result = _json_of(self.out)
        made = result.get("made") if isinstance(result, dict) else None
        made = made if isinstance(made, dict) else {}
        same = str(made.get("kit")).split(" ")[0] == self.kit
        if not same or (self.quick and made.get("mode") == "full"):
            what = "a full result of this kit" if same else "no result of this kit"
            raise Unusable(f"{self.out} holds {what}: move it, or choose another --out")

    def check_writable(self) -> None:
        """Raise Unusable where nothing can be written."""
        try:
            if os.path.isdir(self.out):
                raise IsADirectoryError("it is a folder")
            with open(self.partial + ".tmp", "wb") as file:  # as `write` does
                file.write(bytes(ROOM))
                file.flush()
                os.fsync(file.fileno())
            os.remove(self.partial + ".tmp")
        except OSError as error:
            reason = error.strerror or error
            raise Unusable(f"cannot write {self.out}: {reason}; say where with --out") from None

    def earlier_run(self, names: Iterable[str]) -> tuple[TimingRun, float]:
        """The unfinished run, without what drifted in it, and the seconds that it took so far.

        Empty without one. A file that is no JSON is put aside.
        """
        if not os.path.exists(self.partial):
            return TimingRun(), 0.0
        value = _json_of(self.partial)
        if not isinstance(value, dict):
            os.replace(self.partial, self.partial + ".damaged")
            say(f"{self.partial} is damaged: put aside as {self.partial}.damaged, starting again")
            return TimingRun(), 0.0
        run, damaged = sound_run(value, names)
        if damaged:
            say(f"{damaged} entries of {self.partial} are damaged: they are measured again")
        seconds = value.get("seconds")
        return run, seconds if _is_amount(seconds) else 0.0

    def save(self, run: TimingRun, seconds: float, drifted: Iterable[str] = ()) -> None:
        """Keep an unfinished run. Raises Unusable, and keeps the state before, on a full card."""
        value = dict(run.to_json(), kit=self.name, drifted=list(drifted), seconds=seconds)
        self._write(self.partial, value, "what was measured before is kept")

    def finish(self, value: dict) -> None:
        """Write the result. Raises Unusable, and keeps the unfinished run, on a full card."""
        self._write(self.out, value, f"everything that was measured is kept in {self.partial}")

    def _write(self, path: str, value: dict, safe: str) -> None:
        """In one step: whoever reads `path` sees the old file or the new one."""
        try:
            with open(path + ".tmp", "w") as file:
                json.dump(value, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            os.replace(path + ".tmp", path)
        except OSError as error:
            try:
                os.remove(path + ".tmp")
            except OSError:
                pass
            reason = error.strerror or error
            raise Unusable(
                f"\ncannot write {path}: {reason}; {safe}. Make room and run this again, it goes on"
                " from there"
            ) from None


def sound_run(value: dict, names: Iterable[str]) -> tuple[TimingRun, int]:
    """What of an unfinished run's JSON can be used, less what drifted; the number of entries that
    cannot.
    """
    rounds, unsteady, damaged = {}, {}, 0
    drifted = _of_kind(value, "drifted", list)
    entries, counts = _of_kind(value, "rounds", dict), _of_kind(value, "unsteady", dict)
    for name in names:
        timings = entries.get(name, [])
        sound = list(filter(_is_timing, timings)) if isinstance(timings, list) else []
        damaged += len(timings) - len(sound) if isinstance(timings, list) else 1
        if sound and name not in drifted:
            rounds[name] = [Timing(**timing) for timing in sound]
            count = counts.get(name, 0)
            unsteady[name] = count if isinstance(count, int) else 0
    anchors = _of_kind(value, "anchor_ms", list)
    anchor_ms = list(filter(_is_amount, anchors))
    cores = [core for core in _of_kind(value, "cores", list) if type(core) is int]
    return TimingRun(rounds, anchor_ms, unsteady, cores), damaged + len(anchors) - len(anchor_ms)


def _of_kind(value: dict, field: str, kind: type):
    """A field, or an empty one where it is missing or of another kind."""
    return value[field] if isinstance(value.get(field), kind) else kind()


def _is_amount(value: object) -> bool:
    return type(value) in (int, float) and 0 < value < LONGEST_MS


def _is_timing(value: object) -> bool:
    if not isinstance(value, dict) or set(value) != set(Timing._fields):
        return False
    median, low, high, spread, repeats = (value[field] for field in Timing._fields)
    return (
        all(map(_is_amount, (median, low, high, repeats)))
        and type(spread) in (int, float)
        and 0 <= spread < LONGEST_MS
        and low <= median <= high
    )


def _json_of(path: str) -> object:
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError, RecursionError):
        return None
