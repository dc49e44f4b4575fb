"""Pictures of a supernet: what is drawn of archs of several widths."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from spaces_for_tests import WIDE

from labkit.course.pictures.supernet import (
    LABEL_HEIGHT,
    channel_importance,
    draw_blocks,
    draw_outlines,
    lit_supernet,
    shrinking_kernels,
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


def test_beside_a_smaller_kernel_stands_the_center_of_the_largest():
    large = np.arange(2 * 49.0).reshape(2, 7, 7)
    figure = shrinking_kernels([large, np.ones((2, 5, 5)), np.ones((2, 3, 3))])
    drawn = [panel.images[0].get_array() for panel in figure.axes]
    assert [each.shape for each in drawn] == 2 * [(7, 7), (5, 5), (5, 5), (3, 3), (3, 3)]
    assert (drawn[6] == large[1, 1:6, 1:6]).all() and (drawn[3] == large[0, 2:5, 2:5]).all()


def test_a_cut_lies_behind_the_last_channel_that_is_kept():
    figure = channel_importance({"a block": (np.array([3.0, 2.0, 1.0]), {"ratio 1": 2})})
    (panel,) = figure.axes
    assert list(panel.lines[0].get_xdata()) == [1.5, 1.5]
    assert list(panel.patches[0].get_data().values) == [3, 2, 1]
