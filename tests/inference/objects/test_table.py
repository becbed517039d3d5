import numpy as np
import pandas as pd
import pytest

from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.objects.find import objects_from_labels
from napari_vrp_sam.inference.objects.linking import LinkedObjects
from napari_vrp_sam.inference.objects.table import measure_objects, object_table
from napari_vrp_sam.io.metadata import ImageMetadata


@pytest.fixture
def labels():
    """Object 1 on frames 0 and 2, of 12 and 4 pixels; object 2 on frame 1, of 6."""
    labels = np.zeros((3, 16, 20), np.uint8)
    labels[0, 2:6, 4:7] = 1
    labels[2, 8:10, 10:12] = 1
    labels[1, 3, 5:11] = 2
    return labels


@pytest.fixture
def known():
    return LinkedObjects(np.array([0, 5, 7]), np.array([0, 0, 0]))


def calibration(**sizes):
    return ImageMetadata(sizes, dict.fromkeys(sizes, "micrometer"))


def row(table, index):
    return table.set_index("index").loc[index].to_dict()


def test_values_by_hand(labels, known):
    image = np.zeros((3, 16, 20), np.float32)
    image[0], image[1], image[2] = 10, 20, 50
    seen = measure_objects(labels, "TYX", image=Frames(image, "TYX"), confidence={0: 0.9, 2: 0.5})
    table = object_table(seen, known, metadata=calibration(Y=0.5, X=2))
    assert row(table, 1) == pytest.approx(
        {
            "class": 5,
            "first_t": 0,
            "last_t": 2,
            "frames": 2,
            "area": 8,
            "area_um2": 8,
            "y": (12 * 3.5 + 4 * 8.5) / 16,
            "x": (12 * 5 + 4 * 10.5) / 16,
            "y_um": (12 * 3.5 + 4 * 8.5) / 16 * 0.5,
            "x_um": (12 * 5 + 4 * 10.5) / 16 * 2,
            "mean_intensity": (12 * 10 + 4 * 50) / 16,
            "confidence": 0.7,
        }
    )
    assert row(table, 2) == pytest.approx(
        {
            "class": 7,
            "first_t": 1,
            "last_t": 1,
            "frames": 1,
            "area": 6,
            "area_um2": 6,
            "y": 3,
            "x": 7.5,
            "y_um": 1.5,
            "x_um": 15,
            "mean_intensity": 20,
            "confidence": np.nan,
        },
        nan_ok=True,
    )


def test_a_volume_is_the_sum_over_planes_and_the_mean_over_time(labels, known):
    stack = np.stack([labels, np.zeros_like(labels), labels])
    table = object_table(measure_objects(stack, "TZYX"), known, metadata=calibration(Z=3, Y=2, X=2))
    first = row(table, 1)
    assert (first["first_t"], first["last_t"], first["first_z"], first["last_z"]) == (0, 2, 0, 2)
    assert first["frames"] == 4
    assert (first["area"], first["volume"], first["volume_um3"]) == (8, 16, 16 * 12)
    assert first["z"] == pytest.approx((12 * 0 + 4 * 2) / 16)


def test_each_channel_has_its_column(labels, known):
    image = np.zeros((2, 3, 16, 20))
    image[0], image[1] = 1, 2
    seen = measure_objects(labels, "ZYX", image=Frames(image, "CZYX"))
    table = object_table(seen, known)
    assert table["mean_intensity_0"].tolist() == [1, 1]
    assert table["mean_intensity_1"].tolist() == [2, 2]


def test_parents_are_listed_where_objects_divided(labels):
    seen = measure_objects(labels, "TYX")
    assert "parent" not in object_table(
        seen, LinkedObjects(np.array([0, 1, 1]), np.array([0, 0, 0]))
    )
    table = object_table(seen, LinkedObjects(np.array([0, 1, 1]), np.array([0, 0, 1])))
    assert table["parent"].tolist() == [0, 1]


def test_nothing_to_measure_has_the_same_columns(labels, known):
    nothing = object_table(
        measure_objects(np.zeros_like(labels), "TYX"),
        LinkedObjects(np.zeros(1, int), np.zeros(1, int)),
    )
    assert isinstance(nothing, pd.DataFrame)
    assert len(nothing) == 0
    assert list(nothing) == list(object_table(measure_objects(labels, "TYX"), known))


def test_pixels_without_a_value_do_not_count(labels, known):
    image = np.full((3, 16, 20), 100, np.float32)
    image[2] = np.nan
    image[0, 2, 4] = np.nan
    image[1, 3, 5:11] = np.nan
    table = object_table(measure_objects(labels, "TYX", image=Frames(image, "TYX")), known)
    assert row(table, 1)["mean_intensity"] == pytest.approx(100)
    assert np.isnan(row(table, 2)["mean_intensity"])


def test_a_channel_may_have_gaps(labels, known):
    image = np.full((3, 2, 16, 20), 100, np.float32)
    image[:, 1] = 30
    image[0, 1, 2:4] = np.nan
    seen = measure_objects(labels, "TYX", image=Frames(image, "TCYX"))
    found = row(object_table(seen, known), 1)
    assert found["mean_intensity_0"] == pytest.approx(100)
    assert found["mean_intensity_1"] == pytest.approx(30)


def test_parents_are_listed_if_objects_may_divide_but_none_does():
    still = np.zeros((3, 20, 20), np.uint8)
    still[:, 5:12, 5:12] = 1
    found = objects_from_labels(still, axes="TYX", linked=True, divisions=True)
    assert found.table["parent"].tolist() == [0]
