"""One file over https, resumed where an earlier attempt stopped.

`torch.hub.download_url_to_file` begins again after a broken connection, has no limit of size and
follows a redirect to plain http. A large checkpoint on a slow line has to be resumed, and a file
without a published hash has to come from where it was asked for.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from tqdm.auto import tqdm

from labkit.storage.errors import LabError

READ_BYTES = 1 << 18  # bytes
# Far above every checkpoint that this package knows; protects the disk.
MAX_DOWNLOAD_BYTES = 1 << 30
TIMEOUT = 30  # seconds without a byte
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class DownloadError(LabError):
    """A download did not succeed."""


class Interrupted(DownloadError):
    """The connection ended before the file did; the next call goes on from there."""


class FetchError(LabError):
    """A published file cannot be had; the message says what to download and where to put it."""


def download_any(
    urls: Sequence[str],
    partial: Path,
    place: Path,
    *,
    title: str,
    command: str,
    max_bytes: int = MAX_DOWNLOAD_BYTES,
    progress: bool = True,
) -> str:
    """Fill `partial` with the file at the first of `urls` that has it; returns that address.

    `title` is what the file is, `command` the user's, and `place` where it takes a file that
    somebody puts there: FetchError says so where no address has the file, or a connection ended.
    """
    failures = []
    for url in urls:
        try:
            download(url, partial, max_bytes=max_bytes, progress=progress)
            return url
        except Interrupted as error:  # another server's copy would start from nothing
            raise FetchError(f"{error}; `{command}` goes on from there") from error
        except DownloadError as error:
            failures.append(f"[{error}]")
    raise FetchError(
        f"cannot download {title}. {' '.join(failures)} On a machine with internet download"
        f" {urls[0]} , put it unchanged at {place} and run `{command}` again"
    )


def download(
    url: str,
    partial: Path,
    *,
    attempts: int = 3,
    max_bytes: int = MAX_DOWNLOAD_BYTES,
    progress: bool = True,
) -> None:
    """Fill `partial` with the file at `url`.

    If `partial` is there from an interrupted attempt and the server still has the same file, only
    the rest is asked for. The server's own name for that version (ETag or modification date) is
    kept in a file beside it meanwhile, so that two versions are never joined. Raises Interrupted
    when the connection ended early `attempts` times, DownloadError when there is no connection, no
    such file or too much of it, OSError that names `partial` if it cannot be written, ValueError
    for an address without https.
    """
    _require_https(url)
    for _ in range(attempts - 1):
        try:
            return _attempt(url, partial, max_bytes, progress)
        except Interrupted:
            continue
    return _attempt(url, partial, max_bytes, progress)


def discard(partial: Path) -> None:
    """Remove an attempt whose bytes turned out to be the wrong ones."""
    partial.unlink(missing_ok=True)
    _version_file(partial).unlink(missing_ok=True)


def _version_file(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.version")


def _attempt(url: str, partial: Path, max_bytes: int, progress: bool) -> None:
    version_file = _version_file(partial)
    size = partial.stat().st_size if partial.is_file() and version_file.is_file() else 0
    response = _open(url, size, version_file)
    if response is None:
        return version_file.unlink()
    with response:
        total = _total_bytes(response, size)
        if total is not None and total > max_bytes:
            raise DownloadError(
                f"{url} has {total} bytes, at most {max_bytes} are expected: not this file"
            )
        partial.parent.mkdir(parents=True, exist_ok=True)
        if response.status != 206:
            # Before the new version's name is there: killed in between, the two would be joined.
            partial.unlink(missing_ok=True)
            size = 0
        _remember_version(response, version_file)
        try:
            size = _receive(response, partial, size, total, max_bytes, progress)
        except OSError as error:  # of the disk: those of the connection have become `Interrupted`
            raise OSError(error.errno, f"cannot write {partial}: {error.strerror}") from error
    if total is not None and size != total:
        raise Interrupted(f"{url}: the connection ended after {size} of {total} bytes")
    version_file.unlink(missing_ok=True)


def _open(url: str, size: int, version_file: Path):
    """The server's response, from byte `size` on if it can; None where nothing comes after that."""
    headers = {"User-Agent": "labkit"}
    if size:
        version = version_file.read_text(encoding="ascii")
        headers.update({"Range": f"bytes={size}-", "If-Range": version})
    request = urllib.request.Request(url, headers=headers)
    try:
        return urllib.request.build_opener(_SecureRedirects).open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if size and error.code == 416:
            return None
        raise DownloadError(f"{url}: HTTP {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:  # no network, no such host, or no answer in HTTP
        raise DownloadError(f"{url}: {getattr(error, 'reason', None) or error}") from error


def _receive(
    response, partial: Path, size: int, total: int | None, max_bytes: int, progress: bool
) -> int:
    """Append the body to `partial`, or start it; return the file's size."""
    units = {"unit": "B", "unit_scale": True, "desc": partial.stem}
    bar = tqdm(total=total, initial=size, disable=not progress, **units)
    with open(partial, "ab" if size else "wb") as file, bar:
        while True:
            try:
                chunk = response.read(READ_BYTES)
            except (OSError, HTTPException) as error:
                raise Interrupted(
                    f"{response.url}: the connection ended after {size} bytes ({error})"
                ) from error
            if not chunk:
                return size
            size += len(chunk)
            if size > max_bytes:
                raise DownloadError(
                    f"{response.url} goes on after {max_bytes} bytes: not this file"
                )
            file.write(chunk)
            bar.update(len(chunk))


def _total_bytes(response, size: int) -> int | None:
    """Size of the complete file, if the server says.

    Raises DownloadError for a part that does not begin at byte `size`.
    """
    if response.status != 206:
        length = response.headers.get("Content-Length", "")
        return int(length) if length.isdigit() else None
    content_range = response.headers.get("Content-Range", "")
    span, _, total = content_range.partition("/")
    if not (span.startswith(f"bytes {size}-") and total.isdigit()):
        raise DownloadError(
            f"{response.url} answered with an unusable range {content_range!r}; remove the partial"
            " file"
        )
    return int(total)


def _remember_version(response, version_file: Path) -> None:
    version = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
    weak = version.startswith("W/")  # a weak ETag does not identify bytes
    if version and version.isascii() and not weak:
        version_file.write_text(version, encoding="ascii")
    else:
        version_file.unlink(missing_ok=True)


def _require_https(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ValueError(f"{url} is not an https address")


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, file, code, message, headers, new_url):
        try:
            _require_https(new_url)
        except ValueError as error:
            raise DownloadError(
                f"{request.full_url} redirects to an address without https: {new_url}"
            ) from error
        return super().redirect_request(request, file, code, message, headers, new_url)
