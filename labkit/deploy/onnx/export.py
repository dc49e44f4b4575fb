"""A subnet as an ONNX model: batch norm folded, verified against torch.

An export counts only once it computes the same as torch: `export` raises when it does not, and
writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from labkit.deploy.deployment import (
    LOGITS_BATCH,
    MAX_ERROR,
    check_agreement,
    require_eval_mode,
    top1_percent,
)
from labkit.runtime.onnx_graph import network_model, onnx
from labkit.runtime.onnx_session import open_session
from labkit.space import SearchSpace
from labkit.storage.atomic_write import write_atomic
from labkit.supernet.subnet import Subnet


@dataclass(frozen=True)
class Verified:
    """An ONNX model and how far its logits are from torch's, over `images` images."""

    model: onnx.ModelProto
    max_difference: float
    images: int


@torch.no_grad()
def folded_weights(subnet: Subnet) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Weight and bias of every convolution and linear layer, by its name.

    Each batch norm is folded into its convolution: with scale g, offset b, mean m and variance v, a
    convolution of weights W becomes one of W * g / sqrt(v + eps) and
    bias b - m * g / sqrt(v + eps), per output channel.
    """
    folded = {}
    for name, module in subnet.named_modules():
        if isinstance(module, Conv2dNormActivation):
            conv, norm = module[0], module[1]
            scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
            weight = conv.weight.double() * scale[:, None, None, None]
            folded[name] = (weight, norm.bias.double() - norm.running_mean.double() * scale)
        elif isinstance(module, (nn.Conv2d, nn.Linear)) and name.rpartition(".")[0] not in folded:
            bias = torch.zeros(len(module.weight)) if module.bias is None else module.bias
            folded[name] = (module.weight.double(), bias.double())
    return {
        name: (weight.float().numpy(), bias.float().numpy())
        for name, (weight, bias) in folded.items()
    }


def onnx_model(space: SearchSpace, subnet: Subnet) -> onnx.ModelProto:
    """The subnet as an ONNX model: `input` (N, C, r, r) -> `output` (N, classes). Not verified."""
    folded = folded_weights(subnet)
    model = network_model(space, subnet.arch, lambda name, shape: folded[name], batch="N")
    onnx.checker.check_model(model, full_check=True)
    return model


def export(
    space: SearchSpace, subnet: Subnet, images: Tensor, path: Path | None = None
) -> Verified:
    """Build the ONNX model of `subnet`, verify it on `images` (N, C, r, r) and write it to `path`.

    Raises ExportError, and writes nothing, when a logit differs by more than `MAX_ERROR`;
    ValueError for a subnet that is not in eval mode, or without images.
    """
    require_eval_mode(subnet)
    if not len(images):
        raise ValueError("verifying an export needs images")
    model = onnx_model(space, subnet)
    logits = run(model, images)
    difference = check_agreement(logits, subnet, images, model="exported", tolerance=MAX_ERROR)
    if path is not None:
        write_atomic(Path(path), lambda temporary: onnx.save(model, temporary))
    return Verified(model, difference, len(images))


def run(model: onnx.ModelProto | Path, images: Tensor) -> np.ndarray:
    """(N, classes) logits of an ONNX model on images (N, C, r, r)."""
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
    session = open_session(source)
    batches = [
        session.run(None, {"input": batch.numpy()})[0] for batch in images.split(LOGITS_BATCH)
    ]
    return np.concatenate(batches)


def accuracy(model: onnx.ModelProto | Path, images: Tensor, labels: Tensor) -> float:
    """Top-1 accuracy of an ONNX model in percent, on images (N, C, r, r)."""
    return top1_percent(run(model, images), labels)
