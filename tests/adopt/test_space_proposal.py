import pytest

from labkit.adopt.space_proposal import propose
from labkit.space.definition import definition, space_from
from labkit.space.network import final_side


@pytest.mark.parametrize("side", [8, 16, 28, 32, 48, 64, 96, 128, 200, 224, 512])
def test_a_proposal_suits_its_images(side):
    space = propose("mine", classes=5, channels=3, side=side)
    assert space_from(definition(space), "here") == space
    assert space.resolutions[-1] == side and (space.num_classes, space.in_channels) == (5, 3)
    assert 2 <= final_side(space, side) <= max(8, side / 64)
    assert space.size() > 10_000
