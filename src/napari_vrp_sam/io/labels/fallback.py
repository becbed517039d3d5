"""Labels that stay although their file cannot be written: they are the work of hours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.ome_zarr import SUFFIX


def unfinished(path: Path) -> Path:
    """Make an empty folder beside a file, for labels that are to become that file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Path
        Named after the file, so that who finds it after a power cut knows what it is.

    Raises
    ------
    InputError
        If it cannot be made.
    """
    endings = (f"_unfinished_{number}" if number > 1 else "_unfinished" for number in count(1))
    places = (path.with_name(path.stem + ending + SUFFIX) for ending in endings)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            with suppress(FileExistsError):
                (place := next(places)).mkdir()
                return place
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}.") from error


@contextmanager
def rescuing(keep: Callable[[], Path | None]) -> Iterator[None]:
    """Keep labels elsewhere when the writing of their file fails or is interrupted.

    Parameters
    ----------
    keep : callable
        Puts the labels into an OME-Zarr, unless they are in one, and returns where they are; None
        if that fails too.

    Raises
    ------
    InputError
        What went wrong and where the labels are. Other exceptions pass, with a note that says it.
    """
    try:
        yield
    except BaseException as error:
        place = keep()
        if place is None:
            raise
        where = f"what is finished is kept in {place}, an OME-Zarr"
        if isinstance(error, InputError):
            raise InputError(f"{str(error).removesuffix('.')}; {where}.") from error
        error.add_note(f"{where[0].upper()}{where[1:]}.")
        raise
