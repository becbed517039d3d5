"""Downloads over connections that are not what they claim to be."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.weights.downloads import WeightsFile, fetch

CONTENT = b"weights " * 100


def test_a_connection_that_is_not_encrypted_is_refused(server: Any, cache: Path) -> None:
    server.files["good.pth"] = CONTENT
    address = server.url.replace("http://", "https://")
    digest = hashlib.sha256(CONTENT).hexdigest()
    weights = WeightsFile(f"{address}/good.pth", digest, "Apache-2.0", len(CONTENT))
    with pytest.raises(InputError, match=r"good\.pth"):
        fetch(weights)
    assert not [path for path in cache.iterdir() if path.suffix != ".lock"]
