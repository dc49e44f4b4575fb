"""The files below a path, with zips read as if they were folders.

Nothing is unpacked to disk: of a zip only the notebooks are read, one at a time, so a name in it
cannot lead anywhere. What a student packed may still be hostile: the number of files, their sizes
and how much smaller they are packed are bounded before anything is read. No link is followed.
"""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from labkit.course.checking.submitted_file import MAX_NOTEBOOK_BYTES, NotANotebook, read_notebook

SKIPPED = re.compile(r"^(\.|__MACOSX$|__pycache__$)")
# Some browsers put another suffix behind a notebook's.
NOTEBOOK = re.compile(r"\.ipynb(\.txt|\.json)?$", re.IGNORECASE)
ZIP = re.compile(r"\.zip$", re.IGNORECASE)
ARCHIVE = re.compile(r"\.(rar|7z|tar|tgz|gz|bz2|xz)$", re.IGNORECASE)
LINK = "a link to somewhere else, which is not followed"

MAX_DEPTH = 20  # folders in folders
MAX_FILES = 20_000  # in what one student handed in
MAX_CLASS_FILES = 200_000  # in a zip with the hand-ins of a class
MAX_UNPACKED_BYTES = 256 * 2**20  # of the notebooks and zips in one zip
MAX_RATIO = 200  # of the size of a notebook to its packed size, above a MiB
MAX_ZIPS = 2  # a student's zip, and one in it
DIRECTORY_ENTRY_BYTES = 256  # of one file in a zip's directory, on average at most
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class Entry(NamedTuple):
    """Something below a path: a notebook, a folder, or what is not graded."""

    path: PurePosixPath  # below the path that was given; a zip is a folder in it
    read: Callable[[], bytes] | None = None  # of a notebook; raises NotANotebook
    reason: str = ""  # why it is not graded; empty for notebooks and folders


def is_zip(path: Path) -> bool:
    """Whether a file is named like a zip."""
    return ZIP.search(path.name) is not None and os.path.isfile(path)


def entries_below(path: Path, excluded: set[Path]) -> list[Entry]:
    """What lies below a folder, or in a zip with the hand-ins of a class, in the order of names.

    Paths in `excluded` (resolved) are left out, as if they were not there.
    """
    if is_zip(path):
        opened = partial(open, path, "rb")
        return list(_in_zip(opened, PurePosixPath(), 0, MAX_CLASS_FILES))
    entries = []
    for child in sorted(path.iterdir()):
        if path.resolve() / child.name not in excluded:
            entries += _at_most(MAX_FILES, _on_disk(child, PurePosixPath(child.name)))
    return entries


def file_entry(path: Path) -> Entry:
    """The entry of a single notebook."""
    return Entry(PurePosixPath(path.name), read=partial(read_notebook, path))


def _at_most(count: int, entries: Iterator[Entry]) -> Iterator[Entry]:
    for number, entry in enumerate(entries):
        if number == count:
            top = PurePosixPath(entry.path.parts[0])
            yield Entry(top, reason=f"more than {count:,} files, of which no more were looked at")
            return
        yield entry


def _on_disk(path: Path, place: PurePosixPath) -> Iterator[Entry]:
    """The entries of one file, or of a folder and what is below it."""
    pending = [(path, place)]
    while pending:
        path, place = pending.pop()
        # Not pathlib's, which raises for a path that is too long.
        if os.path.islink(path):
            yield Entry(place, reason=LINK)
        elif SKIPPED.match(path.name):
            yield Entry(place, reason="hidden")
        elif not os.path.isdir(path):
            yield from _file(path, place)
        elif len(place.parts) > MAX_DEPTH:
            yield Entry(place, reason=f"below more than {MAX_DEPTH} folders")
        else:
            yield Entry(place)
            try:
                children = sorted(path.iterdir(), reverse=True)
            except OSError as error:
                yield Entry(place, reason=f"cannot be read: {error.strerror}")
            else:
                pending += [(child, place / child.name) for child in children]


def _file(path: Path, place: PurePosixPath) -> Iterator[Entry]:
    if NOTEBOOK.search(path.name):
        yield Entry(place, read=partial(read_notebook, path))
    elif is_zip(path):
        yield from _in_zip(partial(open, path, "rb"), place, 1, MAX_FILES)
    else:
        yield Entry(place, reason=_no_notebook(path.name))


def _no_notebook(name: str) -> str:
    return "an archive that is not a zip" if ARCHIVE.search(name) else "not a notebook"


# ---- zips ----------------------------------------------------------------------------------------


