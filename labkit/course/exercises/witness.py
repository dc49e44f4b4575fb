"""A witness of what happens while an answer runs, for what the returned values do not show: how
often a clock was read, what was measured, or whether one subnet was done before the next began.

`ask` tells the witness something and gets a number that nobody knows before. Where an answer is run
to be graded, the witness is another process, which the answer's process cannot change. The number
goes into what happens next, so what was not told to the witness cannot be computed either. In a
notebook the witness is a list, and every number is 1/2.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np

SOCKET = "witness"  # the file, in the folder of inputs and returned values
INPUTS = "inputs"  # told before the function is called on the next inputs


class Note(NamedTuple):
    """What the witness was told, and the number that it gave."""

    text: str
    number: float

    @property
    def told(self) -> list[float]:
        """The numbers that were told with a word."""
        return [float(word) for word in self.text.split()[1:]]


class _LocalWitness:
    """A list of notes in this process."""

    def __init__(self) -> None:
        self.notes: list[Note] = []

    def ask(self, text: str) -> float:
        self.notes.append(Note(text, 0.5))
        return 0.5


class _RemoteWitness:
    """The other end of a socket. It keeps the notes."""

    notes: list[Note] = []

    def __init__(self, path: Path) -> None:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(path))
        self._stream, self._lock = connection.makefile("rw"), Lock()

    def ask(self, text: str) -> float:
        with self._lock:  # an answer may have threads
            self._stream.write(f"{text}\n")
            self._stream.flush()
            return float(self._stream.readline())


_witness: _LocalWitness | _RemoteWitness = _LocalWitness()


def connect(path: Path) -> None:
    """Have the process behind the socket at `path` be the witness from now on."""
    global _witness
    _witness = _RemoteWitness(path)


def call_in() -> list[Note]:
    """Begin with new inputs. The list fills with what is noted here; a witness in another process
    keeps its notes.
    """
    if isinstance(_witness, _LocalWitness):
        _witness.notes = []
    else:
        _witness.ask(INPUTS)
    return _witness.notes


def ask(text: str) -> float:
    """Tell the witness one line, and get a number from 0 to 1."""
    return _witness.ask(text)


def tell(word: str, numbers: object) -> float:
    """Tell the witness a word and numbers, all their digits, and get a number from 0 to 1."""
    return ask(" ".join([word, *map(repr, np.ravel(numbers).tolist())]))


def unknown_part(number: float, size: float) -> float:
    """What a witness's number adds to a value that an answer asks for: at most half of `size`,
    either way; 0 in a notebook.
    """
    return size * (number - 0.5)


def parts(notes: Iterable[Note], text: str, count: int) -> list[list[Note]]:
    """What was told after each of `count` notes that say `text`, up to the next of them; nothing
    where there are not so many of them.
    """
    begun: list[list[Note]] = []
    for note in notes:
        if note.text == text:
            begun.append([])
        elif begun:
            begun[-1].append(note)
    return begun if len(begun) == count else [[] for _ in range(count)]


def as_notes(told: object, count: int) -> list[list[Note]]:
    """What a witness in another process noted, for each of `count` inputs; no notes for inputs of
    which it was told nothing.
    """
    notes = [Note(text, number) for text, number in told] if isinstance(told, list) else []
    return parts(notes, INPUTS, count)
