import pytest

from labkit.space.definition import SpaceError
from labkit.space.presets import get_space
from labkit.space.space_file import read_space

SMALL = """
name = "small"
resolutions = [12, 16]
in_channels = 3
num_classes = 2
stem_width = 8

[[stages]]
width = 8
stride = 2
depths = [1, 2]
"""


def test_a_file_is_a_space(tmp_path):
    path = tmp_path / "my.toml"
    path.write_text(SMALL)
    space = get_space(str(path))
    assert (space.name, space.resolutions, space.stages[0].depths) == ("small", (12, 16), (1, 2))


def test_a_file_that_is_no_space_is_named(tmp_path):
    path = tmp_path / "my.toml"
    with pytest.raises(SpaceError, match="my.toml does not exist; `labkit space new .*my.toml`"):
        get_space(str(path))
    path.write_text("name = ")
    with pytest.raises(SpaceError, match="my.toml is not a TOML file .Invalid value"):
        read_space(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SpaceError, match="my.toml is not a TOML file"):
        read_space(path)
    path.write_text(SMALL.replace("stem_width = 8", "stem_width = 0"))
    with pytest.raises(SpaceError, match="my.toml: space 'small': stem_width must be"):
        read_space(path)
