"""Where the time of a training step goes, beside what the machine could do.

    python benchmarks/step_profile.py [--space ofa-mbv3 fmnist cifar10] [--steps 3]
        [--device cpu] [--precision float32]

Every operator call of a step is named by its kind, and torch.profiler says how long each kind took.
A call cannot be quicker than its multiply-adds at the rate of a large matrix product, nor than its
bytes (what it reads and writes) at the rate at which as many bytes are copied: both rates are
measured here, that of copies for every size, because small maps lie in caches. The longer of the
two is the call's bound; a kind's bound is the sum over its calls. What a step takes besides, Python
and the dispatch of operators, is the difference to steps that are not profiled.

In the paper's space a step trains one random subnet on 16 images; in the others it is that of their
supernets, the sandwich with three archs between its ends, on 128 images. One thread on a CPU.
Figures mean something on a quiet machine only. The last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date

import numpy as np
import page
import torch
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from training_runs import one_thread, random_batch, take_gradients

from labkit.runtime.machine import machine
from labkit.space.presets import MOBILENET_V3
from labkit.storage.provenance import code_revision
from labkit.train import TrainConfig
from labkit.train.config import AUTOCAST
from labkit.train.train_state import TrainState

STEPS_OF_A_RUN = 1000
UPDATE, REST = "update of the weights", "other"
# Words in an operator's name, and the kind that it is of; the first that fits.
KINDS = {
    "batch_norm": "batch norm",
    "hardswish": "activation",
    "relu": "activation",
    "threshold": "activation",
    "hardsigmoid": "activation",
    "upsample": "resizing",
    "softmax": "loss",
    "nll_loss": "loss",
    "mean": "pooling",
    "pool": "pooling",
    "sum": "sums",
    "mm": "classifier",
    "mul": "scale and add",
    "add": "scale and add",
    "div": "scale and add",
    "copy": "copies",
    "clone": "copies",
    "flip": "copies",
    "zero": "copies",
    "slice_backward": "copies",
}
# They make another view of the same memory.
VIEWS = {"view", "_unsafe_view", "slice", "t", "transpose", "permute", "expand", "detach", "alias"}
VIEWS |= {"as_strided", "select", "unsqueeze", "squeeze", "reshape", "empty", "empty_like"}


class Roofline:
    """What this machine can do at most: multiply-adds and bytes a second."""

    SIZES = 2 ** np.arange(14, 29, 2)  # bytes read and written by a copy

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        def seconds(call: Callable[[], object]) -> float:
            """The least time of a call, over rounds that are long enough to be timed."""
            times, least = 1, math.inf
            for _ in range(12):
                synchronize(device)
                begin = time.perf_counter()
                for _ in range(times):
                    call()
                synchronize(device)
                elapsed = time.perf_counter() - begin
                least = min(least, elapsed / times)
                times = max(times, min(10_000, int(times * 0.01 / elapsed)))
            return least

        side = 1024 if device.type == "cpu" else 8192
        a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        self.macs_a_second = side**3 / seconds(lambda: torch.mm(a, b))
        self.bytes_a_second = np.zeros(len(self.SIZES))
        for i, size in enumerate(self.SIZES):
            source = torch.ones(int(size) // 8, device=device)
            target = torch.ones_like(source)
            self.bytes_a_second[i] = size / seconds(lambda s=source, t=target: t.copy_(s))

    def bound(self, macs: int, size: int) -> float:
        """The least seconds of a call that takes `macs` and reads and writes `size` bytes."""
        rate = np.interp(np.log(max(size, 1)), np.log(self.SIZES), self.bytes_a_second)
        return max(macs / self.macs_a_second, size / rate)


class Operators(TorchDispatchMode):
    """While it is entered, every operator call has its kind's name in the profile, and its
    multiply-adds, its bytes and its bound are added up.
    """

    def __init__(self, roofline: Roofline) -> None:
        super().__init__()
        self.roofline = roofline
        self.macs, self.bytes, self.bound = (defaultdict(float) for _ in range(3))
        self._only_kind: str | None = None

    @contextmanager
    def all_of(self, kind: str) -> Iterator[None]:
        """Whatever is called meanwhile is of this kind."""
        self._only_kind = kind
        yield
        self._only_kind = None

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in VIEWS:
            return func(*args, **(kwargs or {}))
        kind = self._only_kind or kind_of(name, args)
        with record_function(kind):
            result = func(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves((args, kwargs, result)) if isinstance(t, Tensor)]
        size = sum(t.numel() * t.element_size() for t in tensors)
        macs = macs_of(name, args, result)
        self.macs[kind] += macs
        self.bytes[kind] += size
        self.bound[kind] += self.roofline.bound(macs, size)
        return result


def kind_of(name: str, args: tuple) -> str:
    """What an operator does, and whether for the gradient."""
    if name in ("convolution", "convolution_backward"):
        backward = name == "convolution_backward"
        weight, groups = args[2] if backward else args[1], args[9] if backward else args[8]
        kind = "depthwise" if groups > 1 else "pointwise" if weight.shape[-1] == 1 else "dense"
        gradient = backward or torch._C._current_graph_task_id() != -1
        return f"{kind} convolution{', gradient' if gradient else ''}"
    kind = next((kind for word, kind in KINDS.items() if word in name), REST)
    gradient = torch._C._current_graph_task_id() != -1 and kind in ("batch norm", "activation")
    return f"{kind}, gradient" if gradient else kind


def macs_of(name: str, args: tuple, result: object) -> int:
    """Multiply-adds of a convolution, of its gradients or of a matrix product; 0 for others."""
    if name == "convolution":
        return result.numel() * args[1][0].numel()
    if name == "convolution_backward":
        gradients = sum(args[10][:2])  # of the input and of the weight, where they are asked for
        return gradients * args[0].numel() * args[2][0].numel()
    if name in ("mm", "addmm"):
        return result.numel() * args[-1].shape[0]
    return 0


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def config_of(space: str, precision: str) -> TrainConfig:
    if space == MOBILENET_V3.name:
        return TrainConfig(space=space, recipe="single-path", batch=16, precision=precision)
    return TrainConfig(space=space, random_archs=3, sampling="log-macs", precision=precision)


def profiled(space: str, roofline: Roofline, options: argparse.Namespace) -> dict:
    """The steps of one space, kind by kind; means over the steps."""
    device, config = torch.device(options.device), config_of(space, options.precision)
    state = TrainState(config, device, STEPS_OF_A_RUN)
    count = options.steps
    steps = [round((i + 0.5) / count * STEPS_OF_A_RUN) for i in range(count)]
    images, labels = random_batch(state)

    def step_seconds(step: int) -> float:
        synchronize(device)
        begin = time.perf_counter()
        take_gradients(state, images, labels, step, STEPS_OF_A_RUN)
        state.update(1e-3, config.ema_decay)
        synchronize(device)
        return time.perf_counter() - begin

    for step in steps:
        step_seconds(step)  # warms up
    seconds = [statistics.median(step_seconds(step) for _ in range(3)) for step in steps]

    operators = Operators(roofline)
    activities = [ProfilerActivity.CPU]
    activities += [ProfilerActivity.CUDA] * (device.type == "cuda")
    with profile(activities=activities) as profiler, operators:
        for step in steps:
            take_gradients(state, images, labels, step, STEPS_OF_A_RUN)
            with operators.all_of(UPDATE):
                state.update(1e-3, config.ema_decay)
        synchronize(device)
    times = {
        event.key: event
        for event in profiler.key_averages()
        if event.key in operators.bytes
        and event.device_type == DeviceType.CPU  # where it is called
    }
    clock = "device_time_total" if device.type == "cuda" else "cpu_time_total"
    rows = [
        {
            "kind": kind,
            "ms": getattr(times[kind], clock) / 1e3 / count,
            "calls": times[kind].count / count,
            "macs": operators.macs[kind] / count,
            "bytes": operators.bytes[kind] / count,
            "bound_ms": 1e3 * operators.bound[kind] / count,
        }
        for kind in operators.bytes
    ]
    return {
        "space": space,
        "batch": config.batch,
        "recipe": config.recipe,
        "step_ms": 1e3 * statistics.mean(seconds),
        "rows": sorted(rows, key=lambda row: -row["ms"]),
    }


def text(report: dict) -> str:
    rates = report["bytes_a_second"].values()
    paragraphs = [
        f"**Where a step's time goes** (`step_profile.py`; {report['precision']} on"
        f" {report['device']}; profiled kind by kind. Bound: each call takes at least its"
        " multiply-adds at the rate of a large matrix product,"
        f" {report['macs_a_second'] / 1e9:.0f} GMAC/s, and at least its bytes at the rate at which"
        f" as many are copied, {min(rates) / 1e9:.0f} to {max(rates) / 1e9:.0f} GB/s by size. Kinds"
        " under a hundredth of the time are summed up.)"
    ]
    head = ("operators", "calls", "ms", "share", "GMAC", "GB", "bound, ms", "times its bound")
    for profile_of_space in report["spaces"]:
        rows, total = profile_of_space["rows"], sum(row["ms"] for row in profile_of_space["rows"])
        shown = [row for row in rows if row["ms"] >= total / 100]
        rest = [row for row in rows if row["ms"] < total / 100]
        summed = {key: sum(row[key] for row in rest) for key in rows[0] if key != "kind"}
        whole = {key: sum(row[key] for row in rows) for key in summed}
        lines = [*shown, *([{"kind": "all others", **summed}] if rest else [])]
        cells = [
            (
                row["kind"],
                f"{row['calls']:.0f}",
                f"{row['ms']:.1f}",
                f"{100 * row['ms'] / total:.0f} %",
                f"{row['macs'] / 1e9:.2f}",
                f"{row['bytes'] / 1e9:.2f}",
                f"{row['bound_ms']:.1f}",
                f"{row['ms'] / row['bound_ms']:.1f}" if row["bound_ms"] else "",
            )
            for row in [*lines, {"kind": "all operators", **whole}]
        ]
        paragraphs.append(
            f"`{profile_of_space['space']}`, {profile_of_space['recipe']}, batch"
            f" {profile_of_space['batch']}: {profile_of_space['step_ms']:.0f} ms a step when it is"
            f" not profiled.\n\n{page.table(head, cells)}"
        )
    return "\n\n".join(paragraphs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", nargs="+", default=["ofa-mbv3", "fmnist", "cifar10"])
    parser.add_argument("--steps", type=int, default=3, help="of each space, over a whole run")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", default="float32")
    options = parser.parse_args()
    one_thread()
    device = torch.device(options.device)
    roofline = Roofline(device, AUTOCAST.get(options.precision, torch.float32))
    report = {
        "benchmark": "step_profile",
        "date": date.today().isoformat(),
        "revision": code_revision(),
        "machine": machine(device),
        "device": options.device,
        "precision": options.precision,
        "macs_a_second": roofline.macs_a_second,
        "bytes_a_second": dict(zip(map(str, roofline.SIZES), roofline.bytes_a_second.tolist())),
        "spaces": [profiled(space, roofline, options) for space in options.space],
    }
    print(text(report))
    print(json.dumps(report))


if __name__ == "__main__":
    main()
