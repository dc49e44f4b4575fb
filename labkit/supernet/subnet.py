"""A subnet as ordinary torch modules: what `Supernet.extract` fills, and what trains stand-alone.

Module names are those of the supernet, so that a weight has one name in both.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation, SqueezeExcitation

from labkit.space import Arch, BlockShape, SearchSpace, block_name, mid_channels, se_channels

ACTIVATION_MODULES = {"relu": nn.ReLU, "relu6": nn.ReLU6, "h_swish": nn.Hardswish}


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel: int,
    stride: int,
    act: str | None,
    groups: int = 1,
    *,
    eps: float = 1e-5,
) -> Conv2dNormActivation:
    """Convolution `.0`, batch norm `.1` and, unless `act` is None, activation `.2`."""
    return Conv2dNormActivation(
        in_channels,
        out_channels,
        kernel,
        stride,
        groups=groups,
        bias=False,
        norm_layer=partial(nn.BatchNorm2d, eps=eps),
        activation_layer=ACTIVATION_MODULES[act] if act else None,
    )


class InvertedResidual(nn.Module):
    """Pointwise expansion (none for ratio 1), depthwise convolution, squeeze-excite, projection."""

    def __init__(
        self, shape: BlockShape, kernel: int, expand: int, act: str, se: bool, *, eps: float = 1e-5
    ) -> None:
        super().__init__()
        mid = mid_channels(shape.in_channels, expand)
        self.has_shortcut = shape.has_shortcut
        self.expand = (
            conv_norm(shape.in_channels, mid, 1, 1, act, eps=eps) if expand > 1 else nn.Identity()
        )
        self.depthwise = conv_norm(mid, mid, kernel, shape.stride, act, groups=mid, eps=eps)
        self.se = (
            SqueezeExcitation(mid, se_channels(mid), scale_activation=nn.Hardsigmoid)
            if se
            else nn.Identity()
        )
        self.project = conv_norm(mid, shape.out_channels, 1, 1, None, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.se(self.depthwise(self.expand(x))))
        return x + y if self.has_shortcut else y


class Subnet(nn.Module):
    """The network of one arch, freshly initialized.

    Input (N, C, r, r) at the arch's resolution r, output logits (N, classes).
    """

    def __init__(self, space: SearchSpace, arch: Arch) -> None:
        super().__init__()
        space.validate(arch)
        self.arch = arch
        eps = space.bn_eps
        width = space.stem_width
        self.stem = conv_norm(
            space.in_channels, width, 3, space.stem_stride, space.stem_act, eps=eps
        )
        if space.first_width:
            shape = BlockShape(-1, 0, width, space.first_width, 1)
            self.first = InvertedResidual(shape, 3, 1, space.first_act, se=False, eps=eps)
        else:
            self.first = nn.Identity()
        blocks = OrderedDict()
        for shape in space.blocks:
            if shape.index < len(arch.stages[shape.stage]):
                kernel, expand = arch.stages[shape.stage][shape.index]
                stage = space.stages[shape.stage]
                blocks[block_name(shape.stage, shape.index)] = InvertedResidual(
                    shape, kernel, expand, stage.act, stage.se, eps=eps
                )
        self.blocks = nn.Sequential(blocks)
        width = space.stages[-1].width
        self.final = (
            conv_norm(width, space.final_width, 1, 1, space.head_act, eps=eps)
            if space.final_width
            else nn.Identity()
        )
        width = space.final_width or width
        self.pool = nn.AdaptiveAvgPool2d(1)
        if space.feature_width:
            self.feature = nn.Sequential(
                nn.Conv2d(width, space.feature_width, 1, bias=False),
                ACTIVATION_MODULES[space.head_act](),
            )
            width = space.feature_width
        else:
            self.feature = nn.Identity()
        self.classifier = nn.Linear(width, space.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.stem(x))
        x = self.final(self.blocks(x))
        x = self.feature(self.pool(x))  # (N, C, 1, 1)
        return self.classifier(x.flatten(1))
