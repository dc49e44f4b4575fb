"""Confinement of one process and all that it starts: what it may see, reach and use up.

On Linux, where namespaces are allowed (they need no root on most systems, and some containers
refuse them), the process gets a file system in memory with the Python installation and a few
folders read-only in it, no network, and a process table of its own, whose first process takes all
others with it when it ends. Elsewhere the limits of `setrlimit` hold, and the process tree is ended
by following parents. `Walls` says which of these hold.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20
NOBODY = 65534
NEW_MOUNTS, NEW_UTS, NEW_IPC, NEW_USER, NEW_PIDS, NEW_NET = (
    0x20000,
    0x4000000,
    0x8000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_REC, MS_PRIVATE, MS_RELATIME = (
    1024,
    2048,
    4096,
    16384,
    1 << 18,
    1 << 21,
)
ST_RELATIME, UMOUNT_DETACH = 4096, 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = (
    1,
    4,
    24,
    36,
    38,
)
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41}
SYSTEM = (
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
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


@dataclass(frozen=True)
class Limits:
    """What one submission may use. Memory is that of one process; `all_memory_mib` that of all
    together.
    """

    cell_s: float = 30.0
    submission_s: float = 300.0
    memory_mib: int = 3072
    all_memory_mib: int = 6144
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


_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _call(name: str, *arguments: object) -> None:
    """A function of the C library; raises OSError where it fails."""
    packed = [os.fsencode(a) if isinstance(a, (str, Path)) else a for a in arguments]
    if getattr(_libc, name)(*packed) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def enter_namespaces() -> Walls:
    """Give this process's future children namespaces of their own. This process itself stays in its
    files.
    """
    if sys.platform != "linux":
        return Walls(False)
    user, group = os.getuid(), os.getgid()
    rest = NEW_NET | NEW_PIDS | NEW_IPC | NEW_UTS
    for flags in ([rest] if user == 0 else []) + [rest | NEW_USER]:
        with suppress(OSError):
            _call("unshare", flags)
            if flags & NEW_USER:
                Path("/proc/self/setgroups").write_text("deny")
                Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
                Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
            return Walls(True)
    _call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    return Walls(False)


def confine(
    walls: Walls, limits: Limits, folder: Path, readable: list[Path], hidden: list[Path]
) -> None:
    """Confine this process, a child of the one that called `enter_namespaces`; `folder` is its
    empty working folder.

    `readable` folders stay where they are, read-only, less what of them is `hidden`. Raises
    OSError.
    """
    os.setsid()
    as_root, threads = os.getuid() == 0, _threads_of_user()
    if walls.namespaces:
        _call("unshare", NEW_MOUNTS)
        _new_root(folder, limits, readable, hidden)
    _set_limits(limits, threads + limits.processes)
    _scrub(folder)
    if as_root and (walls.namespaces or _open_to_all(Path(sys.prefix))):
        os.chown(folder, NOBODY, NOBODY)
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    if sys.platform == "linux":
        _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _drop_capabilities()
        _call(
            "prctl", PR_SET_DUMPABLE, 0, 0, 0, 0
        )  # memory and files of this process are not its kernels' to open
        die_with_parent()
    os.chdir(folder)


def _new_root(folder: Path, limits: Limits, readable: list[Path], hidden: list[Path]) -> None:
    """Replace the file system by one in memory that holds `readable`, a few devices and an empty
    `folder`.
    """
    _call("mount", b"none", "/", None, MS_REC | MS_PRIVATE, None)
    root = folder
    _call(
        "mount",
        b"tmpfs",
        root,
        b"tmpfs",
        MS_NOSUID | MS_NODEV,
        f"size={limits.disk_mib}m,mode=755".encode(),
    )
    for path in [*map(Path, SYSTEM), *readable]:
        _bind(path, root)
    for path in DEVICES:
        target = root / path[1:]
        target.parent.mkdir(exist_ok=True)
        target.touch()
        _call("mount", path, target, None, MS_BIND, None)
    for path in hidden:
        if (root / str(path)[1:]).is_dir():
            _call("mount", b"tmpfs", root / str(path)[1:], b"tmpfs", MS_RDONLY, b"size=4k")
    for name in ("tmp", "dev/shm"):
        (root / name).mkdir(exist_ok=True)
        (root / name).chmod(0o1777)
    (root / str(folder)[1:]).mkdir(parents=True, exist_ok=True)
    (root / "proc").mkdir()
    with suppress(OSError):  # containers that hide parts of /proc do not let it be mounted again
        _call("mount", b"proc", root / "proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None)
    _switch_root(root)


def _bind(path: Path, root: Path) -> None:
    """Make `path` be in `root`, read-only; a link stays a link."""
    target = root / str(path)[1:]
    if not path.exists() or target.exists() or target.is_symlink():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        target.symlink_to(os.readlink(path))
        return
    target.mkdir() if path.is_dir() else target.touch()
    _call("mount", path, target, None, MS_BIND | MS_REC, None)
    held = os.statvfs(path).f_flag  # what the original forbids cannot be allowed again
    flags = held & (MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME)
    flags |= MS_RELATIME if held & ST_RELATIME else 0
    _call("mount", None, target, None, MS_BIND | MS_REMOUNT | MS_RDONLY | flags, None)


def _switch_root(root: Path) -> None:
    os.chdir(root)
    number = PIVOT_ROOT.get(platform.machine())
    if number and _libc.syscall(number, b".", b".") == 0:
        _call("umount2", b".", UMOUNT_DETACH)
    else:
        os.chroot(".")
    os.chdir("/")


def _set_limits(limits: Limits, processes: int) -> None:
    memory = _own_address_space() + limits.memory_mib * MIB
    for name, value in (
        ("RLIMIT_AS", memory),
        ("RLIMIT_FSIZE", limits.disk_mib * MIB),
        ("RLIMIT_CORE", 0),
        ("RLIMIT_CPU", int(limits.submission_s) + 10),
        ("RLIMIT_NOFILE", 1024),
        ("RLIMIT_NPROC", processes),
    ):
        kind = getattr(resource, name, None)
        with suppress(ValueError, OSError):  # a hard limit that is lower already stays
            if kind is not None:
                resource.setrlimit(kind, (value, value))


def _own_address_space() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 4096 * MIB


def _threads_of_user() -> int:
    """Threads that count against this user's limit before the submission starts any."""
    count = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError, KeyError, ValueError):
            fields = dict(
                line.split(":", 1) for line in status.read_text().splitlines() if ":" in line
            )
            count += (
                int(fields["Threads"])
                if int(fields["Uid"].split()[0]) in (os.getuid(), NOBODY)
                else 0
            )
    return count


