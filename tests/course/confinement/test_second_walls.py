"""Landlock and the filter of system calls, each alone, in a process of its own."""

import json
import subprocess
import sys

import pytest

from labkit.course.checking.stripped_copy import PACKAGE
from labkit.course.confinement import landlock
from labkit.course.confinement.system_calls import call_filter

LINUX = sys.platform == "linux"

REPORT = """
import ctypes, errno, json, os, socket, subprocess, sys, threading
from pathlib import Path
from labkit.course.confinement import landlock, linux
from labkit.course.confinement.system_calls import give_up_system_calls
libc = ctypes.CDLL(None, use_errno=True)
linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
def raw(name, *arguments):
    ctypes.set_errno(0)
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)
def outcome(work):
    try:
        work()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
"""
CALLS = (
    REPORT
    + """
import fcntl, tempfile
file = tempfile.NamedTemporaryFile()
other = open(file.name)
fcntl.flock(other, fcntl.LOCK_EX)
give_up_system_calls()
KEYCTL, ADD_KEY, IO_URING, BPF, USERFAULT, PERF = 250, 248, 425, 321, 323, 298
attempts = {
    "keyctl": lambda: raw("syscall", KEYCTL, 0, -5, 0),
    "add_key": lambda: raw("syscall", ADD_KEY, b"user", b"a", b"b", 1, -5),
    "io_uring": lambda: raw("syscall", IO_URING, 8, None),
    "bpf": lambda: raw("syscall", BPF, 0, None, 0),
    "userfaultfd": lambda: raw("syscall", USERFAULT, 0),
    "perf_event_open": lambda: raw("syscall", PERF, None, 0, -1, -1, 0),
    "unshare": lambda: raw("unshare", 0x10000000),
    "clone into a namespace": lambda: raw("syscall", 56, 0x10000000 | 17, 0, 0, 0, 0),
    "mount": lambda: raw("mount", b"x", b"/tmp", b"tmpfs", 0, None),
    "ptrace": lambda: raw("ptrace", 16, os.getppid(), None, None),
    "memfd": lambda: os.memfd_create("x"),
    "System V memory": lambda: raw("shmget", 0, 4096, 0o1600),
    "System V messages": lambda: raw("msgget", 0, 0o1600),
    "message queues": lambda: raw("mq_open", b"/x", os.O_CREAT | os.O_RDWR, 0o600, None),
    "asking for locks": lambda: fcntl.fcntl(file, fcntl.F_GETLK, bytes(32)),
    "leases": lambda: fcntl.fcntl(file, 1024, fcntl.F_RDLCK),
    "notifications": lambda: raw("inotify_init"),
    "larger pipes": lambda: fcntl.fcntl(os.pipe()[1], 1031, 2**20),
    "network": socket.socket,
    "kernel's cryptography": lambda: socket.socket(38),
    "virtual machines' sockets": lambda: socket.socket(40),
}
needs = {
    "threads": lambda: (t := threading.Thread(target=int)).start() or t.join(),
    "processes": lambda: subprocess.run(["true"], check=True),
    "sockets in files": lambda: socket.socketpair(),
    "a lock that somebody has": lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB),
    "locks of records": lambda: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB),
    "copies of descriptors": lambda: fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 0),
}
parts = [{name: outcome(work) for name, work in part.items()} for part in (attempts, needs)]
print(json.dumps(parts))
"""
)
FILES = (
    REPORT
    + """
readable, listed, hidden, writable = map(Path, sys.argv[1:5])
parent = os.getppid()
landlock.give_up_files([readable, Path("/usr"), Path("/lib")], [listed], [writable])
attempts = {
    "read": lambda: (readable / "file").read_text(),
    "list": lambda: os.listdir(listed),
    "write below what may be written": lambda: (writable / "new").write_text("x"),
    "read what is only listed": lambda: (listed / "file").read_text(),
    "read what is hidden": lambda: (hidden / "file").read_text(),
    "write what may be read": lambda: (readable / "file").write_text("y"),
    "write what is hidden": lambda: (hidden / "file").write_text("y"),
    "add to what is hidden": lambda: (hidden / "new").write_text("y"),
    "rename what is hidden": lambda: (hidden / "file").rename(writable / "stolen"),
    "link what is hidden": lambda: os.link(hidden / "file", writable / "linked"),
    "remove what is hidden": lambda: (hidden / "file").unlink(),
    "truncate what is hidden": lambda: os.truncate(hidden / "file", 0),
    "memory of the process before": lambda: open(f"/proc/{parent}/mem"),
}
print(json.dumps({name: outcome(work) for name, work in attempts.items()}))
"""
)


def outcomes(script, *arguments):
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(not LINUX or call_filter() is None, reason="libseccomp is not installed")
def test_system_calls_that_no_answer_needs_fail_as_if_they_were_not_there():
    attempts, needs = outcomes(CALLS)
    assert set(attempts.values()) <= {"ENOSYS"}, attempts
    assert set(needs.values()) == {"done"}, needs


@pytest.mark.skipif(landlock.version() == 0, reason="this system has no Landlock")
def test_landlock_alone_keeps_files_closed(tmp_path):
    folders = [tmp_path / name for name in ("readable", "listed", "hidden", "writable")]
    for folder in folders:
        folder.mkdir()
        (folder / "file").write_text("x")
    result = outcomes(FILES, *folders)
    for name in ("read", "list", "write below what may be written"):
        assert result.pop(name) == "done", name
    assert set(result.values()) <= {"EACCES", "EXDEV"}, result
    assert (tmp_path / "hidden" / "file").read_text() == "x"
    assert not (tmp_path / "writable" / "stolen").exists()
