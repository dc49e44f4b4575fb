"""Elastic layers: they run with a part of their weights.

A narrower layer uses the first channels of the wide one, a smaller kernel is the transformed center
of the larger one (OFA, arXiv 1908.09791, section 3.3). How much is used follows from the input and
the arguments of the call, and is all of it where an argument is None; no layer remembers an active
size. A part of the network is called as `layer(x, stats, size)`, where `stats` normalizes for its
batch norms, if it has any, and `size` is the number of channels that leave it; a block also takes
the choice of the arch.

Shapes in trailing comments: N images, C channels, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.space import Block, SearchSpace, mid_channels, se_channels
from labkit.space.operators import Operator
from labkit.supernet.batch_norm import EPS, ElasticBatchNorm, Statistics
from labkit.supernet.depthwise import depthwise_conv

ACTIVATION_FUNCTIONS = {"relu": F.relu, "relu6": F.relu6, "h_swish": F.hardswish}


class ElasticConv(nn.Module):
    """Dense convolution that uses the first input and output channels."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.stride, self.padding = stride, kernel // 2
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        nn.init.kaiming_normal_(self.weight, mode="fan_out")

    def active(self, in_channels: int, out_channels: int) -> Tensor:
        if self.weight.shape[:2] == (out_channels, in_channels):
            return self.weight
        return self.weight[:out_channels, :in_channels]

    def forward(self, x: Tensor, out_channels: int | None = None) -> Tensor:
        out = self.weight.shape[0] if out_channels is None else out_channels
        bias = None if self.bias is None else self.bias[:out]
        return F.conv2d(x, self.active(x.shape[1], out), bias, self.stride, self.padding)


class ElasticDepthwise(nn.Module):
    """Depthwise convolution whose smaller kernels are made from the center of larger ones.

    `transforms["7to5"]` (25, 25) acts on the flattened center 5x5 of the 7x7 kernel, `"5to3"` (9,
    9) on the center of the result; one matrix each for all channels, starting as the identity.
    Source: OFA, section 3.3, "Elastic Kernel Size".
    """

    def __init__(self, channels: int, kernels: Iterable[int], stride: int = 1) -> None:
        super().__init__()
        self.kernels = tuple(sorted(kernels, reverse=True))
        self.stride = stride
        largest = self.kernels[0]
        self.weight = nn.Parameter(torch.empty(channels, 1, largest, largest))
        nn.init.kaiming_normal_(self.weight, mode="fan_in")  # of one input channel: largest**2
        self.transforms = nn.ParameterDict(
            {
                f"{large}to{small}": nn.Parameter(torch.eye(small**2))
                for large, small in zip(self.kernels, self.kernels[1:])
            }
        )

    def active(self, channels: int, kernel: int) -> Tensor:
        """(channels, 1, kernel, kernel): the kernels that a subnet uses."""
        if kernel not in self.kernels:
            raise ValueError(f"kernel size {kernel} is not one of {self.kernels}")
        weight = self.weight[:channels]
        for large, small in zip(self.kernels, self.kernels[1:]):
            if kernel == large:
                break
            edge = (large - small) // 2
            center = weight[:, :, edge : large - edge, edge : large - edge]
            center = center.reshape(channels, small**2)
            transformed = F.linear(center, self.transforms[f"{large}to{small}"])
            weight = transformed.view(channels, 1, small, small)
        return weight

    def forward(self, x: Tensor, kernel: int | None = None) -> Tensor:
        kernel = self.kernels[0] if kernel is None else kernel
        return depthwise_conv(x, self.active(x.shape[1], kernel), self.stride)


