import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaces_for_tests import ONE_WIDTH, WIDE, small_spaces

from labkit.space import Arch, Block, SearchSpace, Stage, make_divisible
from labkit.space.presets import get_space, spaces
from labkit.tables.costs import macs_table

SHIPPED = [space for space in spaces.values()]
shipped = pytest.mark.parametrize("space", SHIPPED, ids=lambda s: s.name)


@given(small_spaces)
@settings(max_examples=60, deadline=None)
def test_size_counts_what_enumeration_lists(space):
    archs = list(space.enumerate())
    assert space.size() == len(archs) == len(set(archs))


@given(small_spaces)
@settings(max_examples=30, deadline=None)
def test_one_arch_is_one_row(space):
    archs = list(space.enumerate())
    genes = space.encode(archs)
    assert genes.dtype == np.int8
    assert len(np.unique(genes, axis=0)) == len(archs)
    assert space.decode(genes) == archs
    assert (space.canonical(genes) == genes).all()


@given(small_spaces)
@settings(max_examples=30, deadline=None)
def test_stage_codes_tell_configurations_apart(space):
    archs = list(space.enumerate())
    codes = space.stage_codes(space.encode(archs))
    for s in range(len(space.stages)):
        by_code = {}
        for arch, code in zip(archs, codes[:, s]):
            assert by_code.setdefault(code, arch.stages[s]) == arch.stages[s]
        assert len(by_code) == len(set(by_code.values())) == len(space.stage_configs(s))
        assert set(space.valid_codes(s)) == set(by_code)


def test_shipped_sizes_by_hand():
    assert ONE_WIDTH.size() == 3 * (9 + 81 + 729) * (81 + 729 + 6561) ** 2
    assert WIDE.size() == 2 * 3 * (4 + 16) ** 2
    assert spaces["ofa-mbv3"].size() == 7 * (9**2 + 9**3 + 9**4) ** 5 > 10**19


def test_fmnist_keeps_its_promised_size():
    from labkit.tables.costs import params_table

    space = spaces["fmnist"]
    ends = space.encode([space.smallest(), space.largest()])
    smallest, largest = macs_table(space)(ends)
    assert smallest <= 0.05e6 and 200 * smallest <= largest <= 20e6
    assert params_table(space)(ends)[1] <= 1_000_000


@shipped
def test_sample_draws_each_choice_uniformly(space):
    n = 4000
    archs = space.decode(space.sample(np.random.default_rng(0), n))

    def uniform(counts, options, total):
        assert set(counts) == set(options)
        for count in counts.values():  # five standard deviations of a binomial
            p = 1 / len(options)
            assert abs(count - total * p) <= 5 * math.sqrt(total * p * (1 - p))

    uniform(Counter(a.resolution for a in archs), space.resolutions, n)
    for s, stage in enumerate(space.stages):
        uniform(Counter(len(a.stages[s]) for a in archs), stage.depths, n)
        deepest = [a.stages[s][-1] for a in archs if len(a.stages[s]) == stage.max_depth]
        uniform(Counter(b.kernel for b in deepest), stage.kernels, len(deepest))
        uniform(Counter(b.expand for b in deepest), stage.expands, len(deepest))


@shipped
def test_mutation_rates(space):
    rng = np.random.default_rng(1)
    genes = space.sample(rng, 3000)
    same = space.mutate(rng, genes, rate=0.0, resolution_rate=0.0)
    assert (same == genes).all()
    mutants = space.mutate(rng, genes, rate=0.1, resolution_rate=0.5)
    space.check_genes(mutants)
    # A redrawn gene keeps its value once in as many times as there are choices.
    choices = space.resolutions, space.widths
    before, after = (np.divmod(g[:, 0], len(space.widths)) for g in (genes, mutants))
    for values, old, new in zip(choices, before, after):
        assert abs((old != new).mean() - 0.5 * (1 - 1 / len(values))) < 0.04
    first = space.kernel_columns[0]
    kernels = len(space.stages[0].kernels)
    assert abs((mutants[:, first] != genes[:, first]).mean() - 0.1 * (kernels - 1) / kernels) < 0.03
    everything = space.mutate(rng, genes, rate=1.0, resolution_rate=1.0)
    space.check_genes(everything)


def test_a_block_that_mutation_brings_in_is_drawn():
    space = SearchSpace(
        "deepening", (16,), (Stage(8, 1, (1, 2), kernels=(3, 5), expands=(2, 3)),), 1, 2, 8
    )
    shallow = np.repeat(space.encode([space.smallest()]), 4000, axis=0)
    mutants = space.decode(space.mutate(np.random.default_rng(0), shallow, rate=0.3))
    second = Counter(arch.stages[0][1] for arch in mutants if len(arch.stages[0]) == 2)
    assert len(second) == 4
    assert max(second.values()) < 2 * min(second.values())


