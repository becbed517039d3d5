"""Drawn polygons come back over their scene, judged by rasterio and geopandas."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from rasterio.features import rasterize
from shapely.affinity import affine_transform
from shapely.geometry import Polygon, box

from napari_vrp_sam.inference.exporting import export_labels
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.opening import as_annotation, open_stack
from napari_vrp_sam.inference.references.gather import gather_references

NORTH_UP = rasterio.Affine(0.5, 0, 689_000, 0, -0.5, 5_336_000)
TRANSFORMS = {"north up": NORTH_UP, "rotated": NORTH_UP @ rasterio.Affine.rotation(30)}
SHAPES = [
    box(10.3, 12.8, 40.6, 30.2),
    Polygon([(60, 60), (80.4, 52.1), (95.7, 70.2), (82, 88.3), (61.2, 80)]),
]
"""Shapes in pixels, from the upper left corner of the scene."""


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_vertices_are_within_half_a_pixel(tmp_path: Path, transform: rasterio.Affine) -> None:
    a, b, c, d, e, f, *_ = transform
    placed = [affine_transform(shape, (a, b, d, e, c, f)) for shape in SHAPES]
    drawn = geopandas.GeoDataFrame(geometry=placed, crs="EPSG:32632")
    drawn.to_crs("EPSG:4326").to_file(tmp_path / "drawn.gpkg")
    profile = {"width": 120, "height": 100, "count": 1, "dtype": "uint8", "crs": "EPSG:32632"}
    scene = tmp_path / "scene.tif"
    with rasterio.open(scene, "w", transform=transform, **profile) as file:
        file.write(np.random.default_rng(0).integers(1, 255, (1, 100, 120), np.uint8))

    stack = open_stack(scene)
    frames = Frames(stack.data, stack.axes)
    annotation = as_annotation(tmp_path / "drawn.gpkg", stack, frames)
    (reference,) = gather_references(frames, annotation)
    labels = (reference.mask > 0).astype(np.uint8)
    for name in ("labels.tif", "labels.gpkg"):
        export_labels(labels, tmp_path / name, image=scene)

    found = geopandas.read_file(tmp_path / "labels.gpkg")
    assert found.crs == drawn.crs
    with rasterio.open(tmp_path / "labels.tif") as file:
        assert file.transform.almost_equals(transform)
        stored = file.read(1)
    burnt = rasterize(found.geometry, stored.shape, transform=transform)
    np.testing.assert_array_equal(burnt, stored)
    pixel = 0.5
    back = [~transform @ one.centroid.coords[0] for one in found.geometry]
    assert len(back) == len(SHAPES)
    for shape in SHAPES:
        where = min(range(len(back)), key=lambda at: abs(back[at][0] - shape.centroid.x))
        np.testing.assert_allclose(back[where], shape.centroid.coords[0], atol=pixel)
        outline = found.geometry[where]
        exact = affine_transform(shape, (a, b, d, e, c, f))
        # The middle of each side of a pixel is at most half a pixel from the drawn line.
        ring = np.asarray(outline.exterior.segmentize(pixel + 1e-6).coords)
        middles = (ring[1:] + ring[:-1]) / 2
        distance = [
            exact.exterior.distance(point) for point in geopandas.points_from_xy(*middles.T)
        ]
        assert max(distance) <= 0.5 * pixel * 1.001
