"""Where labkit's files are: the data that ships with it, and what this machine computes once."""

from __future__ import annotations

import os
from pathlib import Path

from labkit.storage.errors import LabError

PACKAGE = Path(__file__).resolve().parents[1]
DATA_PARTS = ("course", "devices", "fashion-mnist", "latency", "published", "supernets")


def data_dir() -> Path:
    """`LABKIT_DATA` if it is set, else the data in an installed package, else data/ beside it.

    Never the working directory. Raises LabError if the folder is not there, or is of something
    else: without its files much would still work, differently.
    """
    configured = os.environ.get("LABKIT_DATA")
    if configured:
        folder = Path(configured)
        if any((folder / part).is_dir() for part in DATA_PARTS):
            return folder
        fault = f"holds none of {', '.join(DATA_PARTS)}" if folder.is_dir() else "is not a folder"
        raise LabError(
            f"LABKIT_DATA is {configured!r}, which {fault}; unset it, or set it to a copy of"
            " labkit's data/"
        )
    packed, checkout = PACKAGE / "shipped", PACKAGE.parent / "data"  # setup.py packs it
    folder = packed if packed.is_dir() else checkout
    if not folder.is_dir():
        raise LabError(
            f"labkit's data does not exist: neither {packed} nor {checkout} is there; install"
            " labkit again, or set LABKIT_DATA to a copy of the repository's data/"
        )
    return folder


def cache_dir() -> Path:
    """Folder for what this machine computes once: `LABKIT_CACHE`, else ~/.cache/labkit.

    Raises LabError if neither is known, as for a user without a home folder.
    """
    configured = os.environ.get("LABKIT_CACHE")
    try:
        return Path(configured) if configured else Path.home() / ".cache" / "labkit"
    except RuntimeError:
        raise LabError(
            "this user has no home folder for a cache; set LABKIT_CACHE to a folder that can be "
            "written"
        ) from None
