"""Downloads from a server on this machine: what arrives, what does not, what is wrong."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.downloads import CACHE_VARIABLE, WeightsFile, cache_folder, fetch

CONTENT = b"weights " * 1000


@pytest.fixture
def weights(server: Any, cache: Path) -> WeightsFile:
    portal = b"<html>log in first</html>"
    server.files |= {"good.pth": CONTENT, "portal.pth": portal, "cut.pth": CONTENT}
    digest = hashlib.sha256(CONTENT).hexdigest()
    return WeightsFile(f"{server.url}/good.pth", digest, "Apache-2.0", len(CONTENT))


def test_a_file_is_downloaded_once(server: Any, weights: WeightsFile, cache: Path) -> None:
    assert not weights.downloaded
    assert fetch(weights) == cache / "good.pth"
    assert fetch(weights).read_bytes() == CONTENT
    assert server.requests == ["good.pth"]
    assert weights.downloaded
    assert weights.verify()
    assert [p.name for p in cache.iterdir()] == ["good.pth"]


def test_the_first_digits_of_a_digest_suffice(weights: WeightsFile) -> None:
    assert fetch(replace(weights, sha256=weights.sha256[:8])).read_bytes() == CONTENT


def test_a_file_put_there_by_hand_needs_no_server(weights: WeightsFile, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "good.pth").write_bytes(CONTENT)
    unreachable = replace(weights, url="http://127.0.0.1:9/good.pth")
    assert fetch(unreachable).read_bytes() == CONTENT


def test_a_damaged_file_is_replaced(server: Any, weights: WeightsFile, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "good.pth").write_bytes(CONTENT[:-1])
    assert weights.downloaded
    assert not weights.verify()
    assert fetch(weights).read_bytes() == CONTENT
    assert server.requests == ["good.pth"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/absent.pth", r"Cannot download .*404.*put the file at .*absent\.pth"),
        ("/portal.pth", "did not send the file that was published"),
        ("/cut.pth", r"Cannot download|did not send"),
    ],
)
def test_what_is_not_the_file_leaves_nothing_behind(
    server: Any, weights: WeightsFile, cache: Path, path: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        fetch(replace(weights, url=server.url + path))
    assert list(cache.iterdir()) == []


def test_no_server(weights: WeightsFile) -> None:
    with pytest.raises(InputError, match="check the connection"):
        fetch(replace(weights, url="http://127.0.0.1:9/good.pth"))


def test_a_cache_that_cannot_be_written(weights: WeightsFile, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    with pytest.raises(InputError, match="Cannot download"):
        fetch(weights)


def test_without_the_variable_the_systems_cache_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    assert "napari-vrp-sam" in cache_folder().parts
