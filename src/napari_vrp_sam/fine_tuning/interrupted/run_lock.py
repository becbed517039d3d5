"""One process at a time for one run."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.job import FOLDER_SUFFIX


@contextmanager
def lock_run(folder: Path) -> Iterator[None]:
    """Hold a run's folder; a process that ends, in whatever way, lets go of it.

    Raises
    ------
    InputError
        If another window or process is at work there.
    """
    # Not in the folder, which the run removes at its end: Windows keeps what is open.
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:20]
    lock = FileLock(Path(tempfile.gettempdir()) / f"napari-vrp-sam-{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        stem = folder.name.removesuffix(FOLDER_SUFFIX).removesuffix(".safetensors")
        raise InputError(
            f"Another window or process fine-tunes '{stem}' at the moment: wait until it ends, or "
            "choose another name."
        ) from error
    try:
        yield
    finally:
        lock.release()
