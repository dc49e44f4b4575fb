"""The search spaces that ship with the lab, by name."""

from __future__ import annotations

from dataclasses import replace

from labkit.space.search_space import SearchSpace
from labkit.space.space_file import SUFFIX, read_space
from labkit.space.stage import Stage

IMAGENET_RESOLUTIONS = tuple(range(128, 225, 16))


# The OFA paper's space (arXiv 1908.09791, section 4.1): MobileNetV3 with elastic blocks.
MOBILENET_V3 = SearchSpace(
    name="ofa-mbv3",
    resolutions=IMAGENET_RESOLUTIONS,
    in_channels=3,
    num_classes=1000,
    stem_width=16,
    first_width=16,
    final_width=960,
    feature_width=1280,
    stages=(
        Stage(24, 2, (2, 3, 4), act="relu"),
        Stage(40, 2, (2, 3, 4), act="relu", se=True),
        Stage(80, 2, (2, 3, 4)),
        Stage(112, 1, (2, 3, 4), se=True),
        Stage(160, 2, (2, 3, 4), se=True),
    ),
)

# The space of OFA's second supernet: ProxylessNAS (arXiv 1812.00332) with elastic blocks. No
# squeeze-excite, ReLU6 throughout, one last stage of a single block, and a batch norm of its own
# epsilon; the layer before pooling, which its authors call feature mix, is our `final_width`.
PROXYLESS = SearchSpace(
    name="ofa-proxyless",
    resolutions=IMAGENET_RESOLUTIONS,
    in_channels=3,
    num_classes=1000,
    stem_width=32,
    stem_act="relu6",
    first_width=16,
    first_act="relu6",
    final_width=1280,
    head_act="relu6",
    bn_eps=1e-3,
    stages=(
        *(Stage(width, 2, (2, 3, 4), act="relu6") for width in (24, 40, 80)),
        Stage(96, 1, (2, 3, 4), act="relu6"),
        Stage(192, 2, (2, 3, 4), act="relu6"),
        Stage(320, 1, (1,), act="relu6"),
    ),
)

# Two spaces that reach from a microcontroller of 16 kB to a phone, by 432 and 99 times the MACs.
# Channels are multiples of 4, so that the ratios of the narrowest networks still differ.
FMNIST = SearchSpace(
    name="fmnist",
    resolutions=(12, 16, 20, 24, 28),
    widths=(0.25, 0.5, 0.75, 1.0),
    divisor=4,
    in_channels=1,
    num_classes=10,
    stem_width=16,
    stem_stride=1,
    final_width=256,
    stages=(
        Stage(24, 2, (1, 2, 3), expands=(2, 3, 4), act="relu"),
        Stage(40, 2, (1, 2, 3, 4), expands=(3, 4, 6), se=True),
        Stage(80, 2, (1, 2, 3, 4), expands=(3, 4, 6), se=True),
    ),
)

# For color images. A fixed block at full resolution is worth more than an elastic stage there.
CIFAR10 = SearchSpace(
    name="cifar10",
    resolutions=(16, 20, 24, 28, 32),
    widths=(0.5, 0.75, 1.0),
    divisor=4,
    in_channels=3,
    num_classes=10,
    stem_width=16,
    stem_stride=1,
    first_width=16,
    first_act="h_swish",
    final_width=512,
    stages=(
        Stage(32, 2, (1, 2, 3), expands=(2, 3, 4)),
        Stage(64, 2, (1, 2, 3, 4), expands=(2, 3, 4), se=True),
        Stage(128, 2, (1, 2, 3, 4), expands=(2, 3, 4), se=True),
    ),
)

# The official supernets: two of them are one width of a space in which width is no choice.
OFFICIAL = (
    MOBILENET_V3,
    replace(MOBILENET_V3.at(1.2), name="ofa-mbv3-w1.2"),
    replace(PROXYLESS.at(1.3), name="ofa-proxyless-w1.3"),
)
spaces: dict[str, SearchSpace] = {space.name: space for space in (FMNIST, CIFAR10, *OFFICIAL)}


def get_space(name: str) -> SearchSpace:
    """The space called `name`, or the one that a TOML file of this name defines.

    Raises ValueError with the known names for another, SpaceError for a file that is no space.
    """
    if name in spaces:
        return spaces[name]
    if str(name).endswith(SUFFIX):
        return read_space(name)
    raise ValueError(
        f"unknown space {name!r}, known: {', '.join(spaces)}; or give a {SUFFIX} file (`labkit"
        " space new` writes one)"
    )
