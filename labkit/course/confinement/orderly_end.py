"""An orderly end: a grading that is told to end takes along what it started and what it wrote."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.queues import SimpleQueue

from labkit.course.confinement.limits import keep_to
from labkit.course.confinement.process_tree import die_with_parent
from labkit.course.execution.limited_child import limit_memory

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
WORKER_MEMORY_MIB = 4096  # for judging what came back; it may be large


@contextmanager
def ends_in_order() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the body as an exception does: what it opened is closed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    handled = [number for number in ENDING if signal.getsignal(number) == signal.SIG_DFL]
    handlers = {number: signal.signal(number, leave) for number in handled}  # others as by nohup
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def be_a_worker(shares: SimpleQueue) -> None:
    """Make this process one that ends with the grading, and judges within limits of memory. It and
    the runs that it asks for keep to the next share of processors, a list, in the queue: however
    many processes an answer starts, the answers that other workers run do not wait for them.
    """
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the grading ends it
    die_with_parent()
    limit_memory(WORKER_MEMORY_MIB)
    keep_to(shares.get())


def end_workers() -> None:
    """Kill the workers of this process, whatever they are at."""
    for worker in multiprocessing.active_children():
        worker.kill()
