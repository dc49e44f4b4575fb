"""Small search spaces that can be enumerated, and weights that make an equality test bite."""

from dataclasses import replace

import torch
from hypothesis import strategies as st

from labkit.space import SearchSpace, Stage
from labkit.supernet.batch_norm import ElasticBatchNorm
from labkit.supernet.elastic import ElasticDepthwise
from labkit.supernet.supernet import Supernet


def plain_space(stages, resolutions=(16, 24)):
    """A space of these stages, and around them no more than every network has."""
    return SearchSpace("plain", resolutions, stages, in_channels=1, num_classes=2, stem_width=8)


def ascending(values, most=3):
    return st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True).map(
        lambda v: tuple(sorted(v))
    )


stages = st.builds(
    Stage,
    width=st.sampled_from((8, 16)),
    stride=st.sampled_from((1, 2)),
    depths=ascending((1, 2)),
    kernels=ascending((3, 5), most=2),
    expands=ascending((2, 3), most=2),
    act=st.sampled_from(("relu", "h_swish")),
    se=st.booleans(),
)

# At most 4 + 16 configurations a stage, 20 * 20 * 2 archs.
spaces_of_one_width = st.builds(
    SearchSpace,
    name=st.just("small"),
    resolutions=ascending((12, 16), most=2),
    stages=st.lists(stages, min_size=1, max_size=2).map(tuple),
    in_channels=st.just(1),
    num_classes=st.just(4),
    stem_width=st.just(8),
    stem_stride=st.sampled_from((1, 2)),
    first_width=st.sampled_from((None, 8)),
    final_width=st.sampled_from((None, 16)),
    feature_width=st.sampled_from((None, 16)),
)

# The same, half of them with archs of half the channels besides.
small_spaces = spaces_of_one_width | spaces_of_one_width.map(
    lambda space: replace(space, widths=(0.5, 1.0), divisor=4)
)

# What a file may ask for: stages without expansion, odd sides, channels that are no multiple of 8,
# a first block with a shortcut of its own, ReLU6 throughout.
activations = st.sampled_from(("relu", "relu6", "h_swish"))
any_stages = st.builds(
    Stage,
    width=st.sampled_from((4, 8, 12, 16, 20, 24, 40, 64)),
    stride=st.sampled_from((1, 2)),
    depths=ascending((1, 2, 3, 4)),
    kernels=ascending((3, 5, 7)),
    expands=st.just((1,)) | ascending((2, 3, 4, 6)),
    act=activations,
    se=st.booleans(),
)
optional_width = st.sampled_from((None, 8, 16, 64))
any_spaces = st.builds(
    SearchSpace,
    name=st.just("any"),
    resolutions=ascending(range(7, 49)),
    stages=st.lists(any_stages, min_size=1, max_size=4).map(tuple),
    in_channels=st.sampled_from((1, 3)),
    num_classes=st.integers(2, 20),
    stem_width=st.sampled_from((8, 12, 16, 32)),
    stem_stride=st.sampled_from((1, 2)),
    stem_act=activations,
    first_width=optional_width,
    first_act=activations,
    final_width=optional_width,
    feature_width=optional_width,
    head_act=activations,
    divisor=st.sampled_from((4, 8)),
)

# One width and three stages: what tests count by hand stays as it is whatever ships.
ONE_WIDTH = SearchSpace(
    name="one-width",
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

# Everything that a network can have, at three widths.
WIDE = SearchSpace(
    name="wide",
    resolutions=(12, 16),
    widths=(0.5, 0.75, 1.0),
    divisor=4,
    in_channels=1,
    num_classes=4,
    stem_width=16,
    stem_stride=1,
    first_width=16,
    final_width=32,
    feature_width=24,
    stages=(
        Stage(24, 2, (1, 2), kernels=(3, 5), expands=(2, 3), se=True),
        Stage(32, 1, (1, 2), kernels=(3, 5), expands=(2, 3), act="relu"),
    ),
)

# A range of 200 in MACs and many global choices, and yet all 141,120 archs can be looked at.
BROAD = SearchSpace(
    name="broad",
    resolutions=(12, 16, 20, 24, 28),
    widths=(0.25, 0.5, 0.75, 1.0),
    divisor=4,
    in_channels=1,
    num_classes=10,
    stem_width=8,
    stages=(
        Stage(16, 2, (1, 2, 3), kernels=(3, 5), expands=(2, 4)),
        Stage(32, 2, (1, 2, 3), kernels=(3, 5), expands=(2, 4)),
    ),
)


@torch.no_grad()
def make_it_bite(supernet: Supernet, seed: int = 0) -> Supernet:
    """Fresh weights give every image and every subnet the same output; these do not."""
    generator = torch.Generator().manual_seed(seed)
    for module in supernet.modules():
        if isinstance(module, ElasticBatchNorm):
            module.weight.uniform_(0.5, 1.5, generator=generator)
            module.bias.copy_(0.1 * torch.randn(module.bias.shape, generator=generator))
        if isinstance(module, ElasticDepthwise):
            for matrix in module.transforms.values():
                matrix += 0.1 * torch.randn(matrix.shape, generator=generator)
    supernet.classifier.weight *= 10
    return supernet
