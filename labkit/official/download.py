"""One file over https, resumed where an earlier attempt stopped."""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from tqdm.auto import tqdm

from labkit.storage.errors import LabError

CHUNK = 1 << 18  # bytes
MAX_BYTES = 1 << 30  # far above every checkpoint that this package knows; protects the disk
TIMEOUT = 30  # seconds without a byte
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class DownloadError(LabError):
    """A download did not succeed."""


class Interrupted(DownloadError):
    """The connection ended before the file did; the next call goes on from there."""


def download(
    url: str, partial: Path, *, attempts: int = 3, max_bytes: int = MAX_BYTES, progress: bool = True
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
    for left in reversed(range(attempts)):
        try:
            return _attempt(url, partial, max_bytes, progress)
        except Interrupted:
            if not left:
                raise


def _attempt(url: str, partial: Path, max_bytes: int, progress: bool) -> None:
    version_file = _version_file(partial)
    have = partial.stat().st_size if partial.is_file() and version_file.is_file() else 0
    headers = {"User-Agent": "labkit"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": version_file.read_text(encoding="ascii")}
    try:
        response = _opener().open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if have and error.code == 416:  # nothing comes after what we have: it was complete
            return version_file.unlink()
        raise DownloadError(f"{url}: HTTP {error.code} {error.reason}") from error
    except (
        OSError,
        HTTPException,
    ) as error:  # no network, no such host, an answer that is not HTTP
        raise DownloadError(f"{url}: {getattr(error, 'reason', None) or error}") from error
    with response:
        total = _total(response, have)
        if response.status != 206:
            have = 0
        if total is not None and total > max_bytes:
            raise DownloadError(
                f"{url} has {total} bytes, at most {max_bytes} are expected: not this file"
            )
        partial.parent.mkdir(parents=True, exist_ok=True)
        if not have:
            partial.unlink(
                missing_ok=True
            )  # before the new version's name is there: killed between, they would join
        _remember_version(response, version_file)
        try:
            have = _receive(response, partial, have, total, max_bytes, progress)
        except OSError as error:  # of the disk: those of the connection have become `Interrupted`
            raise OSError(error.errno, f"cannot write {partial}: {error.strerror}") from error
    if total is not None and have != total:
        raise Interrupted(f"{url}: the connection ended after {have} of {total} bytes")
    version_file.unlink(missing_ok=True)


def _receive(
    response, partial: Path, have: int, total: int | None, max_bytes: int, progress: bool
) -> int:
    """Append the body to `partial`, or start it; return the file's size."""
    bar = tqdm(
        total=total,
        initial=have,
        unit="B",
        unit_scale=True,
        desc=partial.stem,
        disable=not progress,
    )
    with open(partial, "ab" if have else "wb") as file, bar:
        while True:
            try:
                chunk = response.read(CHUNK)
            except (OSError, HTTPException) as error:
                raise Interrupted(
                    f"{response.url}: the connection ended after {have} bytes ({error})"
                ) from error
            if not chunk:
                return have
            have += len(chunk)
            if have > max_bytes:
                raise DownloadError(
                    f"{response.url} goes on after {max_bytes} bytes: not this file"
                )
            file.write(chunk)
            bar.update(len(chunk))


def discard(partial: Path) -> None:
    """Forget an attempt whose bytes turned out to be the wrong ones."""
    partial.unlink(missing_ok=True)
    _version_file(partial).unlink(missing_ok=True)


def _version_file(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.version")


def _total(response, have: int) -> int | None:
    """Size of the whole file, if the server says; raises DownloadError for a part that does not fit
    `have`.
    """
    if response.status == 206:
        unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
        span, _, total = rest.partition("/")
        if unit != "bytes" or span.partition("-")[0] != str(have) or not total.isdigit():
            raise DownloadError(
                f"{response.url} answered with an unusable range {rest!r}; remove the partial file"
            )
        return int(total)
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _remember_version(response, version_file: Path) -> None:
    version = response.headers.get("ETag") or response.headers.get("Last-Modified")
    if (
        version and not version.startswith("W/") and version.isascii()
    ):  # a weak ETag does not identify bytes
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


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_SecureRedirects)
