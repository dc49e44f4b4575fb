"""labkit space: what it writes is what it shows, and what a training takes."""

import json
import sys

import pytest
from pictures_for_tests import write_pictures

from labkit.cli import main
from labkit.space.presets import get_space


def run(capsys, *arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["labkit", "space", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


def test_a_space_is_written_for_images_and_shown(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    write_pictures(tmp_path / "photos", classes=3, per_class=4)
    file = str(tmp_path / "my.toml")
    code, out, _ = run(capsys, "new", file, "--data", str(tmp_path / "photos"), "--side", "32")
    assert code == 0 and "for 12 images in 3 classes" in out
    space = get_space(file)
    assert (space.name, space.num_classes, space.in_channels) == ("my", 3, 3)
    assert space.resolutions[-1] == 32
    code, out, _ = run(capsys, "show", file, "--json")
    shown = json.loads(out)
    assert code == 0 and shown["digest"] == space.digest and shown["subnets"] == space.size()
    picture = tmp_path / "space.png"
    code, out, _ = run(capsys, "show", file, "--picture", str(picture))
    assert code == 0 and picture.read_bytes().startswith(b"\x89PNG")
    for stage, sides in (("stage 0", "32 -> 16"), ("stage 2", "8 -> 4")):
        assert any(stage in line and sides in line for line in out.splitlines())
    assert "mcu-64k" in out and "3 classes" in out
    code, out, err = run(capsys, "new", file)
    assert code == 2 and "exists; choose another name" in err and err.count("\n") == 1


def test_a_space_may_begin_with_another_or_a_known_data_set(capsys, tmp_path):
    file = str(tmp_path / "like.toml")
    assert run(capsys, "new", file, "--like", "ofa-mbv3")[0] == 0
    assert get_space(file).stages == get_space("ofa-mbv3").stages
    file = str(tmp_path / "clothes.toml")
    code, out, _ = run(capsys, "new", file, "--data", "fashion-mnist")
    assert code == 0 and "70000 images in 10 classes" in out
    space = get_space(file)
    assert (space.in_channels, space.num_classes, space.resolutions[-1]) == (1, 10, 28)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["new", "my.json"], "a space is a .toml file, got 'my.json'"),
        (["new", "my space.toml"], "my space.toml: field name: want 1 to 60 letters"),
        (["new", "my.toml", "--data", "gone"], "unknown data set 'gone'"),
        (["new", "my.toml", "--like", "fmnist", "--side", "64"], "--side is for a space that is"),
        (["new", "my.toml", "--like", "fmnist", "--width", "9"], "--width is for a space that is"),
        (["show", "gone.toml"], "gone.toml does not exist; `labkit space new gone.toml`"),
        (["show", "moon"], "unknown space 'moon', known: fmnist"),
    ],
)
def test_what_cannot_be_used_is_one_line(capsys, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert code == 2 and out == "" and message in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())
