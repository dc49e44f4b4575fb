from pathlib import Path

import pytest

from labkit.storage.errors import LabError
from labkit.storage.paths import cache_dir, data_dir


def test_a_data_folder_that_is_not_there_is_an_error_and_not_an_empty_one(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "gone"))
    with pytest.raises(LabError, match="LABKIT_DATA is .*gone.*is not a folder; unset it"):
        data_dir()
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    with pytest.raises(LabError, match="which holds none of course, devices.*unset it"):
        data_dir()
    (tmp_path / "supernets").mkdir()
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
