"""Networks whose latency has been published for a device, as lists of operators.

Those of torchvision are read off torchvision's own modules (traced with torch.fx on the meta
device: no weights, no arithmetic); the others are written down here from their papers. Where a
reference gives its MACs but not its layers, a stand-in of that many MACs takes its place and says
so. Only kinds and sizes count here; what an operator `reads` is not filled in.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache

import numpy as np

from labkit.space import BlockShape, make_divisible, network
from labkit.space.operators import Operator, convolution, global_pool, out_side
from labkit.space.presets import get_space
from labkit.tables.costs import macs_table

# several, when a reference is a stand-in by MACs: simulate all, take the median
Networks = list[list[Operator]]


def networks(reference: dict) -> Networks:
    """The networks that stand for `reference`, an entry of a device file.

    Raises ValueError for a network that is not known, or of which too little is said.
    """
    name, resolution = reference["network"], reference.get("resolution")
    is_ofa, is_mcunet = name in ("ofa-mbv3", "ofa-mbv3-w1.2"), name == "mcunet"
    for field, needed in (
        ("macs_m", is_ofa or is_mcunet),
        ("resolution", is_mcunet or name in PLAIN or name in TORCHVISION),
    ):
        if needed and field not in reference:
            raise ValueError(
                f"a reference to {name!r} needs {field!r}, this one has {', '.join(reference)}"
            )
    if is_ofa:
        return _ofa_networks(name, reference["macs_m"])
    if is_mcunet:
        return [_mobilenet_v2_of(reference["macs_m"], resolution)]
    if name.startswith("nas-bench-201:"):
        return [nas_bench_201(name.partition(":")[2])]
    if name in PLAIN:
        options = {"width": reference["width"]} if "width" in reference else {}
        return [PLAIN[name](resolution, **options)]
    if name in TORCHVISION:
        return [torchvision_operators(name, resolution)]
    raise ValueError(
        f"unknown network {name!r}, known: ofa-mbv3, ofa-mbv3-w1.2, mcunet, nas-bench-201:<ops>, "
        f"{', '.join([*PLAIN, *TORCHVISION])}"
    )


def describe(reference: dict) -> str:
    """Name, width, resolution and MACs of `reference`, as far as they are given."""
    parts = [reference.get("title", reference["network"])]
    if "width" in reference:
        parts.append(f"x{reference['width']}")
    if "resolution" in reference:
        parts.append(f"{reference['resolution']} px")
    if "macs_m" in reference:
        parts.append(f"{reference['macs_m']}M MACs")
    return " ".join(parts)


def stand_in(reference: dict) -> str:
    """What replaces the layers of `reference`, empty when its own layers are simulated."""
    if reference["network"].startswith("ofa-mbv3"):
        return (
            f"only MACs are published: the median over {reference['network']} archs of as many MACs"
        )
    if reference["network"] == "mcunet":
        return (
            "only MACs and resolution are published: MobileNetV2 near that resolution, its width"
            " chosen to match"
        )
    return ""


# ---- by MACs -------------------------------------------------------------------------------------


@lru_cache
def _ofa_archs(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Genes (N, G) over the whole range of MACs, and their millions of MACs (N,).

    They are random archs, and mutants of the smallest and the largest.
    """
    space, rng = get_space(name), np.random.default_rng(0)
    ends = space.encode([space.smallest(), space.largest()])
    mutants = [
        space.mutate(rng, np.repeat(ends, 1000, 0), rate=rate, resolution_rate=rate)
        for rate in (0.05, 0.2, 0.5)
    ]
    genes = np.concatenate([space.sample(rng, 4000), *mutants])
    return genes, macs_table(space)(genes) / 1e6


def _ofa_networks(name: str, macs_m: float, count: int = 25) -> Networks:
    space = get_space(name)
    genes, macs = _ofa_archs(name)
    nearest = np.argsort(np.abs(macs - macs_m), kind="stable")[:count]
    return [network.operators(space, arch) for arch in space.decode(genes[nearest])]


def _mobilenet_v2_of(macs_m: float, resolution: int) -> list[Operator]:
    candidates = [
        mobilenet_v2(side, hundredths / 100)
        for side in range(resolution - 16, resolution + 17, 8)
        for hundredths in range(10, 150, 2)
    ]  # widths come in steps of 8 channels, so the side has to vary too
    return min(candidates, key=lambda operators: abs(math.log(macs_of(operators) / 1e6 / macs_m)))


def macs_of(operators: list[Operator]) -> int:
    return sum(operator.macs for operator in operators)


# ---- written down --------------------------------------------------------------------------------


def mobilenet_v1(
    resolution: int, width: float = 1.0, in_channels: int = 3, classes: int = 1000
) -> list[Operator]:
    """MobileNetV1 (arXiv 1704.04861, table 1)."""
    rows = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]  # channels, stride
    rows += [(512, 1)] * 5 + [(1024, 2), (1024, 1)]
    channels, side = int(32 * width), out_side(resolution, 2)
    operators = [convolution(in_channels, channels, 3, resolution, 2)]
    for out, stride in rows:
        operators.append(convolution(channels, channels, 3, side, stride, depthwise=True))
        side = out_side(side, stride)
        operators.append(convolution(channels, int(out * width), 1, side))
        channels = int(out * width)
    return [*operators, *_classifier(channels, side, classes)]


