"""A search space as a TOML file with a comment for each field, for somebody to edit."""

from __future__ import annotations

import json
from pathlib import Path

from labkit.space import SearchSpace
from labkit.space.definition import SpaceError, definition, space_from
from labkit.space.space_file import SUFFIX
from labkit.storage.atomic_write import write_atomic

COMMENTS = {
    "name": "What the space is called; files that are made for it carry this name.",
    "resolutions": "Image sizes in pixels that a subnet may run at, ascending.",
    "widths": "Multipliers of all channel numbers that a subnet may choose, ascending.",
    "divisor": "Channel numbers are multiples of this where a width scales them.",
    "in_channels": "Of the images: 3 for color, 1 for gray.",
    "num_classes": "What the images are told apart by.",
    "stem_width": "The first layer, a 3x3 convolution: its channels, stride and activation.",
    "first_width": "Channels of a fixed block after the stem; leave it out for none.",
    "final_width": "Channels of a layer before pooling; leave it out for none.",
    "feature_width": "Channels of a layer after pooling; leave it out for none.",
    "head_act": "Activation of these last layers.",
    "bn_eps": "Added to the variance in every batch norm.",
}
HEAD = """\
# A search space for labkit: what is fixed in a family of networks, and what a subnet may choose.
#
#     stem -> fixed block (if any) -> stages of inverted residual blocks -> head -> classes
#
# `labkit space show FILE` says how large it is and what its subnets cost. Weights that are trained
# in this space hold a copy of it: edit the file, and it is another space.
# Activations: relu, relu6, h_swish.
"""
STAGES = """
# The stages, in order. The first block of a stage has its stride (1 or 2; 2 halves the map). A
# subnet chooses for each stage a depth (how many blocks), and for each block a kernel size (odd)
# and an expand ratio. se: squeeze-excite. A stage of few, cheap choices where maps are large costs
# little; depth is best spent where they are small.
"""


def space_toml(space: SearchSpace) -> str:
    """A TOML text of `space` with a comment for each field; `read_space` gives an equal space."""
    fields = definition(space)
    stages = fields.pop("stages")
    lines = [HEAD]
    for name, value in fields.items():
        if name in COMMENTS:
            lines.append(f"\n# {COMMENTS[name]}")
        # JSON's numbers, texts, booleans and lists are TOML's as well.
        lines.append(f"# {name} = 16" if value is None else f"{name} = {json.dumps(value)}")
    lines.append(STAGES)
    for stage in stages:
        lines += ["[[stages]]", *(f"{name} = {json.dumps(v)}" for name, v in stage.items()), ""]
    return "\n".join(lines)


def write_space(path: Path | str, space: SearchSpace) -> None:
    """Write the TOML file of `space`; raises SpaceError for another ending or a file that exists.

    What somebody has edited is not written over.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise SpaceError(f"a space is a {SUFFIX} file, got {str(path)!r}; name it like my{SUFFIX}")
    if path.exists():
        raise SpaceError(f"{path} exists; choose another name, or remove it")
    text = space_toml(space_from(definition(space), path))
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
