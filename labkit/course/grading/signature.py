"""A signature on what a grading stores, so that the next run believes only what a grading wrote.

The key lies in the home of whoever grades and can be read by that user only. An answer cannot read
it behind any of the walls that keep files closed: namespaces, Landlock, a user of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from functools import cache
from pathlib import Path

KEY_BYTES = 32


def sign(text: str) -> str:
    """The signature of `text` by this user's key."""
    return hmac.new(_key(), text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def is_signed(text: str, signature: object) -> bool:
    """Whether this user's key signed `text`."""
    return isinstance(signature, str) and hmac.compare_digest(
        sign(text).encode(), signature.encode()
    )


def key_path() -> Path:
    """Where the key is: with the other state of this user's programs."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "labkit" / "grading.key"


@cache
def _key() -> bytes:
    """The key, made when there is none; one for this process where none can be stored."""
    path = key_path()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
    with suppress(OSError):
        status, content = path.stat(), path.read_bytes()
        if (
            len(content) == KEY_BYTES
            and status.st_uid == os.getuid()
            and not status.st_mode & 0o077
        ):
            return content
    return secrets.token_bytes(KEY_BYTES)
