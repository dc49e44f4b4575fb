"""What runs the blocks and subnets that are timed: ONNX Runtime, or PyTorch eager.

Weights are random: the time of these operators does not depend on the values in them.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Protocol

from labkit.latency.measured.blocks import TimedBlock
from labkit.runtime.onnx_session import require_onnxruntime
from labkit.runtime.timing import Call, onnx_call
from labkit.space import Arch, SearchSpace


class Runtime(Protocol):
    """Something that runs blocks and subnets; `block` and `subnet` return a `Call`."""

    name: str
    version: str
    threads: int

    def block(self, space: SearchSpace, block: TimedBlock) -> Call: ...

    def subnet(self, space: SearchSpace, arch: Arch) -> Call: ...


class OnnxRuntime:
    """ONNX Runtime on the CPU, on graphs with batch norm folded: what is deployed."""

    name = "onnxruntime"

    def __init__(self, threads: int = 1) -> None:
        self.version = require_onnxruntime().__version__
        self.threads = threads

    def block(self, space: SearchSpace, block: TimedBlock) -> Call:
        return onnx_call(block_file(space, block), self.threads)

    def subnet(self, space: SearchSpace, arch: Arch) -> Call:
        return onnx_call(subnet_file(space, arch), self.threads)


def block_file(space: SearchSpace, block: TimedBlock) -> bytes:
    """The ONNX model of one timed block, for one image."""
    from labkit.runtime.onnx_graph import model_of

    return model_of(block.operators(space)).SerializeToString()


def subnet_file(space: SearchSpace, arch: Arch) -> bytes:
    """The ONNX model of a whole subnet, for one image."""
    from labkit.runtime.onnx_graph import network_model

    return network_model(space, arch).SerializeToString()


class TorchEager:
    """PyTorch eager on the CPU, batch norm as a layer of its own.

    It measures where ONNX Runtime is not installed.
    """

    name = "torch"

    def __init__(self, threads: int = 1) -> None:
        import torch

        self.version, self.threads = torch.__version__, threads

    def block(self, space: SearchSpace, block: TimedBlock) -> Call:
        from labkit.supernet.subnet import torch_modules

        operators = block.operators(space)
        return self._call(torch_modules(operators), operators[0].in_channels, operators[0].side)

    def subnet(self, space: SearchSpace, arch: Arch) -> Call:
        from labkit.supernet.subnet import Subnet

        return self._call(Subnet(space, arch), space.in_channels, arch.resolution)

    def _call(self, module, channels: int, side: int) -> Call:
        import torch

        module.eval()
        generator = torch.Generator().manual_seed(0)
        images = torch.randn((1, channels, side, side), generator=generator)

        def call() -> None:
            with torch.inference_mode():
                module(images)

        torch.set_num_threads(self.threads)
        return call


RUNTIMES = {"onnxruntime": OnnxRuntime, "torch": TorchEager}


def default_runtime() -> str:
    """Name of the runtime that measures this machine unless another is named."""
    return "onnxruntime" if all(map(find_spec, ("onnx", "onnxruntime"))) else "torch"


def get_runtime(name: str | None = None, threads: int = 1) -> Runtime:
    """The runtime `name`; None takes ONNX Runtime, or PyTorch eager where it or onnx is missing.

    Raises ValueError for an unknown name, MissingPackage (with the command that installs it) for
    one that is not installed.
    """
    name = default_runtime() if name is None else name
    if name not in RUNTIMES:
        raise ValueError(f"unknown runtime {name!r}, known: {', '.join(RUNTIMES)}")
    return RUNTIMES[name](threads)
