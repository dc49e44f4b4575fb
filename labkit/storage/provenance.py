"""How a file came to be: the code revision it was made with, and the SHA-256 of its inputs."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from labkit.storage.paths import PACKAGE


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def provenance(command: str, inputs: Sequence[Path], seed: int) -> dict:
    """Header fields that say how a file was made. `inputs` lie in the same folder as the file."""
    return {
        "command": command,
        "seed": seed,
        "date": date.today().isoformat(),
        "revision": code_revision(),
        "inputs": {path.name: sha256(path) for path in inputs},
    }


def code_revision() -> str:
    """Commit of the checkout that labkit runs from, with "-changed" appended where its code differs
    from that commit; "unknown" outside of a checkout.
    """

    def git(*arguments: str) -> str:
        process = subprocess.run(
            ["git", *arguments], cwd=PACKAGE, check=True, capture_output=True, text=True
        )
        return process.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != PACKAGE.parent:
            # Installed inside another project's repository, whose commits say nothing about labkit.
            return "unknown"
        changes = git("status", "--porcelain", ".")
        return git("rev-parse", "--short=12", "HEAD") + ("-changed" if changes else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
