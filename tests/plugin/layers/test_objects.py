import numpy as np
import pandas as pd
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_vrp_sam.inference.objects.find import Objects
from napari_vrp_sam.plugin.layers.metadata import note
from napari_vrp_sam.plugin.layers.objects import (
    NewObjects,
    current_objects,
    features,
    pixel_size,
    show_object,
    table_of,
)


@pytest.fixture
def table():
    return pd.DataFrame(
        {"index": [1, 2], "first_t": [0, 1], "last_t": [0, 1], "first_z": [0, 2], "last_z": [3, 3],
         "area": [4.0, 6.0]}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("placed", "sizes", "unit"),
    [
        ({}, {}, ""),
        ({"units": ("pixel",) * 3, "scale": (1, 2, 2)}, {}, ""),
        ({"units": ("um",) * 3, "scale": (3, 0.5, 0.25)}, {"Z": 3, "Y": 0.5, "X": 0.25}, "um"),
        ({"units": ("nm", "um", "um"), "scale": (70, 1, 2)}, {"Z": 0.07, "Y": 1, "X": 2}, "um"),
        ({"units": ("s", "um", "um"), "scale": (9, 1, 2)}, {"Y": 1, "X": 2}, "um"),
        (
            {"units": ("um",) * 3, "affine": np.diag([1, 4, 4, 1]), "scale": (1, 0.5, 0.5)},
            {"Z": 1, "Y": 2, "X": 2},
            "um",
        ),
        ({"units": ("mm",) * 3, "rotate": 30}, {"Z": 1, "Y": 1, "X": 1}, "mm"),
    ],
)
def test_pixels_are_as_large_as_the_layer_says(placed, sizes, unit):
    layer = Labels(np.zeros((2, 16, 16), int), **placed)
    found, name = pixel_size(layer, "ZYX")
    assert found == pytest.approx(sizes)
    assert name == unit


def test_rows_of_features_are_labels(table):
    rows = features(table)
    assert rows["index"].tolist() == [0, 1, 2]
    assert rows.dtypes.tolist() == table.dtypes.tolist()
    layer = Labels(np.zeros((16, 16), int), features=rows)
    pd.testing.assert_frame_equal(table_of(layer).reset_index(drop=True), table)
    assert len(features(table[:0])) == 1


def test_an_object_comes_into_view_by_all_its_axes(table):
    viewer = ViewerModel()
    image = Image(np.zeros((3, 5, 2, 16, 16)), scale=(1, 2, 1, 1, 1), name="cells")
    viewer.add_layer(image)
    labels = np.zeros((3, 5, 16, 16), np.uint8)
    layer = NewObjects(viewer, image, "TZCYX").show(Objects(labels, table))
    assert layer.data.shape == image.data.shape
    viewer.dims.current_step = (2, 0, 1, 0, 0)
    show_object(viewer, layer, 2)
    assert viewer.dims.current_step[:3] == (1, 2, 1)
    viewer.dims.set_current_step(1, 3)
    show_object(viewer, layer, 2)  # reaches there
    assert viewer.dims.current_step[:3] == (1, 3, 1)
    for unknown in (0, 7):
        show_object(viewer, layer, unknown)
    layer.features = {}
    show_object(viewer, layer, 1)
    assert viewer.dims.current_step[:3] == (1, 3, 1)


def test_the_active_objects_count(table):
    viewer = ViewerModel()
    image = Image(np.zeros((16, 16)), name="cells")
    viewer.add_layer(image)
    table = table[["index", "area"]]
    first, second = (
        NewObjects(viewer, image, "YX").show(Objects(np.zeros((16, 16), np.uint8), table))
        for _ in range(2)
    )
    assert viewer.layers.selection.active is image
    assert current_objects(viewer, image) is second
    viewer.layers.selection.active = first
    assert current_objects(viewer, image) is first
    note(first, **{"objects of": None})
    assert current_objects(viewer, image) is second
    assert current_objects(viewer, None) is None
