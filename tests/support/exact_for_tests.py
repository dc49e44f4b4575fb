"""Small random search problems: a space, all its genes, and tables with many ties or with none."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from labkit.space import SearchSpace, Stage
from labkit.tables.costs import AdditiveTable, MaxTable, block_table_mask, block_table_shape
from labkit.tables.separable import MaxPlusSum, StageTable

EXAMPLES = settings(max_examples=80, deadline=None)


def subset(values):
    return st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True).map(
        lambda v: tuple(sorted(v))
    )


@st.composite
def small_spaces(draw):
    stages = draw(
        st.lists(
            st.builds(
                Stage,
                width=st.just(8),
                stride=st.just(1),
                depths=subset([1, 2]),
                kernels=subset([3, 5, 7]),
                expands=subset([2, 3]),
            ),
            min_size=1,
            max_size=3,
        )
    )
    return SearchSpace(
        "small",
        draw(subset([16, 24])),
        tuple(stages),
        in_channels=1,
        num_classes=2,
        stem_width=8,
        widths=draw(st.sampled_from([(1.0,), (1.0,), (0.5, 1.0)])),
    )


@st.composite
def problems(draw):
    """A space, all its genes, and a source of tables: small integers (many ties) or floats."""
    space = draw(small_spaces())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ties = draw(st.booleans())

    def numbers(shape):
        return rng.integers(0, 4, shape).astype(float) if ties else rng.normal(5, 1, shape)

    return space, space.encode(list(space.enumerate())), rng, numbers


def arena(space, base, blocks):
    """A maximum of the same numbers plus a sum of half of them: as on a microcontroller."""
    return MaxPlusSum(MaxTable(space, base, blocks), AdditiveTable(space, base / 2, blocks / 2))


KINDS = [AdditiveTable, MaxTable, arena]


def block_table(kind, space, numbers):
    blocks = np.where(block_table_mask(space), numbers(block_table_shape(space)), np.nan)
    return kind(space, numbers(len(space.global_choices)), blocks)


def stage_table(space, numbers, link=None):
    return StageTable(
        space,
        numbers(len(space.global_choices)),
        [numbers((len(space.global_choices), size)) for size in space.stage_sizes],
        link,
    )
