"""A subnet as ordinary torch modules: what `Supernet.extract` fills, and what trains stand-alone.

Modules are made from the network's operators, one for each part, and are called as those of the
supernet are, so that a weight has one name in both.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation, SqueezeExcitation

from labkit.space import Arch, SearchSpace, network
from labkit.space.operators import Operator
from labkit.supernet.batch_norm import EPS

ACTIVATION_MODULES = {"relu": nn.ReLU, "relu6": nn.ReLU6, "h_swish": nn.Hardswish}


def layer(operator: Operator, eps: float = EPS) -> nn.Module:
    """A layer outside of blocks, or one of a block that has a batch norm.

    With a batch norm, the convolution is `.0`, the batch norm `.1` and the activation `.2`; without
    one, a convolution is `.0` and its activation `.1`.
    """
    sizes = operator.in_channels, operator.out_channels
    if operator.kind == "pool":
        return nn.AdaptiveAvgPool2d(1)
    if operator.kind == "linear":
        return nn.Linear(*sizes)
    activation = ACTIVATION_MODULES[operator.act] if operator.act else None
    if not operator.norm:
        return nn.Sequential(nn.Conv2d(*sizes, operator.kernel, bias=False), activation())
    return Conv2dNormActivation(
        *sizes,
        operator.kernel,
        operator.stride,
        groups=operator.in_channels if operator.kind == "depthwise" else 1,
        norm_layer=partial(nn.BatchNorm2d, eps=eps),
        activation_layer=activation,
    )


class InvertedResidual(nn.Sequential):
    """Pointwise expansion (none for ratio 1), depthwise convolution, squeeze-excite, projection."""

    def __init__(self, operators: Sequence[Operator], eps: float = EPS) -> None:
        children = OrderedDict()
        for operator in operators:
            if operator.norm:
                children[operator.name] = layer(operator, eps)
            elif operator.name == "se.fc1":
                sizes = operator.in_channels, operator.out_channels
                children["se"] = SqueezeExcitation(*sizes, scale_activation=nn.Hardsigmoid)
        super().__init__(children)
        self.has_shortcut = operators[-1].kind == "add"

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)  # expand, depthwise, se, project: (N, C_out, H / stride, W / stride)
        return x + y if self.has_shortcut else y


def torch_modules(operators: Sequence[Operator], eps: float = EPS) -> nn.Sequential:
    """The parts of `operators` as freshly initialized modules, one after another.

    A part called `blocks.stage0_block0` is the child `stage0_block0` of the child `blocks`.
    """
    modules = nn.Sequential()
    for part, members in network.parts(operators).items():
        if members[0].kind == "linear":
            modules.add_module("flatten", nn.Flatten())
        group, _, name = part.rpartition(".")
        if group and not hasattr(modules, group):
            modules.add_module(group, nn.Sequential())
        module = layer(members[0], eps) if len(members) == 1 else InvertedResidual(members, eps)
        modules.get_submodule(group).add_module(name, module)
    return modules


class Subnet(nn.Sequential):
    """The network of one arch, freshly initialized: its stem, `blocks`, and what follows them.

    Input (N, C, r, r) at the arch's resolution r, output logits (N, classes). Raises ValueError for
    an arch of another space.
    """

    def __init__(self, space: SearchSpace, arch: Arch) -> None:
        modules = torch_modules(network.operators(space, arch), space.bn_eps)
        super().__init__(OrderedDict(modules.named_children()))
        self.arch = arch