@shipped
def test_same_seed_same_archs(space):
    a, b = (space.sample(np.random.default_rng(7), 50) for _ in range(2))
    assert (a == b).all()
    assert (a != space.sample(np.random.default_rng(8), 50)).any()


@shipped
def test_json_round_trip(space):
    for arch in [
        space.smallest(),
        space.largest(),
        *space.decode(space.sample(np.random.default_rng(3), 5)),
    ]:
        assert Arch.from_json(json.dumps(arch.to_json())) == arch


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        st.none() | st.integers(0, 30) | st.sampled_from(("", "28")) | st.just(0.5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(("resolution", "stages", "x")), inner, max_size=3)
        ),
    )
)
def test_json_of_something_else_is_a_value_error(value):
    try:
        arch = Arch.from_json(value)
    except ValueError as error:
        assert "resolution" in str(error) or "JSON" in str(error)
    else:
        assert isinstance(arch.resolution, int)
    with pytest.raises(ValueError, match="not valid JSON"):
        Arch.from_json("[" * 100_000)


def test_a_space_of_lists_is_the_space_of_tuples():
    listed = SearchSpace(
        "s",
        [16, 24],
        [Stage(8, 1, [1, 2], [3, 5], [2, 3])],
        in_channels=1,
        num_classes=2,
        stem_width=8,
    )
    assert listed == SearchSpace(
        "s",
        (16, 24),
        (Stage(8, 1, (1, 2), (3, 5), (2, 3)),),
        in_channels=1,
        num_classes=2,
        stem_width=8,
    )
    assert listed in {listed: None}


def test_errors_name_value_and_way_out():
    space = ONE_WIDTH
    good = space.smallest()
    with pytest.raises(ValueError, match="resolution 32 .* 20, 24, 28"):
        space.encode([Arch(32, good.stages)])
    with pytest.raises(ValueError, match="stage 1, block 0: kernel size 9 .* 3, 5, 7"):
        space.encode([Arch(28, (good.stages[0], (Block(9, 2), Block(3, 2)), good.stages[2]))])
    with pytest.raises(ValueError, match="stage 0: depth 4 .* 1, 2, 3"):
        space.encode([Arch(28, (good.stages[0] * 4, *good.stages[1:]))])
    with pytest.raises(ValueError, match="2 stages, space 'one-width' has 3"):
        space.encode([Arch(28, good.stages[:2])])
    with pytest.raises(ValueError, match="'imagenet', known: fmnist"):
        get_space("imagenet")
    with pytest.raises(ValueError, match="shape"):
        space.decode(np.zeros((1, 3), dtype=np.int8))
    rows = space.encode([good])
    rows[0, 0] = 5
    with pytest.raises(ValueError, match="gene 0 of row 0 is 5, want 0 to 2"):
        space.decode(rows)
    with pytest.raises(ValueError, match="odd"):
        Stage(8, 1, (1,), kernels=(4,))
    with pytest.raises(ValueError, match="ascending"):
        Stage(8, 1, (2, 1))
    with pytest.raises(ValueError, match=r"whole numbers from 1 .* and ascending, got \(0, 16\)"):
        SearchSpace(
            "flat", (0, 16), (Stage(8, 1, (1,)),), in_channels=1, num_classes=2, stem_width=8
        )
    for stride in (2.0, True, 3):
        with pytest.raises(ValueError, match=f"stride {stride}: want 1 to 1,000,000 and 1 or 2"):
            Stage(8, stride, (1,))
    with pytest.raises(ValueError, match=r"stage expands must be whole numbers, got \(2.5, 3\)"):
        Stage(8, 1, (1,), expands=(2.5, 3))