def _scrub(folder: Path) -> None:
    """An environment without the grader's: only what Python and torch need, and the folder as home."""
    kept = {
        name: os.environ[name]
        for name in ("PATH", "LD_LIBRARY_PATH", "LABKIT_DATA")
        if name in os.environ
    }
    os.environ.clear()
    home = folder / "home"
    home.mkdir(mode=0o777)
    home.chmod(0o777)
    os.environ |= {
        **kept,
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "MPLCONFIGDIR": str(home),
        "IPYTHONDIR": str(home),
        "JUPYTER_RUNTIME_DIR": str(home),
    }
    import tempfile

    tempfile.tempdir = None


def _open_to_all(path: Path) -> bool:
    """Whether another user can get at `path`."""
    return all(one.stat().st_mode & 0o005 == 0o005 for one in [path, *path.parents])


def _drop_capabilities() -> None:
    for capability in range(41):
        with suppress(OSError):
            _call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _call("capset", ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)()))


def die_with_parent() -> None:
    if sys.platform == "linux":
        _call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


# ---- from outside --------------------------------------------------------------------------------


def descendants(pid: int) -> list[int]:
    """Processes below `pid`, by their parents; empty where there is no /proc."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            parents.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(
                int(stat.parent.name)
            )
    found, waiting = [], [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def memory_above(pids: list[int], limit_mib: float) -> bool:
    """Whether processes hold more memory than a limit, pages that several share counted once in
    all.

    That is slow to find out, so it is only asked for where the sum with shared pages counted often
    is too large.
    """
    pages = 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
            pages += int(resident) - int(shared)
    if pages * os.sysconf("SC_PAGE_SIZE") <= limit_mib * MIB:
        return False
    kib = 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            kib += int(Path(f"/proc/{pid}/smaps_rollup").read_text().split("\nPss:")[1].split()[0])
    return kib == 0 or kib / 1024 > limit_mib


def end_all(first: int) -> None:
    """Kill the process `first`, its group and all below this process, until none is left, and reap
    them.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(first, signal.SIGKILL)
    for _ in range(1000):
        for pid in descendants(os.getpid()):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            if os.waitpid(-1, 0)[0] == 0:
                return
        except ChildProcessError:
            return
