"""Where labkit's files are: the data that ships with it, and what this machine computes once."""

from __future__ import annotations

import os
from pathlib import Path

from labkit.storage.errors import LabError


def data_dir() -> Path:
    """`LABKIT_DATA` if it is set, else data/ beside the package. Never the working directory.

    Raises LabError if LABKIT_DATA is no folder: without its files much would still work,
    differently.
    """
    configured = os.environ.get("LABKIT_DATA")
    if configured and not os.path.isdir(configured):
        raise LabError(
            f"LABKIT_DATA is {configured!r}, which is not a folder; unset it, or set it to a copy "
            "of labkit's data/"
        )
    return Path(configured) if configured else Path(__file__).resolve().parents[2] / "data"


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
