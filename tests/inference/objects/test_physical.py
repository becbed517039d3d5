"""Sizes, positions and speeds of objects in physical units, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vrp_sam.inference.objects.find import objects_from_labels
from napari_vrp_sam.io.metadata import ImageMetadata


def moving_square() -> np.ndarray:
    """Return an object that moves by 3 rows and 4 columns from frame to frame, seen three times."""
    labels = np.zeros((3, 40, 40), np.uint8)
    for t in range(3):
        labels[t, 4 + 3 * t : 14 + 3 * t, 5 + 4 * t : 15 + 4 * t] = 1
    return labels


def find(labels: np.ndarray, axes: str, metadata: ImageMetadata, **options: object) -> dict:
    table = objects_from_labels(labels, axes=axes, metadata=metadata, smoothing=0, **options).table
    return table.iloc[0].to_dict()


def test_tracks_have_a_path_and_a_speed() -> None:
    metadata = ImageMetadata(
        {"T": 10, "Y": 0.5, "X": 0.5}, {"T": "second", "Y": "micrometer", "X": "micrometer"}
    )
    row = find(moving_square(), "TYX", metadata, linked=True)
    assert row["path_length"] == pytest.approx(10)
    assert row["path_length_um"] == pytest.approx(5)
    assert row["speed_um_per_s"] == pytest.approx(5 / 20)
    assert "path_length" not in find(moving_square(), "TYX", metadata)


def test_other_units_are_converted_to_that_of_the_rows() -> None:
    labels = np.zeros((2, 40, 40), np.uint8)
    labels[:, 10:20, 10:20] = 1
    metadata = ImageMetadata(
        {"Z": 500, "Y": 0.1, "X": 0.1},
        {"Z": "nanometer", "Y": "micrometer", "X": "micrometer"},
        {"Y": 100.0, "X": -20.0},
    )
    row = find(labels, "ZYX", metadata, linked=True)
    assert row["volume_um3"] == pytest.approx(200 * 0.5 * 0.01)
    assert row["y_um"] == pytest.approx(100 + 1.45)
    assert row["x_um"] == pytest.approx(-20 + 1.45)


def test_maps_give_areas_and_coordinates_of_the_crs() -> None:
    labels = np.zeros((40, 40), np.uint8)
    labels[10:20, 10:20] = 1
    metadata = ImageMetadata(
        {"Y": 10, "X": 10},
        {"Y": "metre", "X": "metre"},
        transform=(10.0, 0.0, 500000.0, 0.0, -10.0, 5300000.0),
    )
    row = find(labels, "YX", metadata)
    assert row["area_m2"] == 100 * 100
    assert (row["x_m"], row["y_m"]) == (500150, 5299850)


def test_areas_in_degrees_are_on_the_ellipsoid() -> None:
    from pyproj import Geod

    labels = np.zeros((40, 40), np.uint8)
    labels[10:20, 10:20] = 1
    metadata = ImageMetadata(
        {"Y": 0.001, "X": 0.001},
        {"Y": "degree", "X": "degree"},
        transform=(0.001, 0.0, 15.0, 0.0, -0.001, 48.0),
    )
    row = find(labels, "YX", metadata)
    west, north = 15.01, 47.99
    box = [west, west + 0.01, west + 0.01, west], [north, north, north - 0.01, north - 0.01]
    expected = abs(Geod(ellps="WGS84").polygon_area_perimeter(*box)[0])
    assert row["area_m2"] == pytest.approx(expected, rel=1e-5)
    assert (row["x_deg"], row["y_deg"]) == pytest.approx((15.015, 47.985))
