"""Confinement of one process and all that it starts: what it may see, reach and use up.

Namespaces are the first wall: a file system in memory with Python's files read-only in it, no
network, and a process table of its own, whose first process takes all others with it when it ends.
Behind them stand three that need no namespace: Landlock keeps files closed, a filter of system
calls keeps out what an answer never needs, and the process runs as a user of its own where the
grader is root. `Walls` says which of them are up on this system.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from labkit.course.confinement import landlock, linux
from labkit.course.confinement.file_view import DEVICES, FileView, enter_view, rules_of
from labkit.course.confinement.limits import RunLimits, limit_this_process
from labkit.course.confinement.process_tree import die_with_parent
from labkit.course.confinement.system_calls import call_filter, give_up_system_calls

# User ids that no system assigns (systemd lists who uses which); a process adds its own id to it.
FIRST_USER = 0x70000000


@dataclass(frozen=True)
class Walls:
    """What keeps a run in, besides limits of time, memory and processes."""

    namespaces: bool  # files, network and processes of its own
    user: bool  # a user id of its own
    landlock: int  # version; 0 for none
    system_calls: bool  # a filter of them
    leaks: tuple[str, ...] = ()  # what a process that looked around could reach all the same

    @property
    def closed(self) -> bool:
        """Whether they are enough for code that means harm."""
        return self.namespaces and self.system_calls and not self.leaks

    def lines(self) -> list[str]:
        """What is up and what is not, a line each."""
        rows = [
            (
                self.namespaces,
                "namespaces: no network, files in memory, nothing of the grader's to see, a process"
                " table of its own",
                "namespaces: this system refuses them, so the network is not cut and processes of"
                " this user can be reached",
            ),
            (
                self.system_calls,
                "system calls: only what Python, torch and a kernel need",
                "system calls: not filtered, for libseccomp or pyseccomp is not installed",
            ),
            (
                bool(self.landlock),
                f"Landlock, version {self.landlock}: files that are not named stay closed",
                "Landlock: this system has none",
            ),
            (
                self.user,
                "user: each run has an id of its own",
                "user: the grader's own, for only root can give another",
            ),
        ]
        lines = [f"{'up  ' if up else 'DOWN'}  {yes if up else no}" for up, yes, no in rows]
        return [*lines, *(f"OPEN  {leak}" for leak in self.leaks)]

    def __str__(self) -> str:
        names = ("namespaces", "system_calls", "landlock", "user")
        up = [name.replace("_", " ") for name in names if getattr(self, name)]
        return f"{', '.join(up)} up" if up else "limits only"


def walls_here(namespaces: bool) -> Walls:
    """The walls that a run gets on this system; whether it has namespaces has to be tried out."""
    return Walls(
        namespaces,
        linux.SUPPORTED and os.getuid() == 0,
        landlock.version(),
        linux.SUPPORTED and call_filter() is not None,
    )


def enter_namespaces() -> None:
    """Give this process's future children namespaces of their own. This process itself keeps the
    file system that it has. Raises OSError where the system refuses.
    """
    user, group = os.getuid(), os.getgid()
    flags = linux.CLONE_NEWNET | linux.CLONE_NEWPID | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
    if user == 0:
        with suppress(OSError):  # root in a container may lack the privilege
            linux.call("unshare", flags)
            return
    linux.call("unshare", flags | linux.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def confine(walls: Walls, limits: RunLimits, folder: Path, view: FileView, number: int) -> None:
    """Confine this process; `folder` is its empty working folder.

    Where there are namespaces, the parent has called `enter_namespaces`. `number` is no other run's
    at this time, and decides on the user id. Raises OSError where one of `walls` cannot be put up.
    """
    os.setsid()
    if linux.SUPPORTED:  # who is short of memory ends a run, not the grader
        Path("/proc/self/oom_score_adj").write_text("1000")
    user = _user_id(number) if walls.user else None
    if walls.namespaces:
        linux.call("unshare", linux.CLONE_NEWNS)
        enter_view(view, folder, limits)
    limit_this_process(limits)
    _clean_environment(folder)
    if user is not None:
        for path in (folder, folder / "home"):
            os.chown(path, user, user)
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    if linux.SUPPORTED:
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        linux.drop_capabilities()
        # Its kernels cannot open the memory and the files of this process. Theirs may be looked at
        # by a grader that is no root: which pages they share has to be known.
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        os.register_at_fork(after_in_child=partial(linux.prctl, linux.PR_SET_DUMPABLE, 1))
        die_with_parent()
    os.chdir(folder)
    trees, listed = rules_of(view)
    shared = ("/dev/shm", *DEVICES)
    writable = (*shared, "/tmp", "/dev/pts", "/dev/ptmx") if walls.namespaces else shared
    landlock.give_up_files(trees, listed, [folder, *map(Path, writable)])
    if walls.system_calls:
        give_up_system_calls()


def _user_id(number: int) -> int:
    """A user id that no other run has, of those that this system can tell apart."""
    ranges = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    first, _, count = max((list(map(int, fields)) for fields in ranges), key=lambda row: row[2])
    if first <= FIRST_USER and FIRST_USER + number < first + count:
        return FIRST_USER + number
    return first + count - 1 - number % (count // 2)  # in a container that has few ids


def _clean_environment(folder: Path) -> None:
    """Leave in the environment only what Python and torch need, with a home inside `folder`."""
    names = ("LD_LIBRARY_PATH", "LABKIT_DATA")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment["PATH"] = os.pathsep.join([os.path.join(sys.prefix, "bin"), os.defpath])
    home = folder / "home"
    home.mkdir()
    homes = ("HOME", "TMPDIR", "MPLCONFIGDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR")
    os.environ.clear()
    os.environ |= environment | {"LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}
    os.environ |= dict.fromkeys(homes, str(home))
    tempfile.tempdir = None  # the folder that was right before
