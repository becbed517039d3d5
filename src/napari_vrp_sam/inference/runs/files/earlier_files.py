"""Files of an earlier run in the folder that a new run writes to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from napari_vrp_sam.errors import InputError

FACT = "files"
"""Key of the file names in a journal."""


def earlier_files(folder: Path) -> dict[Path, int]:
    """Return the files that the journal of an earlier run lists, with their checksums."""
    from napari_vrp_sam.io.labels.journal import read_journal

    facts, finished = read_journal(folder)
    names = facts.get(FACT, ())
    inside = [frame for frame in finished if frame.index < len(names)]
    # Only the name counts, so that a foreign journal cannot lead to another folder.
    return {folder / Path(names[frame.index]).name: frame.checksum for frame in inside}


def remove_earlier_files(files: Mapping[Path, int]) -> None:
    """Remove files of an earlier run that have not been changed since.

    Raises
    ------
    InputError
        If a file cannot be removed.
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
    except InputError:  # removed, or not labels
        return False
