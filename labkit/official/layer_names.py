"""The layers of the official Once-for-All networks, by our names and by theirs.

`OFAMobileNetV3` and `OFAProxylessNASNets` of the PyPI package `ofa` are the spaces `ofa-mbv3`,
`ofa-mbv3-w1.2` and `ofa-proxyless-w1.3`: the same layers under other names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from labkit.space import SearchSpace, block_name

OFFICIAL_CLASSES = {
    "ofa-mbv3": "OFAMobileNetV3, width 1.0",
    "ofa-mbv3-w1.2": "OFAMobileNetV3, width 1.2",
    "ofa-proxyless-w1.3": "OFAProxylessNASNets, width 1.3",
}
PARTS = {"expand": "inverted_bottleneck", "depthwise": "depth_conv", "project": "point_linear"}
SQUEEZE_EXCITE = {"fc1": "reduce", "fc2": "expand"}


def norm_names(space: SearchSpace) -> dict[str, str]:
    """Our name -> the official name of each batch norm."""
    return {f"{name}.1": norm for name, _, norm in _conv_norms(space)}


def parameter_names(space: SearchSpace) -> dict[str, str]:
    """Our name -> the official name of each parameter."""
    names = {}
    for name, conv, norm in _conv_norms(space):
        names[f"{name}.0.weight"] = f"{conv}.weight"
        names[f"{name}.1.weight"] = f"{norm}.weight"
        names[f"{name}.1.bias"] = f"{norm}.bias"
    for number, shape in enumerate(space.blocks, 1):
        stage, block = space.stages[shape.stage], f"blocks.{block_name(shape.stage, shape.index)}"
        depthwise = f"blocks.{number}.conv.depth_conv"
        for small, large in zip(stage.kernels, stage.kernels[1:]):
            transform = f"{block}.depthwise.0.transforms.{large}to{small}"
            names[transform] = f"{depthwise}.conv.{large}to{small}_matrix"
        if stage.se:
            for layer, official_layer in SQUEEZE_EXCITE.items():
                for kind in ("weight", "bias"):
                    official_name = f"{depthwise}.se.fc.{official_layer}.{kind}"
                    names[f"{block}.se.{layer}.{kind}"] = official_name
    if space.feature_width:
        names["feature.0.weight"] = "feature_mix_layer.conv.weight"
    names["classifier.weight"] = "classifier.linear.weight"
    names["classifier.bias"] = "classifier.linear.bias"
    return names


def _conv_norms(space: SearchSpace) -> Iterator[tuple[str, str, str]]:
    """(our name, official convolution, official batch norm) where a batch norm follows."""
    if space.name not in OFFICIAL_CLASSES:
        raise ValueError(
            f"space {space.name!r} has no official counterpart; those with one: "
            f"{', '.join(OFFICIAL_CLASSES)}"
        )
    yield "stem", "first_conv.conv", "first_conv.bn"
    for part in ("depthwise", "project"):
        layer = f"blocks.0.conv.{PARTS[part]}"
        yield f"first.{part}", f"{layer}.conv", f"{layer}.bn"
    for number, shape in enumerate(space.blocks, 1):
        block = f"blocks.{block_name(shape.stage, shape.index)}"
        for part, official_part in PARTS.items():
            layer = f"blocks.{number}.conv.{official_part}"
            yield f"{block}.{part}", f"{layer}.conv.conv", f"{layer}.bn.bn"
    # What comes before pooling is called feature mix where nothing follows it but the classifier.
    last = "final_expand_layer" if space.feature_width else "feature_mix_layer"
    yield "final", f"{last}.conv", f"{last}.bn"


def release_independent(key: str) -> str:
    """A key without what differs between releases: wrapping, the block's attribute, nesting.

    >>> release_independent("module.blocks.1.mobile_inverted_conv.depth_conv.bn.bn.weight")
    'blocks.1.conv.depth_conv.bn.weight'
    """
    key = key.removeprefix("module.").replace(".mobile_inverted_conv.", ".conv.")
    return re.sub(r"\b(conv|bn|linear)\.\1\.", r"\1.", key)
