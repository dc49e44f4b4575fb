"""What nbval leaves out, as a small pytest plugin: limits cell by cell, a kernel's death, replies,
failures.

nbval executes the cells and compares outputs. With this plugin each cell gets a limit of its own,
after which its kernel is killed; a dead kernel is noticed at once; a cell whose reply says `error`
fails, even if it hid its traceback; a cell marked to raise fails if it does not; and what pytest
calls an unexpected pass after a failure counts as failed. Output beyond a limit is dropped while it
arrives.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty

import nbval.plugin
import pytest
from nbval.kernel import RunningKernel

from labkit.course.execution.safe_reading import read_regular
from labkit.course.execution.witness_server import WitnessServer

POLL_S = 0.1
MAX_RETURNED_BYTES = 24 * 2**20  # for one set of inputs
MAX_OUTPUT = 2**20  # characters of one cell; what comes after them is dropped
ESSENTIAL_MESSAGES = ("status", "error", "execute_input")


class KernelDied(Exception):
    """The kernel ended while a cell ran."""


class CellTimeout(Exception):
    """A cell ran longer than its limit."""


class WatchedKernel(RunningKernel):
    """nbval's kernel, watched while it works."""

    deadline = float("inf")  # of the cell that runs, on the monotonic clock
    reply: str | None = None  # to the cell that runs: the status, "ok" or "error"
    _messages: deque = deque()

    def await_reply(self, msg_id: str, timeout: float | None = None) -> None:
        self._messages, self._size = deque(), 0
        end = min(self.deadline, time.monotonic() + (timeout or float("inf")))
        while True:
            self._drain()
            try:
                message = self.kc.get_shell_msg(timeout=POLL_S)
            except Empty:
                if not self.is_alive():
                    raise KernelDied("the kernel died") from None
                if time.monotonic() > end:
                    self.km.shutdown_kernel(now=True)
                    raise CellTimeout("out of time") from None
                continue
            if message["parent_header"].get("msg_id") == msg_id:
                self.reply = message["content"]["status"]
                return

    def get_message(self, stream: str, timeout: float | None = None) -> dict:
        if stream == "iopub":
            if self._messages:
                return self._messages.popleft()
            return self.kc.get_iopub_msg(timeout=timeout)
        return super().get_message(stream, timeout)

    def _drain(self) -> None:
        """Receive what was output until now, so that nothing piles up in between."""
        while True:
            try:
                message = self.kc.get_iopub_msg(timeout=0)
            except Empty:
                return
            if message["msg_type"] not in ESSENTIAL_MESSAGES:
                self._size += len(str(message["content"]))
                if self._size > MAX_OUTPUT:
                    continue
            self._messages.append(message)


class CellRules:
    """Runs each cell by the rules above. `limit_s(item)` is a cell's limit; `results` fills with
    one dict for each cell that ran.

    nbval's kernels are made by the class `kernel`; a `WatchedKernel` is started as nbval does.
    """

    def __init__(
        self, limit_s: Callable[[pytest.Item], float], kernel: type[WatchedKernel] = WatchedKernel
    ) -> None:
        self.limit_s, self.results, self.kernel_start_s = limit_s, [], {}
        nbval.plugin.RunningKernel = kernel

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item):
        kernel, limit = item.parent.kernel, self.limit_s(item)
        kernel.reply, kernel.deadline = None, time.monotonic() + limit
        item.config.option.nbval_cell_timeout = limit
        try:
            result = yield
        except (KernelDied, CellTimeout):
            item.parent.timed_out = True
            raise
        if kernel.reply == "error" and not item.options["check_exception"]:
            raise AssertionError("the cell raised, and hid what")
        if kernel.reply == "ok" and item.options["check_exception"]:
            raise AssertionError("the cell should raise, and did not")
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo):
        report = yield
        if hasattr(report, "wasxfail"):
            del report.wasxfail
            report.outcome = "failed"
        if report.when == "setup" and item.cell_num == 0:
            self.kernel_start_s[item.path.stem] = report.duration
        if report.when == "call" or report.failed:
            self.results.append(
                {
                    "notebook": item.path.stem,
                    "cell": item.cell_num,
                    "role": item.cell.metadata.get("labkit"),
                    "inputs": item.cell.metadata.get("inputs"),
                    "ok": report.passed,
                    "seconds": report.duration,
                    "how": _how(call.excinfo),
                    "error": _last_error(item.test_outputs),
                }
            )
        return report


class Exchange:
    """Hands inputs to a kernel just before the cell that needs them, and reads what it returned
    right after.

    So what an answer returned for its first inputs is out of its reach before it can see the next.
    Each of `inputs` is a text, by name; `returned` fills with texts by the same names, and
    `witnessed` with what the witness was told meanwhile.
    """

    def __init__(
        self, inputs: Mapping[str, str], folder: Path, witness: WitnessServer | None
    ) -> None:
        self.inputs, self.folder, self.witness = inputs, folder, witness
        self.returned, self.witnessed = {}, {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """All cells run alike: a student's comments for nbval are about other runs."""
        for item in items:
            item.options.clear()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item):
        name = item.cell.metadata.get("inputs")
        if name is None:
            return (yield)
        path = self.folder / f"{name}.json"
        with suppress(FileNotFoundError):
            path.unlink()
        with open(path, "x", encoding="utf-8") as file:  # a new one, whatever an answer put there
            file.write(self.inputs[name])
        if self.witness:
            self.witness.notes = []
        try:
            return (yield)
        finally:
            if self.witness:
                self.witnessed[name] = list(self.witness.notes)
            with suppress(OSError, ValueError):
                content = read_regular(self.folder / f"{name}.returned.json", MAX_RETURNED_BYTES)
                self.returned[name] = content.decode()


def _how(excinfo: pytest.ExceptionInfo | None) -> str:
    kinds = {KernelDied: "died", CellTimeout: "timeout"}
    return "" if excinfo is None else kinds.get(excinfo.type, "raised")


def _last_error(outputs: list | None) -> str | None:
    """`NameError: name 'x' is not defined`, of a cell that showed one."""
    errors = [out for out in outputs or () if out.output_type == "error"]
    return f"{errors[-1].ename}: {errors[-1].evalue}"[:500] if errors else None
