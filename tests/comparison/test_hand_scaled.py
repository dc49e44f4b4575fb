import numpy as np
import pytest
from spaces_for_tests import WIDE

from labkit.comparison.hand_scaled import hand_scaled, largest_within
from labkit.search import Budget
from labkit.space.presets import MOBILENET_V3, PROXYLESS
from labkit.supernet.subnet import Subnet
from labkit.tables.costs import macs_table, params_table


def test_a_family_is_one_design_at_every_resolution_and_width():
    archs = hand_scaled(WIDE)
    assert [(arch.resolution, arch.width) for arch in archs] == [
        (r, w) for r in (12, 16) for w in (0.5, 0.75, 1.0)
    ]
    for arch in archs:  # depths 1 and 2, ratios 2 and 3: the upper one is the middle of two
        assert [list(map(tuple, blocks)) for blocks in arch.stages] == [[(3, 3)] * 2] * 2
        Subnet(WIDE, arch)  # it can be built
    assert {arch.stages for arch in hand_scaled(MOBILENET_V3)} == {(((3, 4),) * 3,) * 5}


def test_choices_can_be_named_and_must_be_there():
    (arch, *_) = hand_scaled(WIDE, kernel=5, expand=2, depth=1)
    assert arch.stages == (((5, 2),), ((5, 2),))
    with pytest.raises(ValueError, match="kernel size 7 is not in space 'wide'"):
        hand_scaled(WIDE, kernel=7)
    for nothing in ({"kernel": 0}, {"expand": 0}, {"depth": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(nothing))}.* 0 is not in space 'wide'"):
            hand_scaled(WIDE, **nothing)
    with pytest.raises(ValueError, match="stage 0: depth 1 is not in space 'ofa-mbv3'"):
        hand_scaled(MOBILENET_V3, depth=1)
    with pytest.raises(ValueError, match="'ofa-proxyless' have no depth in common"):
        hand_scaled(PROXYLESS)


def test_the_member_of_most_macs_that_meets_every_limit():
    archs = hand_scaled(WIDE)
    genes = WIDE.encode(archs)
    macs, params = macs_table(WIDE)(genes), params_table(WIDE)(genes)
    for macs_limit in (*macs, macs.min() - 1):
        for params_limit in (*params, params.min() - 1):
            limits = [
                Budget(macs_table(WIDE), float(macs_limit)),
                Budget(params_table(WIDE), float(params_limit), "parameters"),
            ]
            fitting = [
                i for i in range(len(archs)) if macs[i] <= macs_limit and params[i] <= params_limit
            ]
            expected = max(fitting, key=lambda i: macs[i]) if fitting else None
            answer = largest_within(WIDE, archs, limits)
            assert answer == (None if expected is None else archs[expected])
    assert largest_within(WIDE, archs, []) == archs[int(np.argmax(macs))]
