"""What running answers requires of the machine, looked at before any of it is imported."""

from __future__ import annotations

import os
from importlib.util import find_spec

from labkit.storage.errors import LabError, MissingPackage


def require_packages() -> None:
    """Raise MissingPackage where what runs answers is not installed, LabError where the system
    cannot fork processes.
    """
    for package in ("nbval", "nbformat"):
        if find_spec(package) is None:
            raise MissingPackage(f"checking a notebook needs {package}: pip install nbval nbformat")
    if not hasattr(os, "fork"):
        raise LabError("answers are run by forked processes, which Windows does not have; use WSL")
