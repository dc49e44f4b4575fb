"""Search spaces, architectures, genes and the operators of networks. Nothing here imports torch."""

from labkit.space.arch import Arch, Block
from labkit.space.network import mid_channels, se_channels
from labkit.space.operators import make_divisible
from labkit.space.presets import get_space, spaces
from labkit.space.search_space import SearchSpace
from labkit.space.stage import ACTIVATIONS, BlockShape, Stage, block_name

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
