"""Search spaces, architectures and genes. Nothing in this room imports torch."""

from labkit.space.arch import Arch, Block
from labkit.space.network import mid_channels, se_channels
from labkit.space.presets import get_space, spaces
from labkit.space.search_space import (
    ACTIVATIONS,
    BlockShape,
    SearchSpace,
    Stage,
    block_name,
    make_divisible,
)

__all__ = [
    "ACTIVATIONS",
    "Arch",
    "Block",
    "BlockShape",
    "SearchSpace",
    "Stage",
    "block_name",
    "get_space",
    "make_divisible",
    "mid_channels",
    "se_channels",
    "spaces",
]
