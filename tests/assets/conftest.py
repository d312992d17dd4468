"""Fixtures of the room's tests."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from assets import install_download
from assets.head_model import HeadModel
from tests.assets.download_server import PAYLOAD, Server, offer
from tests.assets.heads_under_test import HEAD_NAMES, load


@pytest.fixture(scope="session", params=HEAD_NAMES)
def head(request: pytest.FixtureRequest) -> HeadModel:
    """Each head model in turn."""
    return load(request.param)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            state.requests.append(dict(self.headers))
            if state.status:
                self.send_error(state.status.pop(0))
                return
            start = 0
            asked = self.headers.get("Range")
            if asked and state.knows_ranges and self.headers.get("If-Range", state.etag) == state.etag:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
                if start >= len(state.content):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(state.content) - 1}/{len(state.content)}")
            else:
                self.send_response(200)
            if state.is_chunked:
                self.send_header("Transfer-Encoding", "chunked")
            elif state.says_length:
                self.send_header("Content-Length", str(len(state.content) - start))
            else:
                self.close_connection = True
            if state.etag:
                self.send_header("ETag", state.etag)
            self.end_headers()
            end = start + state.cut_after.pop(0) if state.cut_after else len(state.content)
            self.close_connection = self.close_connection or end < len(state.content)
            if state.is_chunked:
                for first in range(start, min(end, len(state.content)), 50_000):
                    chunk = state.content[first : min(first + 50_000, end)]
                    self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
                self.wfile.write(b"" if end < len(state.content) else b"0\r\n\r\n")
                self.close_connection = True
            else:
                self.wfile.write(state.content[start:end])

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        state.url = f"http://127.0.0.1:{running.server_port}/face_landmarker.task"
        yield state
        running.shutdown()


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An empty data home; a broken connection is given up at once unless a test says otherwise."""
    monkeypatch.setenv("RECON_HOME", str(tmp_path / "home"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(install_download, "PAUSE_S", 0.0)
    monkeypatch.setattr(install_download, "ATTEMPTS", 1)
    return tmp_path / "home"


@pytest.fixture
def landmarker(server, monkeypatch) -> Server:
    """`install("face-landmarker")` loads the local payload."""
    offer("face-landmarker", monkeypatch, url=server.url, sha256=hashlib.sha256(PAYLOAD).hexdigest())
    return server
