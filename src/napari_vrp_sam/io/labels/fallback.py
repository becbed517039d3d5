"""OME-Zarr copies of finished labels, in case their file cannot be written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import explain_write_errors
from napari_vrp_sam.io.images.zarr_arrays.ome_zarr import SUFFIX


def create_fallback_folder(path: Path) -> Path:
    """Create an empty folder beside a file, for the labels that will become that file.

    Returns
    -------
    Path
        Folder NAME_unfinished.zarr, so that its purpose is clear if it remains after a crash.

    Raises
    ------
    InputError
        If it cannot be created.
    """
    endings = (f"_unfinished_{number}" if number > 1 else "_unfinished" for number in count(1))
    folders = (path.with_name(path.stem + ending + SUFFIX) for ending in endings)
    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            with suppress(FileExistsError):
                (folder := next(folders)).mkdir()
                return folder


@contextmanager
def keep_on_failure(folder: Path) -> Iterator[None]:
    """Report where labels are kept when writing their file fails or is interrupted.

    Parameters
    ----------
    folder : Path
        OME-Zarr of the labels.

    Raises
    ------
    InputError
        Says what failed and where the labels are. Other exceptions get a note that says it.
    """
    try:
        yield
    except BaseException as error:
        where = f"the finished labels are kept in {folder}, an OME-Zarr"
        if isinstance(error, InputError):
            raise InputError(f"{str(error).removesuffix('.')}; {where}.") from error
        error.add_note(f"{where[0].upper()}{where[1:]}.")
        raise
