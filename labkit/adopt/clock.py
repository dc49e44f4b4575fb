"""What each part of a long job takes, in a file that survives a kill."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

from labkit.storage.atomic_write import write_json
from labkit.storage.errors import LabError
from labkit.storage.json_fields import Fields, read_json

SCHEMA = "labkit-clock-1"
BEAT = 5.0  # seconds between two writes: as many are lost at most where a process is killed


class Clock:
    """Seconds that each part has taken, earlier runs that were stopped included.

    The part that goes on ends where the next one begins; the first began at `since`, in seconds of
    time.monotonic, or now. As a context, the clock writes its file every few seconds and at the
    end. Raises LabError for a file that is none of a clock.
    """

    def __init__(self, path: Path, part: str, since: float | None = None) -> None:
        self.path, self._part = path, part
        self._mark = time.monotonic() if since is None else since
        self._seconds: dict[str, float] = {}
        self._stopped = threading.Event()
        if path.is_file():
            advice = f"remove {path.parent} to begin anew"
            fields = Fields(read_json(path, LabError, advice), path, LabError, advice=advice)
            fields.require_schema(SCHEMA)
            parts = fields.object("seconds")
            self._seconds = {name: parts.amount(name) for name in parts.value}

    @property
    def seconds(self) -> dict[str, float]:
        """Of each part, up to now."""
        running = self._seconds.get(self._part, 0.0) + time.monotonic() - self._mark
        return {**self._seconds, self._part: running}

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    def begin(self, part: str) -> None:
        self._seconds, self._mark = self.seconds, time.monotonic()
        self._part = part

    def __enter__(self) -> Clock:
        self._write()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, *error: object) -> None:
        self._stopped.set()
        self._thread.join()
        with contextlib.suppress(*[OSError] if kind else []):  # what went wrong first is said
            self._write()

    def _write(self) -> None:
        write_json(self.path, {"schema": SCHEMA, "seconds": self.seconds})

    def _beat(self) -> None:
        while not self._stopped.wait(BEAT):
            with contextlib.suppress(OSError):  # what the work itself writes says that it cannot
                self._write()
