import numpy as np
import pytest
from matplotlib.figure import Figure

from labkit.course.pictures.style import nice_ticks, save_figure


@pytest.mark.parametrize(
    "low, high", [(1.8, 4.7), (0.09, 0.31), (20, 900), (0.5, 5000), (95, 1200)]
)
def test_ticks_are_few_round_and_inside(low, high):
    ticks = nice_ticks(low, high)
    assert 4 <= len(ticks) <= 9 and (np.diff(ticks) > 0).all()
    assert ticks[0] >= 0.95 * low and ticks[-1] <= 1.05 * high
    mantissas = ticks / 10 ** np.floor(np.log10(ticks) + 1e-9)
    assert np.allclose(mantissas * 2, np.round(mantissas * 2))


def test_a_picture_is_where_it_was_asked_for_with_an_ending_or_without(tmp_path):
    for name, magic in (("front", b"\x89PNG"), ("front.png", b"\x89PNG"), ("front.pdf", b"%PDF")):
        save_figure(Figure(), tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(magic)
    assert len(list(tmp_path.iterdir())) == 3  # and nothing beside it
