"""A web server on this machine that serves files with ranges and versions, and can hang up."""

from __future__ import annotations

import hashlib
import http.server
import re
import sys
import threading

import pytest


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` with ranges and ETags; `cut` is how many bytes of a body it sends before it
    hangs up.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.cut: int | None = None
        self.ranges = self.etags = True
        self.requests: list[tuple[str, str | None]] = []  # path, Range

    def handle_error(self, request, client_address) -> None:
        if not isinstance(
            sys.exception(), ConnectionError
        ):  # clients hang up on files that are too large
            super().handle_error(request, client_address)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name, asked = self.path[1:], self.headers.get("Range")
        self.server.requests.append((name, asked))
        if name in self.server.redirects:
            self.send_response(302)
            self.send_header("Location", self.server.redirects[name])
            self.end_headers()
            return
        if name not in self.server.files:
            return self.send_error(404)
        body = self.server.files[name]
        etag = f'"{hashlib.sha256(body).hexdigest()}"'
        start = 0
        if asked and self.server.ranges and self.headers.get("If-Range") == etag:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(body):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        if self.server.etags:
            self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = None if self.server.cut is None else start + self.server.cut
        self.wfile.write(body[start:end])

    def log_message(self, *args) -> None:
        pass


@pytest.fixture(name="server")
def file_server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
