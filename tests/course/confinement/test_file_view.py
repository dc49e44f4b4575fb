"""The files that a confined process sees."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.course.checking.answer_run import course_view
from labkit.course.checking.stripped_copy import PACKAGE
from labkit.course.confinement.file_view import FileView, python_view, rules_of

HAS_NAMESPACES = sys.platform == "linux" and os.getuid() == 0


def test_the_view_has_python_and_the_data_and_neither_labkit_nor_what_lies_in_a_folder_of_pythons():
    view = course_view()
    site_packages = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    assert view.tree_around(Path(os.__file__)) and view.tree_around(site_packages / "torch")
    for path in (
        PACKAGE / "space" / "stage_codes.py",
        PACKAGE.parent / "notebooks",
        Path(sys.prefix) / "hand-ins" / "anna.ipynb",
        Path(sys.base_prefix) / "hand-ins",
        Path.home() / "hand-ins",
        Path("/etc/passwd"),
        Path("/usr/local/hand-ins"),
    ):
        assert view.tree_around(path) is None, path


def test_packages_of_other_pythons_are_hidden(tmp_path, monkeypatch):
    for name in ("python3.11/site-packages/labkit", "python3/dist-packages/labkit"):
        (tmp_path / "lib" / name).mkdir(parents=True)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    view = python_view()
    for name in ("python3.11/site-packages/labkit", "python3/dist-packages/labkit"):
        assert view.tree_around(tmp_path / "lib" / name) is None
    assert view.tree_around(tmp_path / "lib" / "libx.so") == tmp_path / "lib"


def test_a_wall_that_only_allows_allows_everything_but_what_is_hidden(tmp_path):
    for name in ("packages/labkit", "packages/torch", "data"):
        (tmp_path / name).mkdir(parents=True)
    packages = tmp_path / "packages"
    view = FileView((packages, tmp_path / "data"), (packages / "labkit",))
    trees, listed = rules_of(view)
    assert set(trees) == {Path("/proc"), packages / "torch", tmp_path / "data"}
    assert listed == [packages]


ENTERING = """
import os, sys
from pathlib import Path
from labkit.course.confinement import linux
from labkit.course.confinement.file_view import enter_view, python_view
from labkit.course.confinement.limits import RunLimits
tree, folder = Path(sys.argv[1]), Path(sys.argv[2])
linux.call("unshare", linux.CLONE_NEWNS)
linux.change_mount("/", linux.MS_REC | linux.MS_PRIVATE)
linux.mount("tmpfs", tree / "below", "tmpfs", 0)
(tree / "below" / "file").write_text("x")
enter_view(python_view().with_trees(tree), folder, RunLimits(disk_mib=64, files=500))
def attempt(work):
    try:
        work()
    except OSError as error:
        return error.strerror
    return "done"
def fill():
    for number in range(1000):
        (folder / str(number)).touch()
print(attempt((tree / "file").read_text))
print(attempt((tree / "below" / "file").read_text))
print(attempt(lambda: (tree / "file").write_text("y")))
print(attempt(lambda: (tree / "below" / "file").write_text("y")))
print(attempt(fill))
print(sorted(set(os.listdir("/")) - {"usr", "lib", "lib32", "lib64", "bin", "sbin", "etc", "dev"}))
"""


@pytest.mark.skipif(not HAS_NAMESPACES, reason="only root may mount here")
def test_what_is_mounted_below_a_tree_is_read_only_too_and_files_are_counted(tmp_path):
    tree, folder = tmp_path / "tree", tmp_path / "run"
    (tree / "below").mkdir(parents=True)
    (tree / "file").write_text("x")
    folder.mkdir()
    (tmp_path / "secret").write_text("x")
    command = [sys.executable, "-c", ENTERING, str(tree), str(folder)]
    done = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    refused = ["Read-only file system"] * 2 + ["No space left on device"]
    assert lines[:5] == ["done", "done", *refused], done.stderr
    assert not {"home", "var", "opt", "mnt"} & set(lines[5])
    assert (tree / "file").read_text() == "x"
