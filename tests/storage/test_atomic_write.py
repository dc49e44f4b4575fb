import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from labkit.storage.atomic_write import write_atomic, write_folder_atomic, write_json


@pytest.mark.parametrize("write", [write_atomic, write_folder_atomic], ids=lambda f: f.__name__)
def test_a_full_disk_names_the_file_and_leaves_what_was_there(tmp_path, write):
    path = tmp_path / "thing"
    write_atomic(path, lambda temporary: temporary.write_text("old"))

    def half(temporary):
        (temporary / "part" if temporary.is_dir() else temporary).write_text("ne")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(
        OSError, match=f"cannot write {path}: No space left on device; make room there, or choose"
    ) as error:
        write(path, half)
    assert error.value.errno == errno.ENOSPC
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="permissions as on Unix")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_files_have_the_permissions_that_the_user_asked_for(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_json(tmp_path / "grades.json", {})
    finally:
        os.umask(before)
    assert (tmp_path / "grades.json").stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_folder_that_cannot_be_made_is_named_with_the_way_out(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").write_text("a file where a folder should be")
    (tmp_path / "file").write_text("")
    for path, way_out in (
        (tmp_path / "cache" / "latency" / "host.json", "set LABKIT_CACHE to a folder"),
        (tmp_path / "file" / "front.png", "choose a folder"),
    ):
        with pytest.raises(OSError, match=f"cannot write {path}: .*{way_out}"):
            write_atomic(path, Path.touch)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is missing")
@pytest.mark.parametrize(
    "makefile", ["Makefile", "notebooks/instructor/student-repository/Makefile"]
)
def test_an_environment_without_pip_is_made_again(tmp_path, makefile):
    """What Debian leaves behind where python3-venv is missing, and what a run leaves that was
    stopped there.
    """
    shutil.copy(Path(__file__).parents[2] / makefile, tmp_path / "Makefile")
    (tmp_path / "pyproject.toml").write_text("")
    inner, outer = tmp_path / ".venv" / "bin" / "python", tmp_path / "python3"
    inner.parent.mkdir(parents=True)
    inner.write_text("#!/bin/sh\nexit 1\n")
    outer.write_text("#!/bin/sh\nprintf '#!/bin/sh\\nexit 0\\n' >.venv/bin/python\n")
    for program in (inner, outer):
        program.chmod(0o755)
    subprocess.run(
        ["make", "-s", f"PYTHON={outer}", ".venv/.installed"], cwd=tmp_path, check=True, timeout=60
    )
    assert (tmp_path / ".venv" / ".installed").is_file()
