"""The search spaces that ship with the lab, by name."""

from __future__ import annotations

from dataclasses import replace

from labkit.space.operators import make_divisible
from labkit.space.search_space import SearchSpace
from labkit.space.stage import Stage

IMAGENET_RESOLUTIONS = tuple(range(128, 225, 16))


def _mobilenet_v3(name: str, width: float) -> SearchSpace:
    """The OFA paper's space (arXiv 1908.09791, section 4.1): MobileNetV3 with elastic blocks."""

    def w(channels: int) -> int:
        return make_divisible(channels * width)

    rows = (
        (24, 2, "relu", False),
        (40, 2, "relu", True),
        (80, 2, "h_swish", False),
        (112, 1, "h_swish", True),
        (160, 2, "h_swish", True),
    )
    return SearchSpace(
        name=name,
        resolutions=IMAGENET_RESOLUTIONS,
        in_channels=3,
        num_classes=1000,
        stem_width=w(16),
        first_width=w(16),
        final_width=w(960),
        feature_width=w(1280),
        stages=tuple(
            Stage(w(c), stride, depths=(2, 3, 4), act=act, se=se) for c, stride, act, se in rows
        ),
    )


def _proxyless(name: str, width: float) -> SearchSpace:
    """The space of OFA's second supernet: ProxylessNAS (arXiv 1812.00332) with elastic blocks.

    No squeeze-excite, ReLU6 throughout, one last stage of a single block, and a batch norm of its
    own epsilon; the layer before pooling, which its authors call feature mix, is our `final_width`.
    """

    def w(channels: int) -> int:
        return make_divisible(channels * width)

    rows = ((24, 2, 4), (40, 2, 4), (80, 2, 4), (96, 1, 4), (192, 2, 4), (320, 1, 1))
    return SearchSpace(
        name=name,
        resolutions=IMAGENET_RESOLUTIONS,
        in_channels=3,
        num_classes=1000,
        stem_width=w(32),
        stem_act="relu6",
        first_width=w(16),
        first_act="relu6",
        final_width=w(1280),
        head_act="relu6",
        bn_eps=1e-3,
        stages=tuple(
            Stage(w(c), stride, tuple(range(min(2, deepest), deepest + 1)), act="relu6")
            for c, stride, deepest in rows
        ),
    )


# Sized for two CPU cores: the largest subnet is 8.2M MACs, so a supernet trains in a few hours. A
# narrow stem that keeps the resolution beats a wide one that halves it, at the same cost; depth is
# spent where the feature maps are small and a block is cheap.
FMNIST = SearchSpace(
    name="fmnist",
    resolutions=(20, 24, 28),
    in_channels=1,
    num_classes=10,
    stem_width=8,
    stem_stride=1,
    final_width=192,
    stages=(
        Stage(16, 2, (1, 2, 3), expands=(2, 3, 4), act="relu"),
        Stage(32, 2, (2, 3, 4), expands=(2, 3, 4), se=True),
        Stage(64, 2, (2, 3, 4), expands=(2, 3, 4), se=True),
    ),
)

# The same family on color images, for machines with internet (torchvision downloads CIFAR-10).
CIFAR10 = replace(FMNIST, name="cifar10", resolutions=(24, 28, 32), in_channels=3)

OFFICIAL = (
    _mobilenet_v3("ofa-mbv3", 1.0),
    _mobilenet_v3("ofa-mbv3-w1.2", 1.2),
    _proxyless("ofa-proxyless-w1.3", 1.3),
)
spaces: dict[str, SearchSpace] = {space.name: space for space in (FMNIST, CIFAR10, *OFFICIAL)}


def get_space(name: str) -> SearchSpace:
    """The space called `name`; raises ValueError with the known names for another."""
    if name not in spaces:
        raise ValueError(f"unknown space {name!r}, known: {', '.join(spaces)}")
    return spaces[name]
