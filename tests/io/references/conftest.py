"""A stack of four frames, and the function that reads its annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.references.drawn import read_reference
from napari_vrp_sam.inference.references.gather import gather_references

STACK = np.random.default_rng(0).integers(0, 255, (4, 60, 80), dtype=np.uint8)


def references(path: Path, *, stack: Any = STACK, axes: str = "ZYX", **options: Any) -> Any:
    """Return (frame, class, kind) and mask of the references in a file."""
    keys = ("image", "metadata", "class_column")
    reading = {key: options.pop(key) for key in keys if key in options}
    frames = Frames(stack, axes)
    found = gather_references(frames, read_reference(path, frames, **reading), **options)
    return [((r.frame, r.class_id, r.kind), r.mask > 0, r) for r in found]


def only(path: Path, **options: Any) -> Any:
    """Return (frame, class, kind) and mask of the only reference in a file."""
    ((what, mask, _),) = references(path, **options)
    return what, mask


@pytest.fixture
def box() -> Any:
    """Mask of the pixels from row 10 to 24 and column 20 to 49."""
    mask = np.zeros((60, 80), np.bool_)
    mask[10:25, 20:50] = True
    return mask
