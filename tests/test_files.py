from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic, atomic_folder, write_json


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


def test_a_folder_is_replaced_when_it_is_done(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.folder"
    for content in ("old", "new"):
        with atomic_folder(target) as folder:
            (folder / content).write_text(content)
            assert not (target / content).exists()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert list(target.parent.iterdir()) == [target]
    assert target.stat().st_mode == target.parent.stat().st_mode


def test_a_failure_keeps_the_folder_that_was_there(tmp_path: Path) -> None:
    target = tmp_path / "a.folder"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(ValueError, match="not JSON"), atomic_folder(target) as folder:
        write_json(folder / "new.json", float("nan"))
    assert [path.name for path in target.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_cannot_take_its_place_gives_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.folder"
    target.mkdir()
    (target / "old").touch()
    rename = Path.rename

    def refused(path: Path, to: Path) -> Path:
        if path.name == "new":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(InputError, match="Permission denied"), atomic_folder(target):
        pass
    assert [path.name for path in target.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [target]