class ElasticSqueezeExcite(nn.Module):
    """Squeeze-excite whose bottleneck follows its input channels (MobileNetV3, section 5.3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = ElasticConv(channels, se_channels(channels), bias=True)
        self.fc2 = ElasticConv(se_channels(channels), channels, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        c = x.shape[1]
        scale = F.adaptive_avg_pool2d(x, 1)  # (N, C, 1, 1)
        scale = F.relu(self.fc1(scale, se_channels(c)))  # (N, C / 4, 1, 1)
        return x * F.hardsigmoid(self.fc2(scale, c))


class ElasticConvNorm(nn.Module):
    """A convolution with its batch norm, if it has one, and its activation.

    Children are named as in `Conv2dNormActivation`. `kernels` are the choices of a depthwise
    convolution, which has only the operator's own without them.
    """

    def __init__(
        self, operator: Operator, eps: float = EPS, kernels: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        channels, stride, act = operator.out_channels, operator.stride, operator.act
        if operator.kind == "depthwise":
            conv = ElasticDepthwise(channels, kernels or (operator.kernel,), stride)
        else:
            conv = ElasticConv(operator.in_channels, channels, operator.kernel, stride)
        self.add_module("0", conv)
        self.add_module("1", ElasticBatchNorm(channels, eps) if operator.norm else None)
        self.act = ACTIVATION_FUNCTIONS[act] if act else None
        self.act_in_place = act != "h_swish"  # whose gradient needs its input

    def forward(self, x: Tensor, stats: Statistics, size: int | None = None) -> Tensor:
        """`size` is what the convolution takes: output channels, or a kernel size if depthwise."""
        conv, norm = self._modules["0"], self._modules["1"]
        x = conv(x, size)
        if norm is not None:
            x = norm(x, stats)
        if self.act is None:
            return x
        # Batch norm's gradient does not need its output, so that need not be stored: fresh memory
        # is slow.
        return self.act(x, inplace=self.act_in_place or not torch.is_grad_enabled())


class ElasticBlock(nn.Module):
    """Inverted residual block, elastic in kernel size and expand ratio.

    `operators` are those of its largest choice in `space`, `kernels` its kernel sizes.
    """

    def __init__(
        self, operators: Sequence[Operator], space: SearchSpace, kernels: Sequence[int] | None
    ) -> None:
        super().__init__()
        self.divisor, eps = space.divisor, space.bn_eps
        layers = {operator.name: operator for operator in operators}
        self.has_shortcut = "add" in layers
        self.expand = ElasticConvNorm(layers["expand"], eps) if "expand" in layers else None
        self.depthwise = ElasticConvNorm(layers["depthwise"], eps, kernels)
        has_se = "se.fc1" in layers
        self.se = ElasticSqueezeExcite(layers["se.fc1"].in_channels) if has_se else None
        self.project = ElasticConvNorm(layers["project"], eps)
        if self.has_shortcut:
            # It starts as the identity, so that depth is elastic from the first step.
            nn.init.zeros_(self.project.get_submodule("1").weight)

    def forward(
        self, x: Tensor, stats: Statistics, size: int | None = None, block: Block | None = None
    ) -> Tensor:
        kernel = None if block is None else block.kernel
        middle = None if block is None else mid_channels(x.shape[1], block.expand, self.divisor)
        y = x  # (N, C_in, H, W)
        if self.expand is not None:
            y = self.expand(y, stats, middle)  # (N, middle, H, W)
        y = self.depthwise(y, stats, kernel)  # (N, middle, H / stride, W / stride)
        if self.se is not None:
            y = self.se(y)
        y = self.project(y, stats, size)  # (N, C_out, H / stride, W / stride)
        return y.add_(x) if self.has_shortcut else y


class GlobalPool(nn.Module):
    """The mean over the map: (N, C, H, W) -> (N, C, 1, 1)."""

    def forward(self, x: Tensor, *unused: object) -> Tensor:
        return F.adaptive_avg_pool2d(x, 1)


class ElasticLinear(nn.Linear):
    """Fully connected layer that uses the first input features: (N, C, 1, 1) -> (N, classes)."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        nn.init.normal_(self.weight, std=0.01)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor, *unused: object) -> Tensor:
        x = x.flatten(1)
        return F.linear(x, self.weight[:, : x.shape[1]], self.bias)


def elastic_part(
    operators: Sequence[Operator], space: SearchSpace, kernels: Sequence[int] | None = None
) -> nn.Module:
    """The elastic module of one part of a network: of a block, or of a layer outside of blocks."""
    if len(operators) > 1:
        return ElasticBlock(operators, space, kernels)
    (operator,) = operators
    if operator.kind == "pool":
        return GlobalPool()
    if operator.kind == "linear":
        return ElasticLinear(operator.in_channels, operator.out_channels)
    return ElasticConvNorm(operator, space.bn_eps)
