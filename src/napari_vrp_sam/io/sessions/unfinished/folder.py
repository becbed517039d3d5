"""All unfinished runs: a new one, that of an image, and their size on disk."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import platformdirs

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import chosen_path, explain_write_errors
from napari_vrp_sam.io.sessions.image import SessionImage, fingerprints_of, is_session_image
from napari_vrp_sam.io.sessions.unfinished.run import RUN_FILE, UnfinishedRun

FOLDER_VARIABLE = "VRP_SAM_UNFINISHED"
LIMIT = 4_000_000_000
"""Largest total size of all unfinished runs in bytes; the oldest ones are deleted first."""
SHARE_OF_DISK = 0.1
"""Largest share of the free disk space to use."""


def unfinished_folder() -> Path:
    """Return the folder of unfinished runs: `$VRP_SAM_UNFINISHED`, or one of the system."""
    default = platformdirs.user_state_path("napari-vrp-sam", appauthor=False) / "unfinished"
    return chosen_path(FOLDER_VARIABLE, default)


def new_run(
    image: SessionImage, data: Any, indices: Iterable[int], total: int, facts: Mapping[str, Any]
) -> UnfinishedRun:
    """Return a new run of an image that is recognised by the frames at these indices.

    Parameters
    ----------
    image : SessionImage
    data : array
        The image. Its annotated frames are read.
    indices : iterable of int
        Annotated frames.
    total : int
        Number of frames of the result.
    facts : mapping
        Further properties of the run; JSON values.
    """
    known = replace(image, fingerprints=fingerprints_of(data, image.axes, indices))
    name = f"{time.time_ns():020}-{secrets.token_hex(4)}"
    return UnfinishedRun(unfinished_folder() / name, known, total, facts)


def find_run(data: Any) -> UnfinishedRun | None:
    """Return the latest interrupted run of an image that has finished frames; None without one.

    Frames of the image are only read if there is a run of an image of its shape and type.
    """
    for run in reversed(_runs()):
        if run.indices and is_session_image(data, run.image) and not is_running(run):
            return run
    return None


def any_runs() -> bool:
    """Return whether there is any unfinished run."""
    return any(unfinished_folder().glob(f"*/{RUN_FILE}"))


def is_running(run: UnfinishedRun) -> bool:
    """Return whether a window is writing a run."""
    try:
        with run.locked():
            return False
    except InputError:
        return True


def make_room(current: UnfinishedRun, data: Any) -> int:
    """Delete earlier runs of an image and the oldest ones of all images, and return the room.

    Parameters
    ----------
    current : UnfinishedRun
        Run of the image that stays.
    data : array
        The image.

    Returns
    -------
    int
        Number of bytes that the current run may use.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    folder = unfinished_folder()
    with explain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    others = [run for run in _runs() if run.folder != current.folder and not is_running(run)]
    sizes = {run.folder: _size(run.folder) for run in others}
    limit = int(min(LIMIT, SHARE_OF_DISK * (free + sum(sizes.values()))))
    for run in others:
        same = is_session_image(data, run.image)
        if same or not run.indices or sum(sizes.values()) > limit // 2:
            run.discard()
            del sizes[run.folder]
    return limit - sum(sizes.values())


def _runs() -> list[UnfinishedRun]:
    """Return all runs with a session, the oldest first."""
    found = []
    for path in sorted(unfinished_folder().glob(f"*/{RUN_FILE}")):
        with suppress(Exception):  # another window has just discarded it, or it is damaged
            found.append(UnfinishedRun.read(path.parent))
    return found


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
