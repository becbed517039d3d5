from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.atomic import atomic, write_json


def test_replaces_when_done(tmp_path: Path) -> None:
    target = tmp_path / "new" / "result.json"
    write_json(target, {"a": 1})
    write_json(target, {"a": 2})
    assert json.loads(target.read_text()) == {"a": 2}
    assert list(target.parent.iterdir()) == [target]


def test_a_failure_keeps_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    write_json(target, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(target, {"a": float("nan")})
    assert json.loads(target.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="cannot be written: No space left"),
        atomic(tmp_path / "result.tif"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write_json(tmp_path / "file" / "result.json", {})
