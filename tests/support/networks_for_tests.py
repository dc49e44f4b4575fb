"""A space with every feature, subnets through which signal passes, and ONNX models that run."""

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from labkit.space import SearchSpace, Stage

# Every feature that a space can have: fixed first block, feature layer, each activation, expand
# ratio 1, SE.
RICH = SearchSpace(
    "rich",
    (20, 27),
    (
        Stage(12, 1, (1, 2), (3, 5), (1,), "relu6"),
        Stage(16, 2, (1, 2), (3, 7), (2, 3), "h_swish", se=True),
        Stage(16, 1, (1, 2), (5,), (3,), "relu"),
    ),
    in_channels=3,
    num_classes=7,
    stem_width=8,
    first_width=12,
    final_width=24,
    feature_width=40,
)


def shake(module: nn.Module, seed: int, images: torch.Tensor) -> nn.Module:
    """Batch norms with random scales and offsets and the statistics of `images`: signal passes
    through all layers, so that two networks that agree compute the same, and a batch norm folded
    wrongly shows."""
    generator = torch.Generator().manual_seed(seed)
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.momentum = None
            m.weight.data.uniform_(0.5, 1.5, generator=generator)
            m.bias.data.uniform_(-0.5, 0.5, generator=generator)
    with torch.no_grad():
        module.train()(images)
    return module.eval()


def train_briefly(module: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> nn.Module:
    """A few steps on a task that is easily told apart, in eval mode."""
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.momentum = 0.5  # running statistics must keep up with few steps
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    for _ in range(12):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(images), labels).backward()
        optimizer.step()
    return module.eval()


def run_model(model: onnx.ModelProto, x: torch.Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"input": x.numpy()})[0]
