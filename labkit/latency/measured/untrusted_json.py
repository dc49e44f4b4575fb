"""JSON from somebody else's board, or a zip that holds it: read with care, nothing is unpacked.

Its size, the paths in an archive and the JSON's form are checked here; what the values mean is
checked in `labkit.latency.measured.latency_file`.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from labkit.storage.errors import LabError
from labkit.storage.json_fields import parse_json

FILE_BYTES = 20_000_000
UNREADABLE_ZIP = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)


class TableError(LabError):
    """A latency file that cannot be used.

    The message names the file, what is wrong in it and the way out.
    """


def read_json(path: Path) -> dict:
    """The object in `path`, or in the latency.json of a zip; raises TableError."""
    return parse(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """The bytes of latency.json: of the file itself, or of the one inside a zip."""
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise TableError(f"{path} is not a file; pass latency.json, or a zip that holds it")
        size = path.stat().st_size
        if size > FILE_BYTES:
            raise TableError(f"{path} has {size} bytes, a latency file has at most {FILE_BYTES}")
        return _from_zip(path) if zipfile.is_zipfile(path) else path.read_bytes()
    except (*UNREADABLE_ZIP, lzma.LZMAError) as error:
        raise TableError(f"{path} cannot be read: {error}; copy it from the board again") from None


def _from_zip(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        for entry in entries:
            if climbs_out(entry.filename):
                raise TableError(
                    f"{path} holds {entry.filename!r}, a path that climbs out of the archive; "
                    "pass latency.json itself"
                )
        results = [e for e in entries if PurePosixPath(e.filename).name == "latency.json"]
        if len(results) != 1:
            raise TableError(
                f"{path} holds {len(results)} files called latency.json, want one; run the kit on"
                " the board first, it writes that file"
            )
        size = results[0].file_size
        if size > FILE_BYTES:
            raise TableError(
                f"latency.json in {path} has {size} bytes, at most {FILE_BYTES} are read"
            )
        # The size in the archive's directory is a claim: never read more than the limit.
        with archive.open(results[0]) as file:
            return file.read(FILE_BYTES)


def climbs_out(name: str) -> bool:
    """Whether a path in an archive leaves the folder it is unpacked to, on any system.

    >>> climbs_out("kit/latency.json"), climbs_out("kit/../../latency.json")
    (False, True)
    """
    windows = PureWindowsPath(name)
    return bool(name.startswith("/") or windows.drive or windows.root or ".." in windows.parts)


def parse(data: bytes, path: Path) -> dict:
    """The object in strict JSON: no duplicate keys, no NaN or infinity. Raises TableError."""
    value = parse_json(data, path, TableError, "perhaps truncated; copy it from the board again")
    if not isinstance(value, dict):
        raise TableError(f"{path}: a latency file is a JSON object, got {type(value).__name__}")
    return value
