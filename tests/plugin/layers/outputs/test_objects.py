import numpy as np
import pandas as pd
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_vrp_sam.inference.objects.find import Objects
from napari_vrp_sam.plugin.layers.metadata import set_metadata
from napari_vrp_sam.plugin.layers.outputs.objects import (
    add_objects_layer,
    current_objects,
    features_from_table,
    show_object,
    table_from_features,
)
from napari_vrp_sam.plugin.layers.stacks import ImageLayout


@pytest.fixture
def table():
    return pd.DataFrame(
        {"index": [1, 2], "first_t": [0, 1], "last_t": [0, 1], "first_z": [0, 2], "last_z": [3, 3],
         "area": [4.0, 6.0]}
    )  # fmt: skip


def test_features_start_with_the_background(table):
    rows = features_from_table(table)
    assert rows["index"].tolist() == [0, 1, 2]
    assert rows.dtypes.tolist() == table.dtypes.tolist()
    layer = Labels(np.zeros((16, 16), int), features=rows)
    pd.testing.assert_frame_equal(table_from_features(layer).reset_index(drop=True), table)
    assert len(features_from_table(table[:0])) == 1


def test_show_object_moves_the_sliders_of_z_and_t(table):
    viewer = ViewerModel()
    image = Image(np.zeros((3, 5, 2, 16, 16)), scale=(1, 2, 1, 1, 1), name="cells")
    viewer.add_layer(image)
    labels = np.zeros((3, 5, 16, 16), np.uint8)
    layer = add_objects_layer(viewer, ImageLayout(image, "TZCYX"), Objects(labels, table))
    assert layer.data.shape == image.data.shape
    viewer.dims.current_step = (2, 0, 1, 0, 0)
    show_object(viewer, layer, 2)
    assert viewer.dims.current_step[:3] == (1, 2, 1)
    viewer.dims.set_current_step(1, 3)
    show_object(viewer, layer, 2)  # already in view
    assert viewer.dims.current_step[:3] == (1, 3, 1)
    for unknown in (0, 7):
        show_object(viewer, layer, unknown)
    layer.features = {}
    show_object(viewer, layer, 1)
    assert viewer.dims.current_step[:3] == (1, 3, 1)


def test_current_objects_are_the_active_or_topmost_layer(table):
    viewer = ViewerModel()
    image = Image(np.zeros((16, 16)), name="cells")
    viewer.add_layer(image)
    table = table[["index", "area"]]
    objects = Objects(np.zeros((16, 16), np.uint8), table)
    first, second = (add_objects_layer(viewer, ImageLayout(image, "YX"), objects) for _ in range(2))
    assert viewer.layers.selection.active is image
    assert current_objects(viewer, image) is second
    viewer.layers.selection.active = first
    assert current_objects(viewer, image) is first
    set_metadata(first, **{"objects of": None})
    assert current_objects(viewer, image) is second
    assert current_objects(viewer, None) is None
