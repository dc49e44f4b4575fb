"""Tables of latencies in the form of the Once-for-All authors, and of others who follow them.

A table is a YAML file of keys with a mean in milliseconds below each, or a folder of such files:

    expanded_conv-input:80x80x24-output:40x40x32-expand:72-kernel:3-stride:2-idskip:0-se:0-hs:0:
      mean: 0.93

There are two dialects. In one a block says how many channels it expands to and whether its
activation is h-swish, in the other its expand ratio and no activation; the layers of stems and
heads have other names, and one dialect has no pooling. Both list the layers of a stem and of a head
one by one, which here are one block each.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

from labkit.latency.measured.blocks import TimedBlock, part_with_times, timed_blocks
from labkit.latency.measured.untrusted_json import FILE_BYTES, TableError, read_bytes
from labkit.space import BlockShape, SearchSpace
from labkit.space.operators import out_side
from labkit.storage.json_fields import number_in

KEY, FIELD = re.compile(r"(\S+):"), re.compile(r" +(\w+): +(\S+)")


class Dialect(NamedTuple):
    """How the layers of a table are called; None where it has no such layer."""

    stem: str
    block: str
    final: str
    pool: str | None
    feature: str
    classifier: str
    counts_channels: bool  # an expansion by its channels; else by its ratio, and no activation


CHANNELS = Dialect(
    "Conv", "expanded_conv", "Conv_1", "AvgPool2D", "Conv_2", "Logits-input:1x1x", True
)
RATIOS = Dialect(
    "first_conv",
    "MBConv",
    "final_expand_layer",
    None,
    "feature_mix_layer",
    "classifier-input:",
    False,
)
DIALECTS = CHANNELS, RATIOS


def read_ofa(path: Path, space: SearchSpace) -> dict[str, float]:
    """Milliseconds by key of those blocks of `space` that are in a table, or in a folder of tables.

    What the table has beyond the space is passed over. Raises TableError that names the file, and
    the line or the layer.
    """
    means = _read_means(Path(path))
    if not means:
        raise TableError(f"{path} has no layer; want a table like those of OFA's authors")
    layers = {
        key: layer_names(space, block, dialect)
        for dialect in DIALECTS
        if any(name.startswith(f"{dialect.block}-") for name in means)
        for key, block in timed_blocks(space).items()
    }
    times = {
        key: sum(means[name] for name in names)
        for key, names in layers.items()
        if all(name in means for name in names)
    }
    if not times:
        example = next(iter(layers.values()), [f"{DIALECTS[0].stem}-input:..."])[0]
        raise TableError(
            f"{path} has no block of space {space.name!r}, whose first layer would be {example!r};"
            f" it has {next(iter(means))!r}. Is it of another width, or another space?"
        )
    blocks = timed_blocks(part_with_times(space, times))
    missing = [name for key in blocks for name in layers[key] if name not in means]
    if missing:
        raise TableError(
            f"{path}: {sum(key not in times for key in blocks)} of {len(blocks)} blocks are not"
            f" complete; missing layers: {', '.join(dict.fromkeys(missing[:3]))}"
            + (", ..." if len(missing) > 3 else "")
        )
    return times


def layer_names(space: SearchSpace, block: TimedBlock, dialect: Dialect) -> list[str]:
    """The names under which a table has the layers of a block."""
    if block.kind == "block":
        return [_block_name(block.shape, block.kernel, block.expand, block.side, dialect)]
    space, side = space.at(block.width), block.side
    if block.kind == "stem":
        out = out_side(side, space.stem_stride)
        maps = _maps(side, space.in_channels, out, space.stem_width)
        names = [f"{dialect.stem}-{maps}"]
        if space.fixed_block is not None:
            names.append(_block_name(space.fixed_block, 3, 1, out, dialect))
        return names
    width, names = space.blocks[-1].out_channels, []
    if space.final_width is not None:
        names.append(f"{dialect.final}-{_maps(side, width, side, space.final_width)}")
        width = space.final_width
    if dialect.pool is not None:
        names.append(f"{dialect.pool}-{_maps(side, width, 1, width)}")
    if space.feature_width is not None:
        names.append(f"{dialect.feature}-{_maps(1, width, 1, space.feature_width)}")
        width = space.feature_width
    return [*names, f"{dialect.classifier}{width}-output:{space.num_classes}"]


def _block_name(shape: BlockShape, kernel: int, expand: int, side: int, dialect: Dialect) -> str:
    maps = _maps(side, shape.in_channels, out_side(side, shape.stride), shape.out_channels)
    expansion = shape.in_channels * expand if dialect.counts_channels else expand
    activation = f"-hs:{int(shape.act == 'h_swish')}" if dialect.counts_channels else ""
    return (
        f"{dialect.block}-{maps}-expand:{expansion}-kernel:{kernel}-stride:{shape.stride}"
        f"-idskip:{int(shape.has_shortcut)}-se:{int(shape.se)}{activation}"
    )


def _maps(side: int, channels: int, out: int, out_channels: int) -> str:
    return f"input:{side}x{side}x{channels}-output:{out}x{out}x{out_channels}"


def _read_means(path: Path) -> dict[str, float]:
    """Milliseconds by layer; `path` is a file or a folder of .yaml files.

    A layer that several files have timed, such as a classifier's at each resolution, takes the mean
    of their times. Raises TableError for a folder with the same table twice.
    """
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    if not files:
        raise TableError(f"{path} is a folder without .yaml files")
    size = sum(file.stat().st_size for file in files if file.is_file())
    if size > FILE_BYTES:
        raise TableError(f"{path} has {size} bytes, at most {FILE_BYTES} are read together")
    times: dict[str, list[float]] = {}
    tables: dict[frozenset[str], Path] = {}
    for file in files:
        layers = read_layers(file)
        first = tables.setdefault(frozenset(layers), file)
        if first != file:
            raise TableError(f"{file} has the same layers as {first}; keep one of the two")
        for layer, ms in layers.items():
            times.setdefault(layer, []).append(ms)
    return {layer: sum(each) / len(each) for layer, each in times.items()}


def read_layers(path: Path) -> dict[str, float]:
    """Milliseconds by layer in one file: line by line a key, and fields with a number below it."""
    means: dict[str, float | None] = {}
    layer = None
    for number, line in enumerate(read_bytes(path).decode("utf-8-sig", "replace").splitlines(), 1):
        place, line = f"{path}: line {number}", line.rstrip()
        if heading := KEY.fullmatch(line):
            layer = heading[1]
            if layer in means:
                raise TableError(f"{place}: key {layer!r} occurs twice")
            means[layer] = None
        elif layer is not None and (field := FIELD.fullmatch(line)):
            if field[1] == "mean":
                if means[layer] is not None:
                    raise TableError(f"{place}: {layer!r} has a second mean")
                means[layer] = _milliseconds(field[2], f"{place}: {layer!r}")
        elif line and line != "---" and not line.lstrip().startswith("#"):
            raise TableError(
                f"{place} is {line.strip()[:60]!r}; want a key like 'Conv-input:224x224x3-output:"
                "112x112x16:', or below one a field like '  mean: 1.5'"
            )
    for layer, ms in means.items():
        if ms is None:
            raise TableError(f"{path}: {layer!r} has no field 'mean'")
    return means


def _milliseconds(text: str, place: str) -> float:
    try:
        value = number_in(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise TableError(f"{place}: want milliseconds, got {text[:40]!r}")
    return value
