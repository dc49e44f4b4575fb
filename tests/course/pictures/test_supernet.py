"""Pictures of a supernet: what is drawn of archs of several widths."""

from dataclasses import replace

import pytest
from matplotlib.figure import Figure
from spaces_for_tests import WIDE

from labkit.course.pictures.supernet import (
    LABEL_HEIGHT,
    draw_blocks,
    draw_outlines,
    lit_supernet,
    size_text,
)


@pytest.mark.parametrize("width", WIDE.widths)
def test_a_block_is_as_high_as_its_share_of_the_channels(width):
    panel = Figure().subplots()
    draw_outlines(panel, WIDE)
    outlines = len(panel.patches)
    arch = replace(WIDE.smallest(), width=width)
    draw_blocks(panel, WIDE, arch)
    heights = [patch.get_height() for patch in panel.patches[outlines:]]
    assert heights == [width * expand for blocks in arch.stages for _, expand in blocks]
    labels = [text for text in panel.texts if "×" in text.get_text()]
    assert [text.get_text() for text in labels] == ["3×3", "3×3"]
    for text, height in zip(labels, heights):  # inside its block, or above it
        assert (text.get_position()[1] > height / 2) == (height < LABEL_HEIGHT)


def test_titles_say_the_width_of_an_arch_where_it_is_not_the_largest():
    figure = lit_supernet(WIDE, {"a": WIDE.largest(), "b": WIDE.smallest()})
    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert titles == ["a: 16 px, 4 blocks", "b: 12 px, 0.5 × width, 2 blocks"]
    assert "× width" in figure.axes[0].get_ylabel()
    one_width = replace(WIDE, widths=(1.0,))
    assert "width" not in lit_supernet(one_width, {"a": one_width.largest()}).axes[0].get_ylabel()


def test_one_block_is_not_called_blocks():
    arch = WIDE.smallest()
    assert size_text(replace(arch, stages=arch.stages[:1])).endswith(", 1 block")
