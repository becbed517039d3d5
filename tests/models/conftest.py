"""A small SAM, Triton's interpreter for GPU kernels, and a server of weights files."""

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
    """Runs code in which Triton's kernels are interpreted, and gives what it prints."""

    def run(code: str) -> str:
        # Triton asks when a kernel is defined: not in this process, where it may be already.
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
    """Serves `files` on the loopback address, whole or in parts; asked as a proxy it serves too.

    Attributes
    ----------
    breaks : dict of str to int
        Files of which each answer breaks off after so many bytes.
    pauses : dict of str to float
        Files that come slowly: seconds before each of ten pieces.
    rangeless : set of str
        Files that are sent whole, whatever part is asked for.
    requests : list of str
        Names of what was asked for, with the range if there is one.
    """

    daemon_threads = True

    class Handler(BaseHTTPRequestHandler):
        server: Server

        def do_GET(self) -> None:
            name, asked = self.path.rsplit("/", 1)[-1], self.headers.get("Range", "")
            self.server.requests.append(" ".join(filter(None, (name, asked))))
            if name not in self.server.files:
                self.send_error(404)
                return
            body, start = self.server.files[name], 0
            if asked and name not in self.server.rangeless:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
                if start >= len(body):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            else:
                self.send_response(200)
            rest = body[start:]
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            rest = rest[: self.server.breaks.get(name)]
            step = -(-len(rest) // 10) or 1
            for at in range(0, len(rest), step):
                time.sleep(self.server.pauses.get(name, 0))
                self.wfile.write(rest[at : at + step])

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files: dict[str, bytes] = {}
        self.breaks: dict[str, int] = {}
        self.pauses: dict[str, float] = {}
        self.rangeless: set[str] = set()
        self.requests: list[str] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has given up is no fault of the server's."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    # A proxy would answer for the loopback address; nor may the settings of whoever tests count.
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
    """An empty folder of downloaded weights."""
    folder = tmp_path / "cache" / "models"
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return folder
