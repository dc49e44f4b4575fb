"""NAS-Bench-201 networks, against published MACs and cells worked out by hand."""

from __future__ import annotations

from collections import Counter

import pytest

from labkit.comparison.nas_bench_201 import edges_of, nas_bench_201
from labkit.comparison.reference_networks import macs_of, operators_of


def cell_kinds(edges, graph):
    """Kinds of the operators of a cell at 32 px, without the stem and the residual blocks'."""
    operators = nas_bench_201(edges, graph)[1:]
    cells = [o for o in operators if o.side == 32 and o.in_channels == 16 and o.stride == 1]
    return {key: n / 5 for key, n in Counter((o.kind, o.out_channels) for o in cells).items()}


@pytest.mark.parametrize("edges, published", [("p,c1,s,c1,s,s", 16.3), ("c3,c3,p,s,c3,s", 114.9)])
def test_macs_match_the_published_ones(edges, published):
    """The benchmark counts a few elementwise operations too, hence the tolerance of 1M."""
    assert macs_of(nas_bench_201(edges, "all")) / 1e6 == pytest.approx(published, abs=1)


def test_an_arch_is_read_as_the_benchmark_writes_it():
    arch = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|none~1|avg_pool_3x3~2|"
    assert edges_of(arch) == "c3,0,s,c1,0,p"


@pytest.mark.parametrize(
    "edges, graph, expected",
    [
        # Node 1 leads nowhere: its convolution is not needed.
        ("c3,s,0,s,0,p", "all", {("dense", 16): 1, ("pool", 16): 1, ("add", 16): 1}),
        ("c3,s,0,s,0,p", "needed", {("pool", 16): 1, ("add", 16): 1}),
        ("c3,s,0,s,0,p", "merged", {("pool", 16): 1, ("add", 16): 1}),
        # Node 1 is zero: a convolution of zeros is needed, and changes nothing.
        ("0,s,c3,0,0,s", "needed", {("dense", 16): 1, ("add", 16): 1}),
        ("0,s,c3,0,0,s", "merged", {}),
        # Three convolutions of one map are one of three times the filters, poolings are equal.
        ("c1,c1,s,c1,s,s", "needed", {("pointwise", 16): 3, ("add", 16): 3}),
        ("c1,c1,s,c1,s,s", "merged", {("pointwise", 48): 1, ("add", 16): 3}),
        ("p,p,0,s,s,s", "merged", {("pool", 16): 1, ("add", 16): 2}),
        # A skip alone is its map: both convolutions read the cell's input.
        ("s,0,c3,c3,0,s", "merged", {("dense", 32): 1, ("add", 16): 1}),
    ],
)
def test_what_a_runtime_executes_of_a_cell(edges, graph, expected):
    assert cell_kinds(edges, graph) == expected


def test_nothing_is_executed_where_the_output_does_not_depend_on_the_image():
    assert [o.kind for o in nas_bench_201("c3,c3,c3,0,0,0", "needed")] == ["pool", "linear"]
    assert len(nas_bench_201("c3,c3,c3,0,0,0", "all")) > 40


def test_the_shortcut_that_halves_a_map_averages_four_pixels_and_then_mixes_channels():
    """Dong and Yang's residual block, unlike that of ResNet-8, whose convolution skips pixels."""
    pools = [o for o in nas_bench_201("0,0,0,s,0,0", "all") if (o.kind, o.kernel) == ("pool", 2)]
    assert [(o.in_channels, o.side, o.out_side) for o in pools] == [(16, 32, 16), (32, 16, 8)]
    resnet_8 = operators_of({"network": "mlperf-tiny-ic"})
    assert not any((o.kind, o.kernel) == ("pool", 2) for o in resnet_8)


def test_an_unknown_graph_is_named():
    with pytest.raises(ValueError, match="graph 'pruned'.*all, needed, merged"):
        nas_bench_201("s,s,s,s,s,s", "pruned")
