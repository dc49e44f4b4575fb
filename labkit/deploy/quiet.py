"""Converters and quantizers print their progress and advice; here it is kept off the terminal."""

from __future__ import annotations

import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import BinaryIO


@contextmanager
def quiet() -> Iterator[BinaryIO]:
    """What is printed inside, by Python and by native code, goes to the file that this yields.

    Warnings are ignored, and of the log only errors are shown.
    """
    root, streams = logging.getLogger(), (1, 2)
    level, copies = root.level, [os.dup(stream) for stream in streams]
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as output:
        try:
            root.setLevel(logging.ERROR)
            for stream in streams:
                os.dup2(output.fileno(), stream)
            with (
                io.TextIOWrapper(io.FileIO(os.dup(1), "w"), write_through=True) as text,
                redirect_stdout(text),
                redirect_stderr(text),
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("ignore")
                yield output
        finally:
            root.setLevel(level)
            sys.stdout.flush()
            sys.stderr.flush()
            for stream, original in zip(streams, copies):
                os.dup2(original, stream)
                os.close(original)
