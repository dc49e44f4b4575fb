"""The witness of a run (see `labkit.course.exercises.witness`): it notes each line that it is told,
and answers with a random number.
"""

from __future__ import annotations

import random
import socketserver
import threading
from pathlib import Path

MAX_LINE_BYTES = 2**16
MAX_NOTES = 200_000  # for one set of inputs
MAX_CHARACTERS = 16 * 2**20  # of all notes of a run


class WitnessServer(socketserver.ThreadingUnixStreamServer):
    """Listens at a socket in the file system, in threads of this process. `notes` are what it was
    told, in that order, each a text and the number that was the answer.
    """

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Conversation)
        self.notes: list[list] = []
        self._characters = 0
        self._lock, self._random = threading.Lock(), random.SystemRandom()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def note(self, text: str) -> float:
        """Note a line; the answer to it."""
        with self._lock:
            number = self._random.random()
            self._characters += len(text)
            if len(self.notes) < MAX_NOTES and self._characters < MAX_CHARACTERS:
                self.notes.append([text, number])
        return number

    def handle_error(self, request: object, client_address: object) -> None:
        """A conversation that breaks off is nothing to report."""


class _Conversation(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline(MAX_LINE_BYTES):
            number = self.server.note(line.decode(errors="replace").strip())
            self.wfile.write(f"{number!r}\n".encode())
