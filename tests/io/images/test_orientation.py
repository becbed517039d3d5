"""Pictures and videos of a camera that was held sideways are read as viewers show them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from napari_vrp_sam.io.images.opening import open_image

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
ORIENTATION = 0x112


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photograph(tmp_path: Path, orientation: int) -> None:
    path, notes = tmp_path / "photo.jpg", Image.Exif()
    notes[ORIENTATION] = orientation
    Image.fromarray(PIXELS).save(path, exif=notes)
    with Image.open(path) as picture:
        shown = np.asarray(ImageOps.exif_transpose(picture))

    stored = open_image(path)
    assert stored.data.shape == shown.shape
    assert np.array_equal(np.asarray(stored.data), shown)


def test_damaged_notes_of_a_camera_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(PIXELS).save(path, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\xff\x01\x12")
    assert np.array_equal(np.asarray(open_image(path).data), PIXELS)
