"""A SAM small enough to run in every test, and a server of weights files."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from segment_anything.modeling import Sam
from tests.tiny_sam import build_tiny_sam

from napari_vrp_sam.models.downloads import CACHE_VARIABLE


@pytest.fixture(scope="session")
def tiny_sam() -> Sam:
    return build_tiny_sam()


@pytest.fixture(scope="session")
def make_tiny_sam() -> Callable[..., Sam]:
    return build_tiny_sam


class Server(ThreadingHTTPServer):
    """Serves `files` on the loopback address; of `cut.pth` only the beginning."""

    daemon_threads = True

    class Handler(BaseHTTPRequestHandler):
        server: Server

        def do_GET(self) -> None:
            name = self.path.removeprefix("/")
            self.server.requests.append(name)
            if name not in self.server.files:
                self.send_error(404)
                return
            body = self.server.files[name]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:100] if name == "cut.pth" else body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    # A proxy would answer for the loopback address.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of downloaded weights."""
    folder = tmp_path / "cache" / "models"
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return folder
