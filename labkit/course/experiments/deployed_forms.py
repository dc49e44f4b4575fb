"""A subnet in the forms in which it can be deployed: folded, rounded, in ONNX Runtime, as int8.

Without ONNX Runtime there is the PyTorch path: the subnet as it was trained, and with its batch
norms folded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from copy import deepcopy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.ops import Conv2dNormActivation

from labkit.runtime.timing import Call, TimingLimits, onnx_call, time_all
from labkit.space import SearchSpace
from labkit.supernet.subnet import Subnet

BATCH = 100
# A notebook has a minute for everything.
THREE_ROUNDS = TimingLimits(min_rounds=3, max_rounds=3, seconds=0.05, redo=0)


Fold = Callable[[nn.Conv2d, nn.BatchNorm2d], tuple[Tensor, Tensor]]  # -> weight, bias (C_out,)


def fold_batch_norms(subnet: nn.Module, fold: Fold | None = None) -> nn.Module:
    """A copy of a network in eval mode that computes the same without batch norms; weights and
    biases are those of `fold`, if there is one.
    """
    copy = deepcopy(subnet).eval()
    for module in copy.modules():
        if isinstance(module, Conv2dNormActivation):
            folded = fuse_conv_bn_eval(module[0], module[1])
            if fold is not None:
                folded.weight, folded.bias = map(nn.Parameter, fold(module[0], module[1]))
            module[0], module[1] = folded, nn.Identity()
    return copy.requires_grad_(False)


@torch.no_grad()
def round_weights(network: nn.Module, bits: int, per_channel: bool) -> nn.Module:
    """A copy whose convolution and linear weights are integers times a scale.

    The integers are at most 2^(bits-1) - 1 in size. Each output channel has its scale, or all
    channels of a layer share one: symmetric quantization as in Nagel et al., arXiv 2106.08295,
    section 2.2. Biases stay as they are.
    """
    copy = deepcopy(network)
    largest = 2 ** (bits - 1) - 1
    for module in copy.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            scale = channel_ranges(module) / largest
            if not per_channel:
                scale = scale.max().expand_as(scale)
            scale, zeros = scale.clamp(min=1e-12), torch.zeros_like(scale)
            weight = torch.fake_quantize_per_channel_affine(
                module.weight, scale, zeros, 0, -largest, largest
            )
            module.weight.copy_(weight)
    return copy


def channel_ranges(layer: nn.Module) -> Tensor:
    """(C_out,) the largest absolute weight of each output channel of a layer."""
    return layer.weight.detach().abs().flatten(1).amax(1)


@torch.inference_mode()
def entering_last_layer(
    network: nn.Module, *images: Tensor
) -> tuple[nn.Linear, *tuple[np.ndarray, ...]]:
    """The last linear layer of a network, and what enters it: (N, K) for each batch of images."""
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    entering: list[np.ndarray] = []
    hook = last.register_forward_pre_hook(lambda _, inputs: entering.append(inputs[0].numpy()))
    for batch in images:
        network(batch)
    hook.remove()
    return last, *entering


@torch.inference_mode()
def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Top-1 accuracy in percent on images (N, C, r, r)."""
    return _percent(torch.cat([network(batch) for batch in images.split(BATCH)]), labels)


def _percent(logits: Tensor, labels: Tensor) -> float:
    return 100 * (logits.argmax(1) == labels).double().mean().item()


# ---- measured on this machine --------------------------------------------------------------------


class MeasuredForm(NamedTuple):
    """One form of a subnet: latency of one image with one thread, accuracy in percent."""

    form: str
    runtime: str
    latency_ms: float
    accuracy: float
    kilobytes: float  # of weights, or of the model file


class _Form(NamedTuple):
    name: str
    runtime: str
    call: Call
    accuracy: Callable[[], float]
    kilobytes: float


def measure_forms(
    space: SearchSpace,
    subnet: Subnet,
    calibration: Tensor,
    images: Tensor,
    labels: Tensor,
    limits: TimingLimits = THREE_ROUNDS,
) -> list[MeasuredForm]:
    """Latency and accuracy of two forms of `subnet` on this machine.

    They are fp32 and int8, or without ONNX Runtime with and without its batch norms. `calibration`
    and `images` are (N, C, r, r) at the subnet's resolution.
    """
    try:
        forms = _onnx_forms(space, subnet, calibration, images, labels)
    except ImportError:  # of onnx or of onnxruntime
        forms = _torch_forms(subnet, images, labels)
    calls = {form.name: form.call for form in forms}
    with redirect_stderr(sys.stdout):  # a notebook gives it the background of an error
        timings = time_all(list(calls), calls.__getitem__, forms[0].call, limits).timings
    return [
        MeasuredForm(
            form.name, form.runtime, timings[form.name].median_ms, form.accuracy(), form.kilobytes
        )
        for form in forms
    ]


def _onnx_forms(
    space: SearchSpace, subnet: Subnet, calibration: Tensor, images: Tensor, labels: Tensor
) -> Sequence[_Form]:
    from labkit.deploy.onnx import export as onnx_export
    from labkit.deploy.onnx.quantization import quantize
    from labkit.latency.measured.runtimes import OnnxRuntime

    runtime, shape = OnnxRuntime(), (1, *images.shape[1:])
    exported = onnx_export.export(space, subnet, images[:BATCH]).model
    return [
        _Form(
            name,
            f"{runtime.name} {runtime.version}",
            onnx_call(model.SerializeToString(), 1, shape),
            lambda model=model: onnx_export.accuracy(model, images, labels),
            model.ByteSize() / 1000,
        )
        for name, model in (("fp32", exported), ("int8", quantize(exported, calibration)))
    ]


def _torch_forms(subnet: Subnet, images: Tensor, labels: Tensor) -> Sequence[_Form]:
    def call(network: nn.Module) -> Call:
        def run() -> None:
            with torch.inference_mode():
                network(images[:1])

        return run

    networks = {"fp32": subnet, "fp32, batch norm folded": fold_batch_norms(subnet)}
    return [
        _Form(
            name,
            f"PyTorch {torch.__version__}",
            call(network),
            lambda network=network: accuracy(network, images, labels),
            sum(p.numel() * p.element_size() for p in network.parameters()) / 1000,
        )
        for name, network in networks.items()
    ]
