"""Metadata of a layer: what the user has set, else what its file stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_vrp_sam.io.metadata import ImageMetadata
from napari_vrp_sam.io.sessions.layer_metadata import layer_metadata

SHAPE = (3, 20, 24)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A file with pixels of 0.5 micrometers."""
    path = tmp_path / "stack.tif"
    stack = np.zeros(SHAPE, np.uint8)
    described = {"axes": "ZYX", "unit": "um", "spacing": 2.0}
    tifffile.imwrite(path, stack, imagej=True, resolution=(2.0, 2.0), metadata=described)
    return path


def metadata_of(
    scale: Any = (1, 1, 1), units: Any = ("pixel",) * 3, shape: Any = SHAPE, source: Any = None
) -> ImageMetadata:
    return layer_metadata(
        "ZYX", shape, scale=scale, translate=(0, 5, 0), units=units, source=source
    )


def test_units_that_the_user_has_set_count(stored: Path) -> None:
    found = metadata_of((4, 0.25, 0.25), ("nanometer", "nanometer", "pixel"), source=stored)
    assert found.pixel_size == {"Z": 4.0, "Y": 0.25}
    assert found.units == {"Z": "nanometer", "Y": "nanometer"}
    assert found.origin == {"Z": 0.0, "Y": 5.0}


def test_a_scale_without_units_is_kept_without_units(stored: Path) -> None:
    found = metadata_of((4, 0.25, 0.25), source=stored)
    assert found.pixel_size == {"Z": 4.0, "Y": 0.25, "X": 0.25}
    assert found.units == {}
    assert found.origin == {"Z": 0.0, "Y": 5.0, "X": 0.0}


def test_the_scale_of_the_file_keeps_its_units(stored: Path) -> None:
    found = metadata_of((2, 0.5, 0.5), source=stored)
    assert found.pixel_size["X"] == pytest.approx(0.5)
    assert found.units["X"] in ("micrometer", "um")


def test_a_layer_without_scale_has_that_of_its_file(stored: Path, tmp_path: Path) -> None:
    def plain(shape: Any, source: Path | None) -> ImageMetadata:
        unit, none = (1, 1, 1), (0, 0, 0)
        return layer_metadata(
            "ZYX", shape, scale=unit, translate=none, units=("pixel",) * 3, source=source
        )

    assert plain(SHAPE, stored).pixel_size["Y"] == pytest.approx(0.5)
    # Another height, no file, or a file that cannot be read: nothing is known.
    (tmp_path / "note.txt").write_text("no image")
    for shape, source in (
        ((3, 21, 24), stored),
        (SHAPE, None),
        (SHAPE, tmp_path / "gone.tif"),
        (SHAPE, tmp_path / "note.txt"),
    ):
        assert plain(shape, source) == ImageMetadata()
