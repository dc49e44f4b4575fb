import tomllib

import pytest
from hypothesis import given, settings
from spaces_for_tests import WIDE, small_spaces

from labkit.adopt.space_template import space_toml, write_space
from labkit.space.definition import SpaceError
from labkit.space.presets import FMNIST, get_space, spaces
from labkit.space.space_file import read_space


@settings(max_examples=20, deadline=None)
@given(space=small_spaces)
def test_a_written_space_is_read_as_it_is(space, tmp_path_factory):
    path = tmp_path_factory.mktemp("space") / "small.toml"
    write_space(path, space)
    assert read_space(path) == space


@pytest.mark.parametrize("space", [*spaces.values(), WIDE], ids=lambda space: space.name)
def test_shipped_spaces_survive(space, tmp_path):
    write_space(tmp_path / "my.toml", space)
    assert get_space(str(tmp_path / "my.toml")) == space


def test_every_field_is_explained():
    text = space_toml(FMNIST)
    for name in tomllib.loads(text):
        before = text[: text.index(f"\n{name} = " if name != "stages" else "[[stages]]")]
        assert "# " in before.rpartition("\n\n")[2] or before.rstrip().endswith(".")
    assert "# first_width = 16" in text  # what is left out is shown


def test_what_was_edited_is_not_written_over(tmp_path):
    path = tmp_path / "my.toml"
    write_space(path, FMNIST)
    before = path.read_text()
    with pytest.raises(SpaceError, match="my.toml exists; choose another name"):
        write_space(path, WIDE)
    assert path.read_text() == before
    with pytest.raises(SpaceError, match="a space is a .toml file, got .*my.json"):
        write_space(tmp_path / "my.json", FMNIST)
