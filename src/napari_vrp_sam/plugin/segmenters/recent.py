"""List of the segmenters that were saved or opened last, kept in the user's data folder."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import platformdirs

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic, chosen_path

LIST_VARIABLE = "VRP_SAM_SEGMENTERS"
MOST = 30
"""Number of segmenters that the list keeps."""


def list_path() -> Path:
    """Return the file of the list: `$VRP_SAM_SEGMENTERS`, or one in the user's data folder."""
    default = platformdirs.user_data_path("napari-vrp-sam", appauthor=False) / "segmenters.json"
    return chosen_path(LIST_VARIABLE, default)


def recent_segmenters() -> list[Path]:
    """Return the existing files of the list, the latest first."""
    return [path for path in _read() if path.is_file()]


def remember_segmenter(path: str | os.PathLike[str]) -> None:
    """Put a file at the beginning of the list."""
    found = Path(path).absolute()
    _write([found, *(other for other in _read() if other != found)][:MOST])


def forget_segmenter(path: str | os.PathLike[str]) -> None:
    """Remove a file from the list; the file itself stays."""
    gone = Path(path).absolute()
    _write([other for other in _read() if other != gone])


def _read() -> list[Path]:
    # A list that is missing or damaged is as good as an empty one.
    with suppress(OSError, ValueError, TypeError):
        return [Path(one) for one in json.loads(list_path().read_text(encoding="utf-8"))]
    return []


def _write(paths: list[Path]) -> None:
    # The list is a convenience: a full disk or a read-only home must not fail what was saved.
    with suppress(OSError, InputError), atomic(list_path()) as temporary:
        temporary.write_text(json.dumps([str(path) for path in paths]), encoding="utf-8")
