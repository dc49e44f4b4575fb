"""The official pretrained supernets: where they are published, and how they become ours.

A published checkpoint is a pickle, which can run code when it is opened; it is read once with
torch's restricted unpickler, checked against the space, and written as safetensors, the only form
that the rest of the package opens.
"""

from __future__ import annotations

import hashlib
import re
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from labkit.official import conversion
from labkit.official.download import FetchError, discard, download_any
from labkit.space.presets import get_space
from labkit.storage.paths import cache_dir
from labkit.storage.tensor_file import CheckpointError
from labkit.supernet import weights_file
from labkit.supernet.supernet import Supernet

# The model zoo of the package's release of July 2023, and the address of earlier releases.
SERVERS = (
    "https://raw.githubusercontent.com/han-cai/files/master/ofa/ofa_nets",
    "https://hanlab.mit.edu/files/OnceForAll/ofa_nets",
)


# A number of numpy, such as the best accuracy in the official training's checkpoints, under the
# names that numpy before and since 2.0 pickles it by.
_SCALAR = np.float64(0).__reduce__()[0]
NUMPY_SCALARS = (
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *(type(np.dtype(kind)) for kind in ("f4", "f8", "i8")),
    np.dtype,
)


class Published(NamedTuple):
    """A checkpoint as its authors publish it. They publish no hash of it."""

    space: str
    file: str
    urls: tuple[str, ...]  # tried in this order


PUBLISHED = {
    space: Published(space, file, tuple(f"{server}/{file}" for server in SERVERS))
    for space, file in (
        ("ofa-mbv3", "ofa_mbv3_d234_e346_k357_w1.0"),
        ("ofa-mbv3-w1.2", "ofa_mbv3_d234_e346_k357_w1.2"),
        ("ofa-proxyless-w1.3", "ofa_proxyless_d234_e346_k357_w1.3"),
    )
}


def available() -> list[dict]:
    """For `labkit weights list`, a dict for each checkpoint: name, space, file, urls, path, got.

    `path` is where the converted weights are or will be; `got` is the record of their download
    (url, bytes, sha256, date), None before it.
    """
    rows = []
    for name, published in PUBLISHED.items():
        path = converted_path(published)
        source = weights_file.read_record(path)[1].get("source") if path.is_file() else None
        rows.append({"name": name, **published._asdict(), "path": str(path), "got": source})
    return rows


def fetch(name: str, *, sha256: str | None = None, progress: bool = True) -> Path:
    """For `labkit weights fetch NAME`: the converted weights, downloaded unless they are there.

    `name` is a space or the published file's name. A file of the published name that somebody put
    into the folder is used instead of a download. `sha256` is the hash to insist on, if the caller
    knows it. Raises FetchError if there is no connection, or if the file is not this checkpoint.
    """
    published = find(name)
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise FetchError(f"SHA-256 {sha256!r} is not 64 hexadecimal digits")
    path, sha256 = converted_path(published), (sha256 or "").lower()
    if path.is_file():
        _, record = weights_file.load(path)
        recorded = (record.get("source") or {}).get("sha256", "unknown")
        if sha256 and recorded != sha256:
            raise FetchError(
                f"{path} was made from a file with SHA-256 {recorded}, not {sha256}; remove it to"
                " fetch again"
            )
        return path
    placed, partial = path.with_name(published.file), path.with_name(f"{published.file}.part")
    if placed.is_file():
        try:
            _convert(published, placed, path, str(placed), sha256)
        except FetchError as error:
            raise FetchError(f"{error}; remove {placed}, or put the right file there") from error
        return path
    url = download_any(
        published.urls,
        partial,
        placed,
        title=f"the weights of {published.space!r}",
        command=f"labkit weights fetch {published.space}",
        progress=progress,
    )
    try:
        _convert(published, partial, path, url, sha256)
    except FetchError as error:
        discard(partial)  # the wrong bytes are not to be continued
        raise FetchError(f"{error}; nothing was kept of it") from error
    except BaseException:
        # The download is complete and only its conversion failed: the next `fetch` takes it.
        partial.replace(placed)
        raise
    discard(partial)
    return path


def load(name: str) -> Supernet:
    """The supernet with the weights that `fetch` left here. Touches no network.

    Raises FetchError if they have not been fetched.
    """
    published = find(name)
    path = converted_path(published)
    if not path.is_file():
        raise FetchError(
            f"{path} does not exist; get it with `labkit weights fetch {published.space}`"
        )
    return weights_file.load(path)[0]


def find(name: str) -> Published:
    """The checkpoint of a space or of a published name; FetchError lists them for another."""
    if not isinstance(name, str):  # a SearchSpace would print pages
        raise FetchError(
            f"published weights go by the name of their space, got a {type(name).__name__}; known: "
            f"{', '.join(PUBLISHED)}"
        )
    for published in PUBLISHED.values():
        if name in (published.space, published.file):
            return published
    raise FetchError(f"no published weights are called {name!r}, known: {', '.join(PUBLISHED)}")


def converted_path(published: Published) -> Path:
    return cache_dir() / "supernets" / f"{published.space}.safetensors"


def _convert(
    published: Published, source: Path, target: Path, origin: str, expected_sha256: str
) -> None:
    content = source.read_bytes()
    size, sha256 = len(content), hashlib.sha256(content).hexdigest()
    if expected_sha256 and sha256 != expected_sha256:
        raise FetchError(f"the file from {origin} has SHA-256 {sha256}, want {expected_sha256}")
    supernet = Supernet(get_space(published.space))
    try:
        conversion.load(supernet, read_pickle(source))
    except (CheckpointError, conversion.StateDictError) as error:
        raise FetchError(
            f"the file from {origin} ({size} bytes, SHA-256 {sha256}) is not {published.file}:"
            f" {error}"
        ) from error
    record = {"url": origin, "bytes": size, "sha256": sha256, "date": date.today().isoformat()}
    weights_file.save(target, supernet, {"source": record})


def read_pickle(path: Path) -> dict[str, Tensor]:
    """The state dict in a torch checkpoint, opened without running any code from it.

    Raises CheckpointError where it is missing, incomplete, or holds anything but tensors, numbers
    and plain containers.
    """
    try:
        with torch.serialization.safe_globals(list(NUMPY_SCALARS)):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist; check its name") from None
    except Exception as error:  # noqa: BLE001, whatever a malformed file makes the unpickler raise
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        raise CheckpointError(
            f"{path} is not a whole torch checkpoint of plain tensors ({why})"
        ) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise CheckpointError(f"{path} holds no state dict, but {type(content).__name__}")
    for key, value in state.items():
        is_float = isinstance(value, Tensor) and value.is_floating_point()
        if is_float and not value.isfinite().all():
            raise CheckpointError(f"{path}: {key!r} has values that are not finite")
    return state
