"""Labels that stay although their file cannot be written: they are the work of hours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.ome_zarr import SUFFIX


@contextmanager
def rescuing(path: Path, keep: Callable[[Path], Path | None]) -> Iterator[None]:
    """Keep labels elsewhere when the writing of their file fails or is interrupted.

    Parameters
    ----------
    path : Path
        The file that is written inside the context.
    keep : callable
        Takes a free name for an OME-Zarr beside the file, puts the labels there or wherever it can,
        and returns where they are.

    Raises
    ------
    InputError
        What went wrong and where the labels are. Other exceptions pass, with a note that says it.
    """
    try:
        yield
    except BaseException as error:
        place = keep(_free(path))
        if place is None:
            raise
        where = f"what is finished is kept in {place}, an OME-Zarr"
        if isinstance(error, InputError):
            raise InputError(f"{str(error).removesuffix('.')}; {where}.") from error
        error.add_note(f"{where[0].upper()}{where[1:]}.")
        raise


def _free(path: Path) -> Path:
    endings = (f"_unfinished_{number}" if number > 1 else "_unfinished" for number in count(1))
    places = (path.with_name(path.stem + ending + SUFFIX) for ending in endings)
    return next(place for place in places if not place.exists())
