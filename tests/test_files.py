from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from napari_vrp_sam import files
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import (
    LockedError,
    atomic,
    atomic_folder,
    link_or_copy,
    lock,
    rename,
    write_json,
)


def test_a_complete_file_replaces_the_previous_one(tmp_path: Path) -> None:
    target = tmp_path / "new" / "result.json"
    write_json(target, {"a": 1})
    write_json(target, {"a": 2})
    assert json.loads(target.read_text()) == {"a": 2}
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")
def test_a_file_gets_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    write_json(tmp_path / "result.json", {})
    (tmp_path / "other.json").touch()
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_a_failure_keeps_the_previous_file(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    write_json(target, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(target, {"a": float("nan")})
    assert json.loads(target.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_an_input_error(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="cannot be written: No space left"),
        atomic(tmp_path / "result.tif"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not list(tmp_path.iterdir())


def test_a_file_in_place_of_the_folder_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write_json(tmp_path / "file" / "result.json", {})


def test_a_complete_folder_replaces_the_previous_one(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.folder"
    for content in ("old", "new"):
        with atomic_folder(target) as folder:
            (folder / content).write_text(content)
            assert not (target / content).exists()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert list(target.parent.iterdir()) == [target]
    assert target.stat().st_mode == target.parent.stat().st_mode


def test_a_failure_keeps_the_previous_folder(tmp_path: Path) -> None:
    target = tmp_path / "a.folder"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(ValueError, match="not JSON"), atomic_folder(target) as folder:
        write_json(folder / "new.json", float("nan"))
    assert [path.name for path in target.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_cannot_be_renamed_leaves_the_previous_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.folder"
    target.mkdir()
    (target / "old").touch()
    rename_path = Path.rename

    def refuse_new(path: Path, to: Path) -> Path:
        if path.name == "new":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return rename_path(path, to)

    monkeypatch.setattr(Path, "rename", refuse_new)
    with pytest.raises(InputError, match="Permission denied"), atomic_folder(target):
        pass
    assert [path.name for path in target.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [target]


def test_rename_replaces_the_target(tmp_path: Path) -> None:
    source, target = tmp_path / "a.part", tmp_path / "a.pth"
    source.write_text("new")
    target.write_text("old")
    rename(source, target)
    assert target.read_text() == "new"
    with pytest.raises(InputError, match=r"a\.part cannot be renamed to a\.pth: No such file"):
        rename(source, target)


def test_a_file_without_links_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "a"
    source.write_text("content")
    link_or_copy(source, tmp_path / "linked")
    assert (tmp_path / "linked").samefile(source)

    def no_links(*_paths: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_links)
    link_or_copy(source, tmp_path / "copied")
    assert (tmp_path / "copied").read_text() == "content"
    assert not (tmp_path / "copied").samefile(source)


def test_a_lock_excludes_others_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with lock(path), pytest.raises(LockedError), lock(path, wait=False):
        pytest.fail("held twice")
    with lock(path, wait=False):
        pass


def test_waiting_for_a_lock_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LOCK_POLL_SECONDS", 0.01)
    path = tmp_path / "a.lock"
    locked, waited = threading.Event(), threading.Event()

    def hold() -> None:
        with lock(path):
            locked.set()
            waited.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    locked.wait(60)
    with lock(path, while_waiting=waited.set):
        assert waited.is_set()
    holder.join(60)


def test_a_lock_of_a_process_that_ended_is_free(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    code = (
        "import os, sys\n"
        "from napari_vrp_sam.files import lock\n"
        "with lock(sys.argv[1]):\n"
        "    print('locked', flush=True)\n"
        "    sys.stdin.read()\n"
        "    os._exit(3)\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(LockedError), lock(path, wait=False):
            pytest.fail("held twice")
        process.communicate(timeout=60)
    assert process.returncode == 3
    with lock(path, wait=False):
        pass
