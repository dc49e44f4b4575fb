"""Networks whose latency has been published for a device, as lists of operators.

Those of torchvision are read off torchvision's own modules (traced with torch.fx on the meta
device: no weights, no arithmetic), those of MCUNet off data/published/mcunet.json, published
subnets off the spaces of their supernets; the others are written down here from their papers. Only
kinds and sizes count here; what an operator `reads` is not filled in.
"""

from __future__ import annotations

from functools import cache, partial
from types import NoneType

from labkit.comparison.nas_bench_201 import classifier, nas_bench_201, residual
from labkit.comparison.published_subnets import published_subnets
from labkit.space import Arch, BlockShape, SearchSpace, make_divisible, network
from labkit.space.operators import Operator, convolution, global_pool, out_side
from labkit.storage.errors import LabError
from labkit.storage.json_fields import Fields, read_json
from labkit.storage.paths import data_dir


def operators_of(reference: dict) -> list[Operator]:
    """The operators of the network of `reference`, an entry of a device file.

    Raises ValueError for a network that is not known, or of which too little is said.
    """
    name, resolution = reference["network"], reference.get("resolution")
    if name.startswith("nas-bench-201:"):
        return nas_bench_201(name.partition(":")[2], reference.get("graph", "needed"))
    if name in WRITTEN_DOWN:
        return WRITTEN_DOWN[name]()
    if name in mcunet_definitions():
        return mcunet(name)
    if name in published_archs():
        return network.operators(*published_archs()[name])
    if name not in PLAIN and name not in TORCHVISION:
        known = [*WRITTEN_DOWN, *PLAIN, *TORCHVISION, *mcunet_definitions()]
        raise ValueError(
            f"unknown network {name!r}, known: nas-bench-201:<edges>, names of published subnets,"
            f" {', '.join(known)}"
        )
    if resolution is None:
        raise ValueError(
            f"a reference to {name!r} needs 'resolution', this one has {', '.join(reference)}"
        )
    return PLAIN[name](resolution) if name in PLAIN else torchvision_operators(name, resolution)


def describe(reference: dict) -> str:
    """Title or name of the network of `reference`, and its resolution where it is given."""
    name = reference.get("title", reference["network"])
    return f"{name} {reference['resolution']} px" if "resolution" in reference else name


def macs_of(operators: list[Operator]) -> int:
    return sum(operator.macs for operator in operators)


@cache
def published_archs() -> dict[str, tuple[SearchSpace, Arch]]:
    """Published subnets by name: a space that has the subnet's resolution, and its arch."""
    return {subnet.name: (subnet.space, subnet.arch) for subnet in published_subnets()}


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
    return [*operators, *classifier(channels, side, classes)]


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
    return [*operators, convolution(channels, last, 1, side), *classifier(last, side, 1000)]


@cache
def mcunet_definitions() -> dict[str, dict]:
    """MCUNet's networks, and the MobileNetV2 that they are compared with."""
    path = data_dir() / "published" / "mcunet.json"
    file = Fields(
        read_json(path, LabError), path, LabError, advice="restore it from the repository"
    )
    file.require_schema("labkit-published-networks-1")
    networks = file.object("networks")
    for definition in map(networks.object, networks.value):
        for name in ("resolution", "stem", "classes"):
            definition.positive(name)
        definition.get("final", (int, NoneType))
        for block in definition.get("blocks", list):
            if not isinstance(block, list) or len(block) != 4 or not all(map(_is_size, block)):
                definition.fail("blocks", "four sizes for each block")
    return networks.value


def _is_size(value: object) -> bool:
    return isinstance(value, int) and value > 0


def mcunet(name: str) -> list[Operator]:
    """A network of MCUNet (arXiv 2007.10319) as its authors define it."""
    definition = mcunet_definitions()[name]
    channels, side = definition["stem"], out_side(definition["resolution"], 2)
    operators = [convolution(3, channels, 3, definition["resolution"], 2)]
    for kernel, middle, out, stride in definition["blocks"]:
        shape = BlockShape(0, 0, channels, out, stride, "relu6")
        operators += network.block(shape, kernel, middle / channels, side)
        channels, side = out, out_side(side, stride)
    if definition["final"]:
        operators.append(convolution(channels, definition["final"], 1, side))
        channels = definition["final"]
    return [*operators, *classifier(channels, side, definition["classes"])]


def resnet8() -> list[Operator]:
    """Image classification in MLPerf Tiny (arXiv 2106.07597, section 4.3)."""
    operators, channels, side = [convolution(3, 16, 3, 32)], 16, 32
    for out, stride in ((16, 1), (32, 2), (64, 2)):
        operators += residual(channels, out, side, stride)
        channels, side = out, out_side(side, stride)
    return [*operators, *classifier(channels, side, 10)]


def keyword_spotting() -> list[Operator]:
    """Keyword spotting in MLPerf Tiny: a DS-CNN on 49 x 10 spectrograms (arXiv 2106.07597).

    Operators are square here, so its maps of 25 x 5 pixels are of 11 x 11, and its first kernel of
    10 x 4 on one channel is of 2 x 2 on ten: 3 % fewer MACs.
    """
    operators = [convolution(10, 64, 2, 11)]
    for _ in range(4):
        operators += [convolution(64, 64, 3, 11, depthwise=True), convolution(64, 64, 1, 11)]
    return [*operators, *classifier(64, 11, 12)]


def anomaly_detection() -> list[Operator]:
    """Anomaly detection in MLPerf Tiny: an autoencoder of linear layers (arXiv 2106.07597)."""
    widths = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
    return [Operator("linear", width, out, 1) for width, out in zip(widths, widths[1:])]


PLAIN = {"mobilenet_v1": mobilenet_v1, "mobilenet_v2": mobilenet_v2}
WRITTEN_DOWN = {
    "mlperf-tiny-ic": resnet8,
    "mlperf-tiny-vww": partial(mobilenet_v1, 96, 0.25, 3, 2),  # visual wake words
    "mlperf-tiny-kws": keyword_spotting,
    "mlperf-tiny-ad": anomaly_detection,
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
