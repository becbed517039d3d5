"""Paths that users choose, atomic writes and locks. Only this module renames files."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_vrp_sam.errors import InputError

LOCK_POLL_SECONDS = 0.5


class LockedError(Exception):
    """Another process holds a lock."""


def chosen_path(variable: str, default: Path) -> Path:
    """Return the path in an environment variable, or a default one."""
    chosen = os.environ.get(variable)
    return Path(chosen).expanduser() if chosen else default


def exists(path: Path) -> bool:
    """Return whether a path exists; for names that are too long, `Path.exists` fails instead."""
    return os.path.exists(path)  # noqa: PTH110


@contextmanager
def explain_write_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an `OSError` into an `InputError` that says that `path` cannot be written, and why."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}.") from error


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file under a temporary name, and rename it when it is complete.

    Other processes see the complete new file or the previous one. Missing folders are created.

    Parameters
    ----------
    path : str or path
        File to create or replace.

    Yields
    ------
    Path
        Empty file to write to, in the folder of `path` and with its suffix.

    Raises
    ------
    InputError
        If the file cannot be written: disk full, no permission. The previous file remains.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.stem}-{secrets.token_hex(4)}{target.suffix}")
    with explain_write_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        try:
            yield temporary
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a folder under a temporary name, and rename it when it is complete.

    Parameters
    ----------
    path : str or path
        Folder to create or replace.

    Yields
    ------
    Path
        Empty folder to write to.

    Raises
    ------
    InputError
        If the folder cannot be written: disk full, no permission. The previous folder remains.
    """
    target = Path(path)
    staging = target.with_name(f".{target.stem}-{secrets.token_hex(4)}")
    new, old = staging / "new", staging / "old"
    with explain_write_errors(target):
        try:
            new.mkdir(parents=True)
            yield new
            # No operating system renames a folder over one that is not empty.
            if target.exists():
                target.rename(old)
            try:
                new.rename(target)
            except OSError:
                if old.exists():
                    old.rename(target)
                raise
        finally:
            # Never delete the previous folder unless it is replaced or back in its place.
            if target.exists() or not old.exists():
                shutil.rmtree(staging, ignore_errors=True)


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write indented JSON atomically.

    Raises
    ------
    InputError
        If the file cannot be written.
    ValueError
        If the content holds NaN or infinity, which JSON cannot express.
    """
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", "utf-8")


def rename(source: Path, target: Path) -> None:
    """Rename a complete file within its file system, replacing an existing target.

    Raises
    ------
    InputError
        If the file cannot be renamed.
    """
    try:
        source.replace(target)
    except OSError as error:
        raise InputError(
            f"{source} cannot be renamed to {target.name}: {error.strerror or error}."
        ) from error


def link_or_copy(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Create a hard link where the file system supports it, else a copy.

    Suitable only for files that are never modified in place: both names may share their content.
    """
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@contextmanager
def lock(
    path: str | os.PathLike[str],
    *,
    wait: bool = True,
    while_waiting: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Hold a lock that excludes other threads and processes; the end of a process releases it.

    Parameters
    ----------
    path : str or path
        Lock file; its folder must exist. The file may remain after the lock is released.
    wait : bool
        Wait until the lock is free.
    while_waiting : callable, optional
        Called about twice a second during the wait.

    Raises
    ------
    LockedError
        If another process holds the lock and `wait` is False.
    """
    from filelock import FileLock, Timeout  # slow to import

    held = FileLock(path)
    while not held.is_locked:
        try:
            held.acquire(timeout=LOCK_POLL_SECONDS if wait else 0)
        except Timeout as error:
            if not wait:
                raise LockedError(f"{path} is locked.") from error
            if while_waiting:
                while_waiting()
    try:
        yield
    finally:
        held.release()


@contextmanager
def exclusive(path: str | os.PathLike[str], message: str) -> Iterator[None]:
    """Hold a lock on a file or folder that is written; for the processes of this computer.

    Raises
    ------
    InputError
        With the message, if another process or thread holds it.
    """
    # Not beside or inside a folder that is replaced: Windows keeps open files.
    name = hashlib.sha256(str(Path(path).resolve()).encode()).hexdigest()[:20]
    try:
        with lock(Path(tempfile.gettempdir()) / f"napari-vrp-sam-{name}.lock", wait=False):
            yield
    except LockedError as error:
        raise InputError(message) from error
