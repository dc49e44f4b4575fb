"""Spaces as plain data: nothing is lost on the way, and what is no space says why."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from spaces_for_tests import WIDE, small_spaces

from labkit.space import SearchSpace, Stage
from labkit.space.definition import SpaceError, definition, space_from
from labkit.space.presets import FMNIST, spaces


@settings(max_examples=30, deadline=None)
@given(space=small_spaces)
def test_json_holds_all_that_a_space_is(space):
    again = space_from(json.loads(json.dumps(definition(space))), "here")
    assert again == space and again.digest == space.digest and hash(again) == hash(space)


@pytest.mark.parametrize("space", [*spaces.values(), WIDE], ids=lambda space: space.name)
def test_shipped_spaces_are_equal_to_their_definitions(space):
    again = space_from(definition(space), "here")
    assert again == space and again.digest == space.digest


def test_a_space_of_other_kinds_of_numbers_is_the_same_one():
    def space(whole, width):
        stage = Stage(whole(8), whole(2), (whole(1), whole(2)), [whole(3)], [whole(2), whole(3)])
        fixed = {"in_channels": whole(3), "num_classes": whole(2), "stem_width": whole(8)}
        resolutions = [whole(16), whole(24)]
        return SearchSpace("mine", resolutions, [stage], **fixed, widths=(width(1), width(2)))

    plain, other = space(int, float), space(np.int64, int)
    assert other == plain and other.digest == plain.digest
    assert json.dumps(definition(other)) == json.dumps(definition(plain))


def test_what_is_left_out_has_its_default():
    small = {
        "name": "mine",
        "resolutions": [16],
        "in_channels": 3,
        "num_classes": 2,
        "stem_width": 8,
        "stages": [{"width": 8, "stride": 2, "depths": [1]}],
        "widths": [1],  # a whole number is a multiplier as well
    }
    space = space_from(small, "here")
    assert (space.stem_stride, space.first_width, space.stages[0].kernels) == (2, None, (3, 5, 7))
    assert space.widths == (1.0,) and isinstance(space.widths[0], float)


FMNIST_DEFINITION = definition(FMNIST)
STAGE = FMNIST_DEFINITION["stages"][0]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"name": "../../etc"}, r"x.toml: field name: want 1 to 60 letters.*got '../../etc'"),
        ({"name": 3}, "field name: want str, got 3"),
        ({"depth": 3}, "field depth: want one of the fields name, resolutions"),
        ({"resolutions": "28"}, "field resolutions: want list, got '28'"),
        ({"resolutions": ["28"]}, "field resolutions: want a list of numbers"),
        ({"resolutions": [28, 24]}, "x.toml: space 'fmnist': resolutions must be .* ascending"),
        ({"resolutions": [28.5]}, "resolutions must be whole numbers from 1 to 1,000,000"),
        ({"stem_width": True}, "field stem_width: want int, got True"),
        ({"stem_width": 0}, "stem_width must be a whole number from 1 to 1,000,000"),
        ({"first_width": "none"}, "field first_width: want int, got 'none'"),
        ({"bn_eps": -1.0}, "field bn_eps: want a positive number"),
        ({"stem_act": "gelu"}, "stem_act: unknown activation 'gelu', known: relu"),
        ({"stages": []}, "space 'fmnist' has no stages"),
        ({"stages": [3]}, r"field stages\[0\]: want an object, got 3"),
        ({"stages": [{**STAGE, "se": 1}]}, r"field stages\[0\].se: want bool, got 1"),
        ({"stages": [{**STAGE, "kernels": [4]}]}, "x.toml: kernel sizes must be odd"),
        ({"stages": [{"width": 8}]}, r"field stages\[0\].stride: want a value, got None"),
    ],
)
def test_what_is_no_space_is_an_error_that_names_field_and_value(change, message):
    with pytest.raises(SpaceError, match=message):
        space_from({**FMNIST_DEFINITION, **change}, "x.toml")


@pytest.mark.parametrize("value", [None, [], "fmnist"])
def test_what_is_no_object(value):
    with pytest.raises(SpaceError, match="x.toml: the file: want an object"):
        space_from(value, "x.toml")
