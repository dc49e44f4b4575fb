"""Measuring on this machine: block models and whole subnets, in ONNX Runtime or in PyTorch eager.

Batch 1 and one thread unless told otherwise, random weights: the time of these operators does not
depend on the values that go through them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Protocol

import numpy as np

from labkit.latency.measured.blocks import TimedBlock, elastic_block, space_digest, timed_blocks
from labkit.latency.measured.latency_file import SCHEMA
from labkit.runtime.timing import (
    DEFAULT,
    Call,
    Session,
    Timing,
    TimingLimits,
    machine_state,
    onnx_call,
    share_done,
    time_all,
)
from labkit.space import Arch, SearchSpace
from labkit.storage.errors import MissingPackage
from labkit.tables.costs import block_sides

CALIBRATION_SUBNETS = 20
MANY_BLOCKS = 200
MISSING = (
    "onnxruntime is not installed: pip install -e '.[deploy]' in the checkout (or pip install onnx "
    "onnxruntime), or measure with runtime 'torch'"
)


class Runtime(Protocol):
    """Something that can run the blocks and the subnets of a space: `block` and `subnet` return one-call
    functions.
    """

    name: str
    version: str
    threads: int
    batch: int

    def block(self, space: SearchSpace, block: TimedBlock) -> Call: ...

    def subnet(self, space: SearchSpace, arch: Arch) -> Call: ...


class OnnxRuntime:
    """ONNX Runtime on the CPU, on graphs with batch norm folded: what is deployed."""

    name = "onnxruntime"

    def __init__(self, threads: int = 1, batch: int = 1) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingPackage(MISSING) from error
        self.version, self.threads, self.batch = onnxruntime.__version__, threads, batch

    def block(self, space: SearchSpace, block: TimedBlock) -> Call:
        return onnx_call(timed_block_model(space, block, self.batch), self.threads)

    def subnet(self, space: SearchSpace, arch: Arch) -> Call:
        from labkit.runtime.onnx_graph import network_model

        return onnx_call(
            network_model(space, arch, batch=self.batch).SerializeToString(), self.threads
        )


class TorchEager:
    """PyTorch eager on the CPU, batch norm as a layer of its own. For where ONNX Runtime is not
    installed.
    """

    name = "torch"

    def __init__(self, threads: int = 1, batch: int = 1) -> None:
        import torch

        self.version, self.threads, self.batch = torch.__version__, threads, batch

    def block(self, space: SearchSpace, block: TimedBlock) -> Call:
        from torch import nn

        from labkit.supernet.subnet import InvertedResidual, Subnet

        if block.kind == "block":
            module = InvertedResidual(block.shape, block.kernel, block.expand, block.act, block.se)
            return self._call(module, (block.shape.in_channels, block.side, block.side))
        whole = Subnet(space, space.smallest())
        if block.kind == "stem":
            return self._call(
                nn.Sequential(whole.stem, whole.first), (space.in_channels, block.side, block.side)
            )
        head = nn.Sequential(whole.final, whole.pool, whole.feature, nn.Flatten(), whole.classifier)
        return self._call(head, (space.stages[-1].width, block.side, block.side))

    def subnet(self, space: SearchSpace, arch: Arch) -> Call:
        from labkit.supernet.subnet import Subnet

        return self._call(
            Subnet(space, arch), (space.in_channels, arch.resolution, arch.resolution)
        )

    def _call(self, module, shape: tuple[int, ...]) -> Call:
        import torch

        module.eval()
        image = torch.randn((self.batch, *shape), generator=torch.Generator().manual_seed(0))

        def call() -> None:
            with torch.inference_mode():
                module(image)

        torch.set_num_threads(self.threads)
        return call


RUNTIMES = {"onnxruntime": OnnxRuntime, "torch": TorchEager}


def default_runtime() -> str:
    """Name of the runtime that measures this machine unless another is asked for."""
    return "onnxruntime" if all(map(find_spec, ("onnx", "onnxruntime"))) else "torch"


def get_runtime(name: str | None = None, threads: int = 1, batch: int = 1) -> Runtime:
    """The runtime `name`; None takes ONNX Runtime, or PyTorch eager where it or onnx is not
    installed.

    Raises ValueError for an unknown name, MissingPackage (with the command that installs it) for
    one that is not installed.
    """
    name = default_runtime() if name is None else name
    if name not in RUNTIMES:
        raise ValueError(f"unknown runtime {name!r}, known: {', '.join(RUNTIMES)}")
    return RUNTIMES[name](threads, batch)


def timed_block_model(space: SearchSpace, block: TimedBlock, batch: int = 1) -> bytes:
    """The ONNX model of one block."""
    from labkit.runtime.onnx_graph import block_model, head_model, stem_model

    if block.kind == "stem":
        model = stem_model(space, block.side, batch=batch)
    elif block.kind == "head":
        model = head_model(space, block.side, batch=batch)
    else:
        model = block_model(
            block.shape, block.kernel, block.expand, block.side, block.act, block.se, batch=batch
        )
    return model.SerializeToString()


def anchor_block(space: SearchSpace) -> TimedBlock:
    """The block that is timed again and again: a block of the middle stage, at the largest
    resolution.
    """
    middle = len(space.blocks) // 2
    shape, side = space.blocks[middle], block_sides(space, space.resolutions[-1])[middle]
    stage = space.stages[shape.stage]
    return elastic_block(space, shape, stage.kernels[-1], stage.expands[-1], side)


def calibration_genes(
    space: SearchSpace, count: int = CALIBRATION_SUBNETS, seed: int = 0
) -> np.ndarray:
    """(count, G) random archs for calibration, the smallest and the largest among them."""
    ends = space.encode([space.smallest(), space.largest()])
    return np.concatenate([ends, space.sample(np.random.default_rng(seed), count - 2)])


def limits_for(space: SearchSpace) -> TimingLimits:
    """The harness's defaults, with fewer rounds where there are hundreds of blocks to time in
    minutes.
    """
    return (
        DEFAULT
        if len(timed_blocks(space)) <= MANY_BLOCKS
        else DEFAULT._replace(min_rounds=3, max_rounds=3, seconds=0.06)
    )


def measure(
    space: SearchSpace,
    runtime: Runtime | None = None,
    *,
    limits: TimingLimits | None = None,
    subnets: int = CALIBRATION_SUBNETS,
    progress: Callable[[float], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict:
    """Time every block of `space` and `subnets` whole subnets: the content of a latency file.

    `limits` are those of `limits_for(space)` unless given; `progress(share)` is called again and
    again, with the share that is done. `labkit.latency.measured.lookup_table` makes a table of what
    is returned.
    """
    runtime = get_runtime() if runtime is None else runtime
    limits = limits_for(space) if limits is None else limits
    todo = timed_blocks(space)
    archs = {
        f"subnet-{i}": arch
        for i, arch in enumerate(space.decode(calibration_genes(space, subnets)))
    }

    def prepare(name: str) -> Call:
        return (
            runtime.subnet(space, archs[name])
            if name in archs
            else runtime.block(space, todo[name])
        )

    def report(rounds: dict[str, list[Timing]], _: list[float]) -> None:
        if progress:
            progress(share_done(rounds, limits))

    state, start = machine_state(), time.time()
    session = time_all(
        [*todo, *archs],
        prepare,
        runtime.block(space, anchor_block(space)),
        limits,
        clock=clock,
        progress=report,
    )
    made = {
        **state,
        "runtime": runtime.name,
        "runtime_version": runtime.version,
        "threads": runtime.threads,
        "batch": runtime.batch,
        "limits": limits._asdict(),
        "seconds": round(time.time() - start, 1),
    }
    return latency_file(space, session, archs, made)


def latency_file(space: SearchSpace, session: Session, archs: dict[str, Arch], made: dict) -> dict:
    """What a latency file holds, on this machine and from a board alike."""
    return {
        "schema": SCHEMA,
        "what": "latency",
        "space": space.name,
        "space_sha256": space_digest(space),
        "made": made,
        "anchor_ms": session.anchor_ms,
        "drifted": session.drifted,
        "pieces": {name: t._asdict() for name, t in session.timings.items() if name not in archs},
        "subnets": [
            {"arch": arch.to_json(), **session.timings[name]._asdict()}
            for name, arch in archs.items()
        ],
    }


def measure_archs(
    space: SearchSpace,
    archs: list[Arch],
    runtime: Runtime | None = None,
    *,
    limits: TimingLimits = DEFAULT,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Timing]:
    """Time whole subnets end to end, in rounds as everything else."""
    runtime = get_runtime() if runtime is None else runtime
    named = {str(i): arch for i, arch in enumerate(archs)}
    session = time_all(
        list(named),
        lambda name: runtime.subnet(space, named[name]),
        runtime.block(space, anchor_block(space)),
        limits,
        clock=clock,
    )
    return list(session.timings.values())
