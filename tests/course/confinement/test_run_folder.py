"""The folder of a run, and what killed runs left."""

import os
import subprocess
import sys
import tempfile
from shutil import rmtree

from labkit.course.checking.stripped_copy import PACKAGE
from labkit.course.confinement.run_folder import LOCK, make_run_folder

LEAVING = """
import os, signal
from labkit.course.confinement.run_folder import make_run_folder
folder, _ = make_run_folder()
(folder / "copies").mkdir()
print(folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_left_is_removed_and_what_is_in_use_is_not():
    used, lock = make_run_folder()
    command = [sys.executable, "-c", LEAVING]
    done = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    abandoned = done.stdout.strip()
    assert os.path.isdir(abandoned)
    another, other_lock = make_run_folder()
    assert not os.path.exists(abandoned) and used.is_dir() and another != used
    for folder, descriptor in ((used, lock), (another, other_lock)):
        rmtree(folder)
        os.close(descriptor)


def test_links_and_folders_without_a_lock_are_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / LOCK).touch()
    link = tempfile.mktemp(prefix="labkit-run-", dir="/tmp")
    os.symlink(tmp_path / "mine", link)
    unlocked = tempfile.mkdtemp(prefix="labkit-run-", dir="/tmp")
    folder, lock = make_run_folder()
    try:
        assert (tmp_path / "mine" / LOCK).exists() and os.path.isdir(unlocked)
    finally:
        rmtree(folder)
        os.close(lock)
        os.unlink(link)
        os.rmdir(unlocked)
