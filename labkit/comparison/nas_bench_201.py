"""Networks of NAS-Bench-201, which others have timed by the thousand, as lists of operators.

A cell is six edges between four nodes, in the benchmark's order 01, 02, 12, 03, 13, 23; each is a
convolution 3x3 (c3) or 1x1 (c1), an average pooling 3x3 (p), a skip (s) or nothing (0). Source:
Dong and Yang, arXiv 2001.00326, section 2.1. Edges that add nothing are run by some runtimes and
left out by others, so the network alone does not say what was timed: see `GRAPHS`.
"""

from __future__ import annotations

import re

from labkit.space.operators import Operator, convolution, global_pool, out_side

SOURCES, TARGETS = (0, 0, 1, 0, 1, 2), (1, 2, 2, 3, 3, 3)
EDGES = {
    "nor_conv_3x3": "c3",
    "nor_conv_1x1": "c1",
    "avg_pool_3x3": "p",
    "skip_connect": "s",
    "none": "0",
}
# What a runtime executes of a cell.
GRAPHS = {
    "all": "every edge",
    "needed": "edges that the output depends on, those that compute on zeros among them",
    "merged": "edges that change the output; those of a kind that read one map run as one operator",
}


def edges_of(arch: str) -> str:
    """The edges of an arch as the benchmark writes it.

    >>> edges_of("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|")
    'c3,0,s,0,0,p'
    """
    return ",".join(EDGES[name] for name in re.findall(r"(\w+)~\d", arch))


def nas_bench_201(edges: str, graph: str = "needed") -> list[Operator]:
    """The network on 32x32 images: a stem, three stages of five cells with 16, 32 and 64 channels,
    a residual block before the second and the third, and a classifier of 10 classes.

    `edges` are separated by commas; `graph` is one of `GRAPHS`, ValueError for another.
    """
    if graph not in GRAPHS:
        raise ValueError(f"graph {graph!r} of a network is unknown, known: {', '.join(GRAPHS)}")
    executed = edges.split(",")
    if graph != "all":
        executed = _without_unused(executed, zeros_run=graph == "needed")
        if executed[3:] == ["0", "0", "0"]:  # the output does not depend on the image
            return classifier(64, 8, 10)
    operators, channels, side = [convolution(3, 16, 3, 32)], 16, 32
    for stage in range(3):
        if stage:
            operators += residual(channels, 2 * channels, side, 2, pooled=True)
            channels, side = 2 * channels, side // 2
        operators += 5 * _cell(executed, channels, side, merged=graph == "merged")
    return [*operators, *classifier(channels, side, 10)]


def _without_unused(edges: list[str], *, zeros_run: bool) -> list[str]:
    """The edges with 0 in the place of those that a runtime leaves out."""
    filled, needed = {0}, {3}
    for source, target, edge in zip(SOURCES, TARGETS, edges):
        if edge != "0" and source in filled:
            filled.add(target)
    for source, target, edge in reversed([*zip(SOURCES, TARGETS, edges)]):
        if edge != "0" and target in needed:
            needed.add(source)
    return [
        edge if target in needed and (zeros_run or source in filled) else "0"
        for source, target, edge in zip(SOURCES, TARGETS, edges)
    ]


def _cell(edges: list[str], channels: int, side: int, *, merged: bool) -> list[Operator]:
    arriving = {node: [] for node in range(4)}  # (source, edge) of each node
    for source, target, edge in zip(SOURCES, TARGETS, edges):
        if edge != "0":
            arriving[target].append((source, edge))
    maps = {0: 0}  # node -> the node whose map it holds: a single skip copies nothing
    for node in (1, 2, 3):
        skips = len(arriving[node]) == 1 and arriving[node][0][1] == "s"
        maps[node] = maps[arriving[node][0][0]] if skips else node
    readers: dict[tuple, int] = {}  # (map, edge) -> edges that run as one operator
    for node in (1, 2, 3):
        for source, edge in arriving[node]:
            key = (maps[source], edge) if merged else (source, edge, node)
            readers[key] = readers.get(key, 0) + 1
    operators = [
        _edge_operator(key[1], channels, count, side)
        for key, count in readers.items()
        if key[1] != "s"
    ]
    additions = sum(max(0, len(inputs) - 1) for inputs in arriving.values())
    return operators + additions * [Operator("add", channels, channels, side)]


def _edge_operator(edge: str, channels: int, count: int, side: int) -> Operator:
    """`count` convolutions of one map are a convolution with as many times the filters; poolings
    of one map are the same."""
    if edge == "p":
        return Operator("pool", channels, channels, side, kernel=3)
    return convolution(channels, count * channels, 3 if edge == "c3" else 1, side)


def residual(
    channels: int, out: int, side: int, stride: int, *, pooled: bool = False
) -> list[Operator]:
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where the shape changes; if
    `pooled`, of the means over windows of `stride` pixels.
    """
    small = out_side(side, stride)
    shortcut = []
    if stride > 1 and pooled:
        means = Operator("pool", channels, channels, side, stride, stride)
        shortcut = [means, convolution(channels, out, 1, small)]
    elif stride > 1:
        shortcut = [convolution(channels, out, 1, side, stride)]
    return [
        convolution(channels, out, 3, side, stride),
        convolution(out, out, 3, small),
        *shortcut,
        Operator("add", out, out, small),
    ]


def classifier(channels: int, side: int, classes: int) -> list[Operator]:
    return [global_pool(channels, side), Operator("linear", channels, classes, 1)]
