"""Files and folders that are there wholly or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_vrp_sam.errors import InputError


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file under a temporary name in its folder, which is made; rename it when it is done.

    Parameters
    ----------
    path : str or path
        The file to make or to replace.

    Yields
    ------
    Path
        Where to write; it has the suffix of `path`, by which writers choose a format.

    Raises
    ------
    InputError
        If the file cannot be written: no room, no permission. What stood there before stays.
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(target.suffix, f".{target.stem}-", target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        # mkstemp makes files private; the result gets the permissions that any new file gets.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{target} cannot be written: {reason}.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a folder under a temporary name beside it; put it in its place when it is done.

    Parameters
    ----------
    path : str or path
        The folder to make or to replace.

    Yields
    ------
    Path
        An empty folder to write into.

    Raises
    ------
    InputError
        If the folder cannot be written: no room, no permission. What stood there before stays.
    """
    target = Path(path)
    workshop: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        workshop = Path(tempfile.mkdtemp("", f".{target.stem}-", target.parent))
        new = workshop / "new"  # unlike the workshop, with the permissions of any new folder
        new.mkdir()
        yield new
        _take_place(new, target, workshop / "old")
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{target} cannot be written: {reason}.") from error
    finally:
        if workshop is not None and (target.exists() or not (workshop / "old").exists()):
            shutil.rmtree(workshop, ignore_errors=True)


def _take_place(new: Path, target: Path, old: Path) -> None:
    if not target.exists():
        new.rename(target)
        return
    # No system renames one folder over another that is not empty.
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        old.rename(target)
        raise


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write JSON, indented, atomically; NaN is refused because JSON has none."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", "utf-8")
