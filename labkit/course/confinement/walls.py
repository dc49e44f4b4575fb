"""Confinement of one process and all that it starts: what it may see, reach and use up.

On Linux, where namespaces are allowed (they need no root on most systems, and some containers
refuse them), the process gets a file system in memory with the Python installation and a few
folders read-only in it, no network, and a process table of its own, whose first process takes all
others with it when it ends. Elsewhere the limits of `setrlimit` hold, and the process tree is ended
by following parents. `Walls` says which of these hold.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from labkit.course.confinement import linux
from labkit.course.confinement.process_tree import MIB, die_with_parent

NOBODY = 65534
SYSTEM_PATHS = (
    "/usr",
    "/lib",
    "/lib64",
    "/lib32",
    "/bin",
    "/sbin",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/localtime",
)
DEVICE_FILES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


@dataclass(frozen=True)
class RunLimits:
    """What one submission may use."""

    cell_s: float = 30.0
    submission_s: float = 300.0
    memory_mib: int = 3072  # of one process
    all_memory_mib: int = 6144  # of all its processes together
    disk_mib: int = 256
    processes: int = 256


@dataclass(frozen=True)
class Walls:
    """What keeps a submission in, besides limits of time, memory and processes."""

    namespaces: bool

    def __str__(self) -> str:
        if self.namespaces:
            return (
                "no network; files in memory, nothing of the grader's to see; a process table of"
                " its own"
            )
        return (
            "limits only: this system gave no namespaces, so the network is not cut and files that"
            " this user can read can be read"
        )


def enter_namespaces() -> Walls:
    """Give this process's future children namespaces of their own. This process itself keeps the
    file system that it has.
    """
    if not linux.SUPPORTED:
        return Walls(False)
    user, group = os.getuid(), os.getgid()
    shared = linux.CLONE_NEWNET | linux.CLONE_NEWPID | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
    for flags in ([shared] if user == 0 else []) + [shared | linux.CLONE_NEWUSER]:
        with suppress(OSError):
            linux.call("unshare", flags)
            if flags & linux.CLONE_NEWUSER:
                Path("/proc/self/setgroups").write_text("deny")
                Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
                Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
            return Walls(True)
    linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    return Walls(False)


def confine(
    walls: Walls, limits: RunLimits, folder: Path, readable: list[Path], hidden: list[Path]
) -> None:
    """Confine this process, a child of the one that called `enter_namespaces`; `folder` is its
    empty working folder.

    `readable` folders stay where they are, read-only, except what of them is `hidden`. Raises
    OSError.
    """
    os.setsid()
    as_root, threads = os.getuid() == 0, _threads_of_user()
    if walls.namespaces:
        linux.call("unshare", linux.CLONE_NEWNS)
        _new_root(folder, limits, readable, hidden)
    _set_limits(limits, threads + limits.processes)
    _clean_environment(folder)
    if as_root and (walls.namespaces or _is_open_to_all(Path(sys.prefix))):
        os.chown(folder, NOBODY, NOBODY)
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    if linux.SUPPORTED:
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        linux.drop_capabilities()
        # Its kernels cannot open the memory and the files of this process.
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        die_with_parent()
    os.chdir(folder)


def _new_root(folder: Path, limits: RunLimits, readable: list[Path], hidden: list[Path]) -> None:
    """Replace the file system by one in memory that holds `readable`, a few devices and an empty
    `folder`.
    """
    linux.change_mount("/", linux.MS_REC | linux.MS_PRIVATE)
    root = folder
    options = f"size={limits.disk_mib}m,mode=755"
    linux.mount("tmpfs", root, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, options)
    for path in [*map(Path, SYSTEM_PATHS), *readable]:
        _bind(path, root)
    for path in DEVICE_FILES:
        target = root / path[1:]
        target.parent.mkdir(exist_ok=True)
        target.touch()
        linux.mount(path, target, None, linux.MS_BIND)
    for path in hidden:
        target = root / str(path)[1:]
        if target.is_dir():
            linux.mount("tmpfs", target, "tmpfs", linux.MS_RDONLY, "size=4k")
    for name in ("tmp", "dev/shm"):
        (root / name).mkdir(exist_ok=True)
        (root / name).chmod(0o1777)
    (root / str(folder)[1:]).mkdir(parents=True, exist_ok=True)
    (root / "proc").mkdir()
    with suppress(OSError):  # containers that hide parts of /proc do not let it be mounted again
        flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
        linux.mount("proc", root / "proc", "proc", flags)
    linux.switch_root(root)


def _bind(path: Path, root: Path) -> None:
    """Make `path` be in `root`, read-only; a link stays a link."""
    target = root / str(path)[1:]
    if not path.exists() or target.exists() or target.is_symlink():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        target.symlink_to(os.readlink(path))
        return
    if path.is_dir():
        target.mkdir()
    else:
        target.touch()
    linux.mount(path, target, None, linux.MS_BIND | linux.MS_REC)
    original = os.statvfs(path).f_flag  # what the original forbids cannot be allowed again
    flags = original & (
        linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC | linux.MS_NOATIME | linux.MS_NODIRATIME
    )
    flags |= linux.MS_RELATIME if original & linux.ST_RELATIME else 0
    linux.change_mount(target, linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY | flags)


def _set_limits(limits: RunLimits, processes: int) -> None:
    values = {
        "RLIMIT_AS": _address_space() + limits.memory_mib * MIB,
        "RLIMIT_FSIZE": limits.disk_mib * MIB,
        "RLIMIT_CORE": 0,
        "RLIMIT_CPU": int(limits.submission_s) + 10,
        "RLIMIT_NOFILE": 1024,
        "RLIMIT_NPROC": processes,
    }
    for name, value in values.items():
        kind = getattr(resource, name, None)
        with suppress(ValueError, OSError):  # a hard limit that is lower already stays
            if kind is not None:
                resource.setrlimit(kind, (value, value))


def _address_space() -> int:
    """Bytes of address space that this process has before the submission uses any."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 4096 * MIB


def _threads_of_user() -> int:
    """Threads that count against this user's limit before the submission starts any."""
    count, users = 0, (os.getuid(), NOBODY)
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError, KeyError, ValueError):
            lines = [line for line in status.read_text().splitlines() if ":" in line]
            fields = dict(line.split(":", 1) for line in lines)
            if int(fields["Uid"].split()[0]) in users:
                count += int(fields["Threads"])
    return count


def _clean_environment(folder: Path) -> None:
    """Leave in the environment only what Python and torch need, with a home inside `folder`."""
    names = ("PATH", "LD_LIBRARY_PATH", "LABKIT_DATA")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    home = folder / "home"
    home.mkdir(mode=0o777)
    home.chmod(0o777)
    homes = ("HOME", "TMPDIR", "MPLCONFIGDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR")
    os.environ.clear()
    os.environ |= environment | {"LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}
    os.environ |= dict.fromkeys(homes, str(home))
    tempfile.tempdir = None  # the folder that was right before


def _is_open_to_all(path: Path) -> bool:
    """Whether another user can read `path`."""
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in [path, *path.parents])