def _in_zip(
    opened: Callable[[], BinaryIO], place: PurePosixPath, level: int, max_files: int
) -> Iterator[Entry]:
    """The entries of a zip, which `opened` opens anew each time. `level` is 0 for the zip of a
    class, 1 for one that a student handed in.
    """
    if level:
        yield Entry(place)
    try:
        with opened() as file:
            if level and _directory_bytes(file) > max_files * DIRECTORY_ENTRY_BYTES:
                raise zipfile.BadZipFile(f"more than {max_files:,} files, or very long names")
            with zipfile.ZipFile(file) as packed:
                members = packed.infolist()
            if len(members) > max_files:
                raise zipfile.BadZipFile(f"more than {max_files:,} files")
    except (*UNREADABLE, OSError, ValueError) as error:
        yield Entry(place, reason=f"a zip that cannot be read: {error}")
        return
    unpacked_bytes, hidden = 0, set()
    for member in members:
        parts = PurePosixPath(member.filename.replace("\\", "/")).parts
        path = place.joinpath(*parts) if _stays_inside(parts) else place
        skipped = [number for number, part in enumerate(parts) if SKIPPED.match(part)]
        if path == place or len(parts) > MAX_DEPTH:
            yield Entry(place, reason=f"holds {member.filename[:80]!r}, which leads out of it")
        elif skipped:
            hidden.add(place.joinpath(*parts[: skipped[0] + 1]))
        elif member.is_dir():
            yield Entry(path)
        elif stat.S_ISLNK(member.external_attr >> 16):
            yield Entry(path, reason=LINK)
        elif not NOTEBOOK.search(path.name) and not ZIP.search(path.name):
            yield Entry(path, reason=_no_notebook(path.name))
        else:
            unpacked_bytes += member.file_size
            reason = _refusal(member, unpacked_bytes if level else 0)
            read = partial(_read_member, opened, member)
            if reason:
                yield Entry(path, reason=reason)
            elif NOTEBOOK.search(path.name):
                yield Entry(path, read=read)
            elif level == MAX_ZIPS:
                yield Entry(path, reason="a zip in a zip in a zip")
            else:
                yield from _in_zip(lambda read=read: io.BytesIO(read()), path, level + 1, MAX_FILES)
    yield from (Entry(path, reason="hidden") for path in sorted(hidden))


def _stays_inside(parts: tuple[str, ...]) -> bool:
    return bool(parts) and parts[0] != "/" and ".." not in parts and ":" not in parts[0]


def _refusal(member: zipfile.ZipInfo, unpacked_bytes: int) -> str:
    """Why a file in a zip is not read, from what the zip says about it."""
    if member.flag_bits & 1:
        return "encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "packed in a way that is not read; pack it as an ordinary zip"
    if member.file_size > MAX_NOTEBOOK_BYTES:
        return f"{member.file_size / 2**20:.0f} MiB; at most {MAX_NOTEBOOK_BYTES >> 20} are read"
    if member.file_size > max(2**20, MAX_RATIO * member.compress_size):
        return f"unpacks to more than {MAX_RATIO} times its size"
    if unpacked_bytes > MAX_UNPACKED_BYTES:
        return f"with what is before it in the zip, more than {MAX_UNPACKED_BYTES >> 20} MiB"
    return ""


def _read_member(opened: Callable[[], BinaryIO], member: zipfile.ZipInfo) -> bytes:
    """The content of a file in a zip, whatever size the zip says it has; raises NotANotebook."""
    try:
        with opened() as file, zipfile.ZipFile(file) as packed, packed.open(member) as content:
            data = content.read(MAX_NOTEBOOK_BYTES + 1)
    except (*UNREADABLE, OSError, ValueError) as error:
        raise NotANotebook(f"it cannot be unpacked: {error}") from None
    if len(data) > MAX_NOTEBOOK_BYTES:
        raise NotANotebook(f"it unpacks to more than {MAX_NOTEBOOK_BYTES >> 20} MiB")
    return data


def _directory_bytes(file: BinaryIO) -> int:
    """The size of a zip's directory, before it is read into memory as a whole.

    It stands in the record at the zip's end (PKWARE's APPNOTE, 4.3.16).
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 2**16 - 22 - 20))
    tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) < end + 22:
        raise zipfile.BadZipFile("not a zip")
    if tail[max(0, end - 20) : end].startswith(b"PK\x06\x07"):
        raise zipfile.BadZipFile("of the kind for more than 65,535 files or 4 GiB")
    return struct.unpack("<L", tail[end + 12 : end + 16])[0]
