from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.layers import Image

from napari_vrp_sam.io.units import lengths
from napari_vrp_sam.plugin.layers.calibration import SOURCE, image_metadata
from napari_vrp_sam.plugin.layers.metadata import set_metadata

UM = "micrometer"


@pytest.mark.parametrize(
    ("transform", "sizes", "unit"),
    [
        ({}, {}, ""),
        ({"units": ("pixel",) * 3, "scale": (1, 2, 2)}, {}, ""),
        (
            {"units": ("um",) * 3, "scale": (3, 0.5, 0.25)},
            {"Z": 3, "Y": 0.5, "X": 0.25},
            UM,
        ),
        (
            {"units": ("nm", "um", UM), "scale": (70, 1, 2)},
            {"Z": 0.07, "Y": 1, "X": 2},
            UM,
        ),
        ({"units": ("s", "um", UM), "scale": (9, 1, 2)}, {"Y": 1, "X": 2}, UM),
        (
            {"units": ("um",) * 3, "affine": np.diag([1, 4, 4, 1]), "scale": (1, 0.5, 0.5)},
            {"Z": 1, "Y": 2, "X": 2},
            UM,
        ),
        ({"units": ("mm",) * 3, "rotate": 30}, {"Z": 1, "Y": 1, "X": 1}, "millimeter"),
    ],
)
def test_pixel_size(transform, sizes, unit):
    layer = Image(np.zeros((2, 16, 16)), **transform)
    found, name = lengths(image_metadata(layer, "ZYX"))
    assert found == pytest.approx(sizes)
    assert name == unit


def test_an_image_without_units_has_those_of_its_file(tmp_path: Path) -> None:
    """napari's own reader ignores the calibration of a file."""
    data = np.zeros((3, 16, 20), np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", data, imagej=True, resolution=(4, 2),
        metadata={"axes": "ZYX", "spacing": 0.5, "unit": "um"},
    )  # fmt: skip
    layer = Image(data)
    set_metadata(layer, **{SOURCE: str(tmp_path / "a.tif")})
    stored = image_metadata(layer, "ZYX")
    assert dict(stored.pixel_size) == {"Z": 0.5, "Y": 0.5, "X": 0.25}
    assert set(stored.units.values()) == {UM}
    scaled = Image(data, scale=(3, 2, 2), translate=(0, 8, 4), units="nm")
    set_metadata(scaled, **{SOURCE: str(tmp_path / "a.tif")})
    shown = image_metadata(scaled, "ZYX")
    assert dict(shown.pixel_size) == {"Z": 3, "Y": 2, "X": 2}
    assert dict(shown.origin) == {"Z": 0, "Y": 8, "X": 4}
    assert set(shown.units.values()) == {"nanometer"}
    cropped = Image(data[:, 2:])
    set_metadata(cropped, **{SOURCE: str(tmp_path / "a.tif")})
    assert not image_metadata(cropped, "ZYX").pixel_size
