"""The files that a confined process sees: trees named one by one, read-only, in a file system of
its own that is in memory and is gone with the process.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from labkit.course.confinement import linux
from labkit.course.confinement.limits import RunLimits

# What programs need of the system: libraries, commands, fonts and time zones. Nobody's files.
SYSTEM_TREES = (
    *("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/bin", "/usr/sbin"),
    *("/usr/local/lib", "/usr/local/bin", "/lib", "/lib32", "/lib64", "/bin", "/sbin"),
    *("/usr/share/fonts", "/usr/share/terminfo", "/usr/share/zoneinfo", "/etc/localtime"),
    *("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
PACKAGE_FOLDERS = ("site-packages", "dist-packages")
MOUNT_LIMITS = (  # of a mount: what the original forbids cannot be allowed again
    linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC | linux.MS_NOATIME | linux.MS_NODIRATIME
)


@dataclass(frozen=True)
class FileView:
    """Trees of files that a process may read, except what in them is hidden."""

    readable: tuple[Path, ...]
    hidden: tuple[Path, ...] = ()

    def with_trees(self, *paths: Path) -> FileView:
        """The same view with further trees in it."""
        return FileView((*self.readable, *paths), self.hidden)

    def tree_around(self, path: Path) -> Path | None:
        """The tree in which a process would see `path`; None if it would not."""
        path = path.resolve()
        trees = [tree for tree in map(Path.resolve, self.readable) if path.is_relative_to(tree)]
        if any(path.is_relative_to(folder.resolve()) for folder in self.hidden):
            return None
        return trees[0] if trees else None


def python_view(hidden: Iterable[Path] = ()) -> FileView:
    """What this Python needs to run: its library, the packages that it imports, and the system's
    libraries. Other Pythons' packages are hidden, for another labkit may be among them.
    """
    prefixes = {Path(prefix) for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    packages = [Path(path) for path in sys.path if Path(path).name in PACKAGE_FOLDERS]
    trees = [prefix / name for prefix in sorted(prefixes) for name in ("bin", "lib", "lib64")]
    trees += [prefix / "pyvenv.cfg" for prefix in sorted(prefixes)]
    trees += [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
    trees += [*packages, *map(Path, SYSTEM_TREES)]
    trees = [tree for tree in trees if tree.exists()]
    trees = list(dict.fromkeys([*trees, *(tree.resolve() for tree in trees)]))
    used = {folder.resolve() for folder in packages}
    foreign = [
        folder
        for tree in trees
        if tree.is_dir()
        for name in PACKAGE_FOLDERS
        for folder in (*tree.glob(name), *tree.glob(f"python*/{name}"))
        if folder.resolve() not in used
    ]
    return FileView(tuple(trees), (*dict.fromkeys(foreign), *hidden))


def rules_of(view: FileView) -> tuple[list[Path], list[Path]]:
    """`view` for a wall that can only allow: trees that may be read, and folders that may be listed
    because something in them is hidden.
    """
    trees, listed = [], []
    pending = [Path("/proc"), *view.readable]
    while pending:
        path = pending.pop()
        if path in view.hidden:
            continue
        if path.is_dir() and any(folder.is_relative_to(path) for folder in view.hidden):
            listed.append(path)
            with suppress(OSError):
                pending += path.iterdir()
        else:
            trees.append(path)
    return trees, listed


# ---- a file system of its own --------------------------------------------------------------------


def enter_view(view: FileView, folder: Path, limits: RunLimits) -> None:
    """Replace the file system of this process by one in memory that holds the trees of `view`, a
    few devices and an empty `folder`. The process has a mount namespace of its own and may mount.
    """
    linux.change_mount("/", linux.MS_REC | linux.MS_PRIVATE)
    root = folder
    quota = f"size={limits.disk_mib}m,nr_inodes={limits.files},mode=755"
    linux.mount("tmpfs", root, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, quota)
    for path in sorted(view.readable, key=lambda path: len(path.parts)):
        _bind(path, root)
    for path in _mounts_below(root):
        _make_readonly(path)
    for path in view.hidden:
        target = root / str(path)[1:]
        if target.is_dir():
            linux.mount("tmpfs", target, "tmpfs", linux.MS_RDONLY, "size=4k,nr_inodes=2")
    _add_devices(root)
    for name in ("tmp", "dev/shm"):
        (root / name).mkdir(exist_ok=True)
        (root / name).chmod(0o1777)
    (root / str(folder)[1:]).mkdir(parents=True, exist_ok=True)
    (root / "proc").mkdir()
    flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    for options in ("subset=pid", None):  # Linux before 5.8 has no such option
        # Containers that hide parts of /proc do not let it be mounted again.
        with suppress(OSError):
            linux.mount("proc", root / "proc", "proc", flags, options)
            break
    linux.switch_root(root)


def _bind(path: Path, root: Path) -> None:
    """Make `path` be in `root`; a link stays a link."""
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


def _mounts_below(root: Path) -> Iterator[Path]:
    """What is mounted below `root`, also what came along with a tree that it is mounted in."""
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        escaped = line.split()[4]  # a space is \040
        path = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), escaped))
        if path != root and path.is_relative_to(root):
            yield path


def _make_readonly(mounted: Path) -> None:
    original = os.statvfs(mounted).f_flag
    flags = original & MOUNT_LIMITS
    flags |= linux.MS_RELATIME if original & linux.ST_RELATIME else 0
    linux.change_mount(mounted, linux.MS_BIND | linux.MS_REMOUNT | linux.MS_RDONLY | flags)


def _add_devices(root: Path) -> None:
    """Devices that hold nothing, and terminals of this file system's own for commands that ask for
    one.
    """
    for device in DEVICES:
        target = root / device[1:]
        target.parent.mkdir(exist_ok=True)
        target.touch()
        linux.mount(device, target, None, linux.MS_BIND)
    (root / "dev/pts").mkdir()
    flags = linux.MS_NOSUID | linux.MS_NOEXEC
    with suppress(OSError):
        linux.mount("devpts", root / "dev/pts", "devpts", flags, "newinstance,ptmxmode=0666")
        (root / "dev/ptmx").symlink_to("pts/ptmx")
