"""Real sample stacks, downloaded from a local server."""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from click.testing import Result
from skimage.data import _registry as scikit_image
from tests.docs.pages import DOCS
from tests.models import conftest as downloads
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.samples import download_sample, real_stacks
from napari_vrp_sam.models.weights import transfer

server, cache = downloads.server, downloads.cache
STACK = np.random.default_rng(0).integers(0, 4000, (6, 2, 48, 64), dtype=np.uint16)


def samples(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["samples", *map(str, arguments)], env={"COLUMNS": "150"})


@pytest.fixture
def cells(server: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Content of a file in place of `cells3d`; the other stacks have no connection."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, STACK)
    content = buffer.getvalue()
    server.files["cells3d.tif"] = content
    monkeypatch.setattr(transfer, "CHUNK", 1000)
    first, *others = real_stacks.REAL_STACKS
    digest = hashlib.sha256(content).hexdigest()
    local = replace(first.file, url=f"{server.url}/cells3d.tif", digest=digest)
    away = [replace(s, file=replace(s.file, url="http://127.0.0.1:9/a.tif")) for s in others]
    monkeypatch.setattr(real_stacks, "REAL_STACKS", (replace(first, file=local), *away))
    return content


def test_addresses_and_digests_are_those_of_scikit_image() -> None:
    published = {scikit_image.registry_urls[n]: d for n, d in scikit_image.registry.items()
                 if n in scikit_image.registry_urls}  # fmt: skip
    for stack in real_stacks.REAL_STACKS:
        assert published[stack.file.url] == stack.file.digest
        assert len(stack.file.digest) == 64
        assert len(stack.axes) == len(stack.shape)
        assert stack.file.licence == "CC0-1.0"


def test_a_stack_is_downloaded_once_and_described(server: Any, cells: bytes) -> None:
    stored = download_sample("cells3d")
    np.testing.assert_array_equal(stored.data[:], STACK)
    assert stored.axes == "ZCYX"
    assert dict(stored.metadata.pixel_size) == {"Z": 0.29, "Y": 0.26, "X": 0.26}
    assert stored.metadata.units["Z"] == "micrometer"
    download_sample("cells3d")
    assert server.requests == ["cells3d.tif"]


def test_an_interrupted_download_is_resumed(server: Any, cells: bytes, tmp_path: Path) -> None:
    server.breaks["cells3d.tif"] = 5000
    failed = samples("download", "cells3d")
    assert failed.exit_code == 2
    assert "which resumes the download" in failed.stderr
    del server.breaks["cells3d.tif"]
    server.requests.clear()
    done = samples("download", "cells3d", "--output", tmp_path / "mine")
    assert done.exit_code == 0, done.stderr
    (request,) = server.requests
    assert re.fullmatch(r"cells3d.tif bytes=\d{4,}-", request)
    assert done.stdout.strip() == str(tmp_path / "mine/cells3d.tif")
    assert "axes ZCYX, CC0-1.0, Allen Institute" in done.stderr
    assert (tmp_path / "mine/cells3d.tif").read_bytes() == cells
    assert samples("download", "cells3d", "--output", tmp_path / "mine").exit_code == 0
    (tmp_path / "mine/cells3d.tif").write_bytes(b"something else")
    refused = samples("download", "cells3d", "--output", tmp_path / "mine")
    assert refused.exit_code == 2
    assert "already exists" in refused.stderr


def test_a_login_page_is_refused(server: Any, cells: bytes, cache: Path) -> None:
    server.files["cells3d.tif"] = b"<html>log in first</html>"
    refused = samples("download", "cells3d")
    assert refused.exit_code == 2
    assert "its digest differs" in refused.stderr
    assert not list(cache.glob("*.tif"))


def test_samples_without_a_connection(cells: bytes) -> None:
    listed = samples()
    assert listed.exit_code == 0
    for stack in real_stacks.REAL_STACKS:
        assert stack.name in listed.stdout
    assert samples("download", "cells3d").exit_code == 0
    assert samples("list").stdout.count("not downloaded") == 2
    failed = samples("download")
    assert failed.exit_code == 2
    assert "The sample kidney has to be downloaded, but there is no connection" in failed.stderr
    assert "offline mode is on" in samples("download", "kidney", "--offline").stderr
    assert "choose one of cells3d, kidney, solidification" in samples("download", "x").stderr
    with pytest.raises(InputError, match="choose one of"):
        download_sample("x")


def test_the_example_of_the_documentation_runs(cells: bytes) -> None:
    page = (DOCS / "examples.md").read_text("utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, "examples.md", "exec"), names)
    assert names["nuclei"].shape == (6, 48, 64)
