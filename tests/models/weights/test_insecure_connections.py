"""Downloads over connections that are not what they claim to be."""

from __future__ import annotations

import hashlib
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.weights.downloads import PublishedFile, fetch
from napari_vrp_sam.models.weights.hub import HubFile

CONTENT = b"weights " * 100


def weights_at(address: str) -> PublishedFile:
    digest = hashlib.sha256(CONTENT).hexdigest()
    return PublishedFile(f"{address}/good.pth", digest, "Apache-2.0", len(CONTENT))


def files(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]


@pytest.fixture
def self_signed(server: Any, tmp_path: Path) -> str:
    """Address of the server, which encrypts with a certificate that nobody has signed."""
    pem = tmp_path / "server.pem"
    options = "-x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1"
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        ["openssl", "req", *options.split(), *names, "-keyout", pem, "-out", tmp_path / "signed"],
        check=True,
        capture_output=True,
    )
    pem.write_bytes(pem.read_bytes() + (tmp_path / "signed").read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server.files["good.pth"] = CONTENT
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return str(server.url.replace("http://", "https://"))


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


@needs_openssl
def test_an_invalid_certificate_is_refused(self_signed: str, server: Any, cache: Path) -> None:
    with pytest.raises(
        InputError, match=r"good\.pth: the certificate of the server is not valid\)"
    ):
        fetch(weights_at(self_signed))
    assert server.requests == []  # nothing was asked for without verification
    assert files(cache) == []


@pytest.mark.slow  # the client of the Hub waits and tries again
@needs_openssl
def test_the_hub_needs_a_valid_certificate(
    self_signed: str, server: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", self_signed)
    with pytest.raises(InputError, match="cannot be reached"):
        fetch(HubFile.of("someone/model", "MIT", "A model"))
    assert server.requests == []
    assert files(cache) == []


def test_a_connection_that_is_not_encrypted_is_refused(server: Any, cache: Path) -> None:
    server.files["good.pth"] = CONTENT
    with pytest.raises(InputError, match="the server does not encrypt the connection"):
        fetch(weights_at(server.url.replace("http://", "https://")))
    assert files(cache) == []
