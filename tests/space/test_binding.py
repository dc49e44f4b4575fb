"""What binds files to the space they were made for."""

from dataclasses import replace

import pytest

from labkit.space.binding import file_stem, require_space, space_fields
from labkit.space.presets import FMNIST, spaces


def test_space_digest_tells_versions_apart():
    assert FMNIST.digest == replace(FMNIST).digest
    assert FMNIST.digest != replace(FMNIST, stem_width=24).digest
    assert len({space.digest for space in spaces.values()}) == len(spaces)


def test_the_digest_of_the_shipped_space_never_changes():
    """A contract with every file that was ever made for it."""
    assert file_stem(FMNIST) == "fmnist-977e041ea043"


def test_a_file_of_another_space_or_version_is_an_error_that_names_both():
    require_space(space_fields(FMNIST), "x.npz", FMNIST, ValueError, "make it again")
    other = replace(FMNIST, bn_eps=1e-3)
    for header, made_for in (
        (space_fields(other), rf"'fmnist' \({other.digest[:12]}\)"),
        (space_fields(replace(other, name="mine")), "'mine' "),
        ({"space": "fmnist"}, r"'fmnist' \(without a digest\)"),
        ({}, r"None \(without a digest\)"),
    ):
        with pytest.raises(
            ValueError,
            match=rf"x.npz was made for space {made_for}.*, not for space 'fmnist'"
            rf" \({FMNIST.digest[:12]}\); make it again",
        ):
            require_space(header, "x.npz", FMNIST, ValueError, "make it again")