@pytest.mark.parametrize(
    "field, value, message",
    [
        (
            "stem_act",
            "swish",
            "space 'odd': stem_act: unknown activation 'swish', known: relu, relu6, h_swish",
        ),
        ("head_act", "swish", "head_act: unknown activation"),
        ("first_act", None, "first_act: unknown activation None"),
        (
            "stem_width",
            0,
            "space 'odd': stem_width must be a whole number from 1 to 1,.* got 0",
        ),
        ("in_channels", None, "in_channels must be .* got None"),
        ("num_classes", 2.0, "num_classes must be .* got 2.0"),
        ("bn_eps", -1.0, "bn_eps must be a number between 0 and 1, got -1.0"),
        ("bn_eps", True, "bn_eps .* got True"),
        ("final_width", -8, "final_width must be .* got -8"),
        ("stem_stride", 0, "stem_stride must be .* got 0"),
        ("in_channels", 10**400, "in_channels must be a whole number from 1 to 1,000,000"),
        ("resolutions", (12, 2**31), "resolutions must be .* got .*2147483648"),
    ],
)
def test_what_no_network_can_have_is_refused_when_the_space_is_made(field, value, message):
    fields = {"in_channels": 1, "num_classes": 2, "stem_width": np.int64(8), "first_width": None}
    fields |= {"name": "odd", "resolutions": (16,), "stages": (Stage(8, 1, (1,)),)}
    SearchSpace(**fields)
    with pytest.raises(ValueError, match=message):
        SearchSpace(**{**fields, field: value})


@pytest.mark.parametrize(
    "fields, message",
    [
        # Rounded, the stem has as many channels as the fixed block's output at one width only.
        (
            {"stem_width": 16, "first_width": 8, "widths": (0.5, 1.0)},
            "other blocks have a shortcut at width 0.5 than at 1",
        ),
        (
            {"stem_width": 10, "first_width": 7, "divisor": 5, "widths": (0.3, 0.9, 2.5)},
            "other blocks have a shortcut at width 0.3 than at 2.5",
        ),
        (
            {"stem_width": 12, "widths": (0.75, 1.0)},
            r"stem_width is 16 at width 0.75 and 12 at 1, .* multiples of 8 \(divisor\)",
        ),
        (
            {"stem_width": 16, "stages": (Stage(20, 1, (1,)),), "widths": (0.9, 1.0)},
            "the width of stage 0 is 24 at width 0.9 and 20 at 1",
        ),
    ],
)
def test_a_narrow_network_is_part_of_the_widest_one_or_no_space(fields, message):
    common = {"name": "odd", "resolutions": (16,), "in_channels": 1, "num_classes": 2}
    with pytest.raises(ValueError, match=message):
        SearchSpace(**{**common, "stages": (Stage(64, 2, (1,)),), **fields})


def test_the_size_of_tables_counts_resolutions_and_widths():
    stages, common = (Stage(64, 2, (7,)),), {"in_channels": 1, "num_classes": 2, "stem_width": 64}
    assert SearchSpace("deep", (16,), stages, **common).stage_configs(0).shape[0] == 9**7
    many = SearchSpace("deep", (16, 20, 24, 28, 32), stages, **common)
    with pytest.raises(ValueError, match="with 5 resolutions and widths, .* at most 4,000,000"):
        many.stage_configs(0)


def test_choices_have_a_limit():
    with pytest.raises(ValueError, match="stage depths must be ascending, from 1 to 100, got"):
        Stage(8, 1, (1, 2**31))


def test_the_text_of_an_arch_has_all_digits_of_its_width():
    arch = Arch(12, ((Block(3, 2),),), 1 / 3)
    assert Arch.parse(str(arch)) == arch and str(replace(arch, width=2.0)) == "12px x2 k3e2"


@pytest.mark.parametrize("resolutions", [(), (24, 20), (20, 20), (0, 20), (20.5,), (True,)])
def test_resolutions_are_positive_whole_numbers_and_ascend(resolutions):
    with pytest.raises(
        ValueError,
        match="space 'odd': resolutions must be whole numbers from 1 to .* and ascending",
    ):
        SearchSpace(
            "odd", resolutions, (Stage(8, 1, (1,)),), in_channels=1, num_classes=2, stem_width=8
        )


@pytest.mark.parametrize("depth", [8, 21])
def test_a_stage_of_more_configurations_than_memory_holds_is_named(depth):
    """Its archs can be drawn and counted; a table would have a number for each configuration."""
    space = SearchSpace("deep", (16,), (Stage(8, 1, (1,)), Stage(8, 1, (depth,))), 1, 2, 8)
    assert space.decode(space.sample(np.random.default_rng(0), 3)) and space.size() == 9 ** (
        depth + 1
    )
    with pytest.raises(
        ValueError, match=f"stage 1 of space 'deep' has {9**depth:,} configurations; .*make two"
    ):
        macs_table(space)(space.sample(np.random.default_rng(0), 3))


@given(st.integers(1, 5000))
def test_make_divisible_loses_at_most_a_tenth(channels):
    rounded = make_divisible(channels)
    assert rounded % 8 == 0 and rounded >= 0.9 * channels and abs(rounded - channels) <= 8


