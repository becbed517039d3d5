"""Exported files can be read again as a reference, with the same pixels and classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.exporting import RgbFrames, export_labels, labelled_stack
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.references.drawn import read_reference
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.io.images.opening import open_image


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson", "a.json", "a.zip"])
def test_exports_are_references(tmp_path: Path, name: str) -> None:
    labels = np.zeros((60, 80), np.uint8)
    labels[5:30, 6:40] = 1
    labels[10:20, 12:25] = 0
    labels[13:17, 15:20] = 1
    labels[40:55, 30:70] = 2
    with rasterio.open(
        tmp_path / "scene.tif", "w", driver="GTiff", height=60, width=80, count=1, dtype="uint8",
        crs="EPSG:32633", transform=rasterio.Affine(10, 0, 500000, 0, -10, 5300000),
    ) as file:  # fmt: skip
        file.write(labels * 100, 1)
    image = tmp_path / "scene.tif"
    export_labels(labels, tmp_path / name, image=image)
    stored = open_image(image)
    frames = Frames(stored.data, stored.axes)
    given = read_reference(tmp_path / name, frames, image=image, metadata=stored.metadata)
    references = gather_references(frames, given)
    assert [reference.class_id for reference in references] == [1, 2]
    for reference in references:
        np.testing.assert_array_equal(reference.mask, labels == reference.class_id)


def test_existing_files_are_replaced_on_request_only(tmp_path: Path) -> None:
    labels = np.zeros((2, 32, 32), np.uint8)
    labels[:, 8:20, 8:20] = 1
    kept = tmp_path / "a_1.png"
    kept.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"a_1.png already exists.*overwrite=True"):
        export_labels(labels, tmp_path / "a.png", image=labels * 90)
    assert [path.name for path in tmp_path.iterdir()] == ["a_1.png"]
    assert kept.read_bytes() == b"mine"
    export_labels(labels, tmp_path / "a.png", image=labels * 90, overwrite=True)
    assert kept.read_bytes() != b"mine"


def test_labels_and_tables_that_do_not_fit_are_refused() -> None:
    labels = np.zeros((2, 32, 32), np.uint8)
    with pytest.raises(InputError, match="but the image needs"):
        labelled_stack(labels, np.zeros((3, 32, 32)))
    with pytest.raises(InputError, match="name each axis with one of the letters TZYX"):
        labelled_stack(labels, axes="CYX")
    with pytest.raises(InputError, match="lacks the column index or class"):
        labelled_stack(labels, table=pd.DataFrame({"class": [1]}))


def test_objects_have_the_classes_and_scores_of_their_table() -> None:
    labels = np.zeros((2, 32, 32), np.uint8)
    table = pd.DataFrame({"index": [1, 2], "class": [7, 8], "confidence": [0.5, np.nan]})
    stack = labelled_stack(labels, table=table)
    assert (stack.classes, stack.scores) == ({1: 7, 2: 8}, {1: 0.5})
    assert labelled_stack(labels, table=table[["index", "class"]]).scores == {}
    assert labelled_stack(labels, objects=True).classes == {}
    assert labelled_stack(labels).classes is None


def test_two_channels_are_red_and_green() -> None:
    image = np.zeros((1, 16, 16, 2), np.uint8)
    image[..., 0], image[..., 1] = 255, 51
    rgb = RgbFrames.of(Frames(image, "ZYXC"), (0, 255))[0]
    assert rgb.tolist() == [[[255, 51, 0]] * 16] * 16
