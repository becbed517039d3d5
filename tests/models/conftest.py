"""Tiny SAM, Triton's interpreter for GPU kernels, and a local server of weights files."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from segment_anything.modeling import Sam
from tests.tiny_sam import build_tiny_sam

from napari_vrp_sam.models.weights.downloads import (
    CACHE_VARIABLE,
    MIRROR_VARIABLE,
    OFFLINE_VARIABLE,
)


@pytest.fixture(scope="session")
def tiny_sam() -> Sam:
    return build_tiny_sam()


@pytest.fixture(scope="session")
def make_tiny_sam() -> Callable[..., Sam]:
    return build_tiny_sam


@pytest.fixture
def in_interpreter() -> Callable[[str], str]:
    """Run code with Triton's interpreter in another process, and return its output."""

    def run(code: str) -> str:
        # Triton reads the variable when a kernel is defined, which may have happened here already.
        ended = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"TRITON_INTERPRET": "1"},
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    return run


class Server(ThreadingHTTPServer):
    """HTTP server for `files` on the loopback address, with range requests; also a proxy.

    Attributes
    ----------
    breaks : dict of str to int
        Files whose answers are interrupted, with the number of bytes sent.
    pauses : dict of str to float
        Files that are sent slowly, with the seconds before each of ten pieces.
    rangeless : set of str
        Files for which range requests are ignored.
    pages : set of str
        Files that are sent as web pages.
    refused : dict of str to int
        Files that are not sent, with the status of the answer.
    requests : list of str
        Requested names, with the range if there is one.
    """

    daemon_threads = True

    class Handler(BaseHTTPRequestHandler):
        server: Server

        def do_GET(self) -> None:
            name, requested_range = self.path.rsplit("/", 1)[-1], self.headers.get("Range", "")
            self.server.requests.append(" ".join(filter(None, (name, requested_range))))
            if name not in self.server.files:
                self.send_error(404)
                return
            if name in self.server.refused:
                self.send_error(self.server.refused[name])
                return
            body, start = self.server.files[name], 0
            if requested_range and name not in self.server.rangeless:
                start = int(requested_range.removeprefix("bytes=").removesuffix("-"))
                if start >= len(body):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            rest = body[start:]
            self.send_header("Content-Length", str(len(rest)))
            if name in self.server.pages:
                self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            rest = rest[: self.server.breaks.get(name)]
            step = -(-len(rest) // 10) or 1
            for at in range(0, len(rest), step):
                time.sleep(self.server.pauses.get(name, 0))
                self.wfile.write(rest[at : at + step])

        def log_message(self, *args: object) -> None:
            """Do not log requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files: dict[str, bytes] = {}
        self.breaks: dict[str, int] = {}
        self.pauses: dict[str, float] = {}
        self.rangeless: set[str] = set()
        self.pages: set[str] = set()
        self.refused: dict[str, int] = {}
        self.requests: list[str] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that close the connection."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    # Proxies and download settings of the environment must not affect the tests.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for variable in (MIRROR_VARIABLE, OFFLINE_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty cache folder for downloaded weights."""
    folder = tmp_path / "cache" / "models"
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return folder
