"""What an earlier run of `vrp-sam segment` has left in the folder that a new one writes to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from napari_vrp_sam.errors import InputError

FACT = "files"
"""What a journal calls the files of a folder."""


def earlier_files(folder: Path) -> dict[Path, int]:
    """Files that the journal of an earlier run lists, with the checksums of their labels."""
    from napari_vrp_sam.io.labels.journal import noted

    facts, finished = noted(folder)
    names = facts.get(FACT, ())
    inside = [frame for frame in finished if frame.index < len(names)]
    # A name is no path: a journal from elsewhere leads to no other folder.
    return {folder / Path(names[frame.index]).name: frame.checksum for frame in inside}


def remove_earlier(files: Mapping[Path, int]) -> None:
    """Remove what an earlier run wrote and nobody has changed since.

    Raises
    ------
    InputError
        If something cannot be removed.
    """
    for path, checksum in files.items():
        if _holds(path, checksum):
            try:
                path.unlink()
            except OSError as error:
                reason = error.strerror or error
                raise InputError(f"{path} cannot be replaced: {reason}.") from error


def _holds(path: Path, checksum: int) -> bool:
    import numpy as np

    from napari_vrp_sam.annotations.labels import labels_checksum
    from napari_vrp_sam.io.images.stacks import read_labels

    try:
        return labels_checksum(np.asarray(read_labels(path))) == checksum
    except InputError:  # gone, or no labels
        return False