def _classifier(channels: int, side: int, classes: int) -> list[Operator]:
    return [global_pool(channels, side), Operator("linear", channels, classes, 1)]


def mobilenet_v2(resolution: int, width: float = 1.0) -> list[Operator]:
    """MobileNetV2 (arXiv 1801.04381, table 2), with torchvision's rounding of widths."""
    rows = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    channels, side = make_divisible(32 * width), out_side(resolution, 2)
    operators = [convolution(3, channels, 3, resolution, 2)]
    for expand, out, repeats, first_stride in rows:
        for i in range(repeats):
            stride = first_stride if i == 0 else 1
            shape = BlockShape(0, i, channels, make_divisible(out * width), stride, "relu6")
            operators += network.block(shape, 3, expand, side)
            channels, side = shape.out_channels, out_side(side, stride)
    last = make_divisible(1280 * max(1.0, width))
    return [*operators, convolution(channels, last, 1, side), *_classifier(last, side, 1000)]


def resnet8(resolution: int) -> list[Operator]:
    """The image classification network of MLPerf Tiny (arXiv 2106.07597, section 4.3)."""
    operators, channels, side = [convolution(3, 16, 3, resolution)], 16, resolution
    for out, stride in ((16, 1), (32, 2), (64, 2)):
        operators += _residual(channels, out, side, stride)
        channels, side = out, out_side(side, stride)
    return [*operators, *_classifier(channels, side, 10)]


def _residual(channels: int, out: int, side: int, stride: int) -> list[Operator]:
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where the shape changes."""
    small = out_side(side, stride)
    shortcut = [convolution(channels, out, 1, side, stride)] if stride > 1 else []
    return [
        convolution(channels, out, 3, side, stride),
        convolution(out, out, 3, small),
        *shortcut,
        Operator("add", out, out, small),
    ]


def nas_bench_201(ops: str) -> list[Operator]:
    """A NAS-Bench-201 network on 32x32 images (arXiv 2001.00326, section 2.1).

    `ops` are the six edges of the cell, in the benchmark's order (01, 02, 12, 03, 13, 23),
    separated by commas: c3, c1 (convolutions), p (average pooling 3x3), s (skip), 0 (none).
    """
    edges, targets = ops.split(","), (1, 2, 2, 3, 3, 3)
    operators, channels, side = [convolution(3, 16, 3, 32)], 16, 32
    for stage in range(3):
        if stage:
            operators += _residual(channels, 2 * channels, side, 2)
            channels, side = 2 * channels, side // 2
        edge_operators = {
            "c3": [convolution(channels, channels, 3, side)],
            "c1": [convolution(channels, channels, 1, side)],
            "p": [Operator("pool", channels, channels, side, kernel=3)],
            "s": [],
            "0": [],
        }
        cell = [operator for edge in edges for operator in edge_operators[edge]]
        for node in (1, 2, 3):
            arriving = sum(op != "0" for op, target in zip(edges, targets) if target == node)
            cell += [Operator("add", channels, channels, side)] * max(0, arriving - 1)
        operators += 5 * cell
    return [*operators, *_classifier(channels, side, 10)]


PLAIN = {
    "mobilenet_v1": mobilenet_v1,
    "mobilenet_v2": mobilenet_v2,
    "mlperf_tiny_resnet8": resnet8,
    "mlperf_tiny_vww": lambda resolution: mobilenet_v1(resolution, 0.25, 3, 2),
}


# ---- from torchvision ----------------------------------------------------------------------------

TORCHVISION = ("mobilenet_v3_large", "mobilenet_v3_small", "resnet18", "resnet50")


@cache
def torchvision_operators(name: str, resolution: int) -> list[Operator]:
    """The operators of a torchvision classifier on images of `resolution` pixels.

    Needs torchvision.
    """
    import torch
    import torchvision
    from torch import fx, nn

    operators: list[Operator] = []

    class Tracer(fx.Interpreter):
        def call_module(self, target, args, kwargs):
            result, module = super().call_module(target, args, kwargs), self.fetch_attr(target)
            x = args[0]
            if isinstance(module, nn.Conv2d):
                sizes = module.in_channels, module.out_channels, module.kernel_size[0], x.shape[-1]
                depthwise = module.groups > 1
                operators.append(convolution(*sizes, module.stride[0], depthwise=depthwise))
            elif isinstance(module, nn.Linear):
                operators.append(Operator("linear", module.in_features, module.out_features, 1))
            elif isinstance(module, nn.AdaptiveAvgPool2d):
                operators.append(global_pool(x.shape[1], x.shape[-1]))
            elif isinstance(module, nn.MaxPool2d):
                sizes = x.shape[1], x.shape[1], x.shape[-1], module.kernel_size, module.stride
                operators.append(Operator("pool", *sizes))
            return result

        def call_function(self, target, args, kwargs):
            result = super().call_function(target, args, kwargs)
            maps = [a for a in args if isinstance(a, torch.Tensor)]
            if len(maps) == 2:  # the addition of a shortcut, or the scale of a squeeze-excite
                kind = "add" if maps[0].shape == maps[1].shape else "scale"
                channels, side = result.shape[1], result.shape[-1]
                operators.append(Operator(kind, channels, channels, side))
            return result

    with torch.device("meta"):
        model = getattr(torchvision.models, name)(weights=None).eval()
        Tracer(fx.symbolic_trace(model)).run(torch.empty(1, 3, resolution, resolution))
    return operators
