"""Files of the Hugging Face Hub, from a local server that answers like the Hub."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.weights.downloads import CACHE_VARIABLE, OFFLINE_VARIABLE, fetch
from napari_vrp_sam.models.weights.hub import HubFile

CONTENT = b"weights " * 50_000
REPOSITORY = "timm/tiny.test"


class Hub(ThreadingHTTPServer):
    """Server of one file; `status` is its answer, or a login page."""

    daemon_threads = True

    class Handler(BaseHTTPRequestHandler):
        server: Hub

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            self.server.requests.append(f"{self.command} {self.path}")
            if self.server.status != 200:
                self.send_response(self.server.status)
                if self.server.gated:
                    self.send_header("X-Error-Code", "GatedRepo")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if self.server.is_login_page:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", "6")
                self.end_headers()
                if body:
                    self.wfile.write(b"<html>")
                return
            start = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
            if self.headers.get("Range"):
                self.send_response(206)
                last = len(CONTENT) - 1
                self.send_header("Content-Range", f"bytes {start}-{last}/{len(CONTENT)}")
            else:
                self.send_response(200)
            self.send_header("ETag", f'"{hashlib.sha256(CONTENT).hexdigest()}"')
            self.send_header("X-Repo-Commit", 40 * "a")
            self.send_header("Content-Length", str(len(CONTENT) - start))
            self.end_headers()
            if body:
                self.wfile.write(CONTENT[start:])

        def log_message(self, *args: object) -> None:
            """Do not log requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.status = 200
        self.gated = False
        self.is_login_page = False
        self.requests: list[str] = []


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv(OFFLINE_VARIABLE, raising=False)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    # The Hub's client waits between its attempts.
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    with Hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def weights() -> HubFile:
    return HubFile.of(REPOSITORY, "Apache-2.0", "Tiny", len(CONTENT))


def test_file_is_downloaded_once_with_progress(hub: Hub, weights: HubFile, tmp_path: Path) -> None:
    assert not weights.downloaded
    reports: list[tuple[int, int, str]] = []
    path = fetch(weights, progress=lambda *args: reports.append(args))
    assert path.read_bytes() == CONTENT
    assert tmp_path / "cache" in path.parents
    assert reports[-1][:2] == (len(CONTENT), len(CONTENT))
    assert weights.downloaded
    assert weights.verify()
    before = len(hub.requests)
    assert fetch(weights) == path
    assert len(hub.requests) == before


@pytest.mark.parametrize("status", [401, 403])
def test_gated_files_name_the_licence(hub: Hub, weights: HubFile, status: int) -> None:
    hub.status, hub.gated = status, True
    with pytest.raises(InputError, match="agreement to its licence: accept it at https://hugg"):
        fetch(weights)
    assert not weights.downloaded


@pytest.mark.parametrize("status", [401, 403])
def test_refused_access_names_token_and_proxy(hub: Hub, weights: HubFile, status: int) -> None:
    """A wrong token, or a proxy, answers without saying that the licence has to be accepted."""
    hub.status = status
    with pytest.raises(InputError, match="but the server refuses access") as error:
        fetch(weights)
    assert "HF_TOKEN and the proxy" in str(error.value)


def test_a_login_page_is_named(hub: Hub, weights: HubFile) -> None:
    hub.is_login_page = True
    with pytest.raises(InputError) as error:
        fetch(weights)
    assert "login page of the network: log in" in str(error.value).splitlines()[0]


def test_missing_files_and_broken_servers_are_reported(hub: Hub, weights: HubFile) -> None:
    for status in (404, 500):
        hub.status = status
        with pytest.raises(
            InputError, match=r"^Tiny has to be downloaded \(0 MB\), but the download failed"
        ):
            fetch(weights)


def test_no_connection_takes_one_sentence(
    hub: Hub, weights: HubFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError) as error:
        fetch(weights)
    assert (
        str(error.value).splitlines()[0]
        == "Tiny has to be downloaded (0 MB), but there is no connection."
    )


def test_offline_mode_forbids_downloads(
    hub: Hub, weights: HubFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OFFLINE_VARIABLE, "1")
    with pytest.raises(InputError, match="offline mode is on"):
        fetch(weights)
    assert hub.requests == []