def test_a_width_scales_every_channel_number():
    narrow = WIDE.at(0.75)
    layers = narrow.stem_width, narrow.first_width, narrow.final_width, narrow.feature_width
    assert layers == (12, 12, 24, 20) and [s.width for s in narrow.stages] == [20, 24]
    assert narrow.widths == (1.0,) and narrow.at(1.0) == narrow
    assert WIDE.at(1.0) == replace(WIDE, widths=(1.0,))
    odd = SearchSpace("odd", (16,), (Stage(10, 1, (1,)),), 1, 2, stem_width=5)
    assert odd.at(1.0) == odd, "what is not scaled is not rounded"
    official = get_space("ofa-mbv3")
    assert replace(official.at(1.2), name="ofa-mbv3-w1.2") == get_space("ofa-mbv3-w1.2")


def test_the_global_choice_is_a_resolution_and_a_width():
    assert WIDE.global_choices[:4] == ((12, 0.5), (12, 0.75), (12, 1.0), (16, 0.5))
    assert WIDE.size() == 6 * WIDE.at(0.5).size() // 2
    assert WIDE.smallest().width == 0.5 and WIDE.largest().width == 1.0
    archs = WIDE.decode(WIDE.sample(np.random.default_rng(0), 6000))
    counts = Counter((arch.resolution, arch.width) for arch in archs)
    assert counts.keys() == set(WIDE.global_choices)
    assert all(abs(count - 1000) < 150 for count in counts.values())
    assert {(a.resolution, a.width) for a in WIDE.enumerate()} == set(WIDE.global_choices)


def test_resolution_and_width_mutate_independently():
    rng = np.random.default_rng(0)
    genes = WIDE.sample(rng, 9000)
    mutants = WIDE.mutate(rng, genes, rate=0.0, resolution_rate=0.4)
    WIDE.check_genes(mutants)
    assert (mutants[:, 1:] == genes[:, 1:]).all()
    before, after = WIDE.decode(genes), WIDE.decode(mutants)
    resolution = np.array([a.resolution != b.resolution for a, b in zip(before, after)])
    width = np.array([a.width != b.width for a, b in zip(before, after)])
    assert abs(resolution.mean() - 0.4 / 2) < 0.02 and abs(width.mean() - 0.4 * 2 / 3) < 0.02
    assert abs((resolution & width).mean() - resolution.mean() * width.mean()) < 0.02


def test_a_width_in_text_and_json_only_where_it_is_not_1():
    arch = replace(WIDE.smallest(), width=0.5)
    assert str(arch) == "12px x0.5 k3e2 | k3e2"
    assert arch.to_json()["width"] == 0.5 and Arch.from_json(json.dumps(arch.to_json())) == arch
    full = replace(arch, width=1.0)
    assert str(full) == "12px k3e2 | k3e2" and full.to_json().keys() == {"resolution", "stages"}
    assert Arch.from_json(full.to_json()) == full
    with pytest.raises(ValueError, match="width 0.6 is not in space 'wide'; .* 0.5, 0.75, 1.0"):
        WIDE.validate(replace(arch, width=0.6))
    for wrong in ("0.5", True, None, 10**400):
        with pytest.raises(ValueError, match="an arch looks like"):
            Arch.from_json({**arch.to_json(), "width": wrong})


@pytest.mark.parametrize("widths", [(), (0.0, 1.0), (1.0, 0.5), (1.0, 1.0), (float("inf"),)])
def test_widths_are_positive_and_ascend(widths):
    with pytest.raises(ValueError, match="space 'wide': widths must be"):
        replace(WIDE, widths=widths)


def test_no_width_makes_or_breaks_a_shortcut():
    """8 and 16 channels are both 8 at half the width, where multiples of 8 are asked for."""
    with pytest.raises(ValueError, match="shortcut at width 0.5 than at 1"):
        SearchSpace("odd", (16,), (Stage(16, 1, (1,)),), 1, 2, 8, widths=(0.5, 1.0))
    SearchSpace("even", (16,), (Stage(16, 1, (1,)),), 1, 2, 8, widths=(0.5, 1.0), divisor=4)


def test_the_digest_of_a_space_of_one_width_is_that_of_before_there_were_widths():
    digest = "24323487c56b3c9bae8ddb98bf3b65297cc1a11f333bd43474d48a3a934d1a66"
    assert replace(ONE_WIDTH, name="fmnist").digest == digest
    others = (replace(WIDE, widths=(1.0,)), replace(WIDE, divisor=2), WIDE)
    assert len({space.digest for space in others}) == 3
