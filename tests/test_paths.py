import errno
import os
from pathlib import Path

import pytest

from labkit.errors import LabError
from labkit.paths import cache_dir, data_dir, write_atomic


def test_a_data_folder_that_is_not_there_is_an_error_and_not_an_empty_one(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "gone"))
    with pytest.raises(LabError, match="LABKIT_DATA is .*gone.*unset it"):
        data_dir()
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    assert data_dir() == tmp_path


def test_the_cache_of_a_user_without_a_home_can_be_named(monkeypatch, tmp_path):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.delenv("LABKIT_CACHE", raising=False)
    with pytest.raises(LabError, match="set LABKIT_CACHE"):
        cache_dir()
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "table.json"
    write_atomic(path, lambda temporary: temporary.write_text("old"))

    def half(temporary):
        temporary.write_text("ne")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space"):
        write_atomic(path, half)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_named_with_the_way_out(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").write_text("a file where a folder should be")
    (tmp_path / "file").write_text("")
    for path, way_out in ((tmp_path / "cache" / "latency" / "host.json", "set LABKIT_CACHE to a folder"),
                          (tmp_path / "file" / "front.png", "choose a folder")):
        with pytest.raises(OSError, match=f"cannot write {path}: .*{way_out}"):
            write_atomic(path, Path.touch)
