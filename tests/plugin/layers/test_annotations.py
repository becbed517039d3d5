import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.layers.annotations import Annotation, references_from_layers
from napari_vrp_sam.plugin.layers.metadata import BACKGROUND_LABEL, mark_background

SQUARE = np.array([(0, 0), (0, 8), (8, 8), (8, 0)], dtype=float)


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def stack():
    return np.random.default_rng(0).integers(0, 255, (6, 40, 50), dtype=np.uint8)


def square_on(frame, row=10, column=20):
    """Return four corners as (frame, row, column)."""
    return np.column_stack([np.full(4, frame), np.add(SQUARE, (row, column))])


def references(viewer, image, *layers, kind="mask", **options):
    annotations = [Annotation(layer, kind) for layer in layers]
    return references_from_layers(image, annotations, viewer.dims, **options)


def summary(found):
    return [(r.frame, r.class_id, r.kind) for r in found]


def test_labels_give_one_reference_per_frame_and_class(viewer, stack):
    image = viewer.add_image(stack)
    data = np.zeros(stack.shape, dtype=int)
    data[1, 3:9, 4:8] = 1
    data[1, 20:30, 4:8] = 3
    data[4, 3:9, 4:8] = 1

    found = references(viewer, image, viewer.add_labels(data))

    assert summary(found) == [(1, 1, "mask"), (1, 3, "mask"), (4, 1, "mask")]
    np.testing.assert_array_equal(found[1].mask, data[1] == 3)
    np.testing.assert_array_equal(found[2].image[..., 0], stack[4])


def test_sparse_labels_give_scribbles(viewer, stack):
    image = viewer.add_image(stack)
    data = np.zeros(stack.shape, dtype=int)
    data[2, 5, 5:20] = 1

    assert summary(references(viewer, image, viewer.add_labels(data), kind="scribble")) == [
        (2, 1, "scribble")
    ]


def test_kinds_and_classes_of_shapes(viewer, stack):
    image = viewer.add_image(stack)
    shapes = viewer.add_shapes(
        [
            square_on(2),
            square_on(2, 20),
            square_on(2, 0, 0),
            np.array([(3, 5, 5), (3, 5, 25), (3, 30, 25)], dtype=float),
            np.array([(3, 1, 40), (3, 30, 40)], dtype=float),
        ],
        shape_type=["rectangle", "polygon", "ellipse", "path", "line"],
        edge_width=3,
        features={"class": [1, 2, 2, 1, "4"]},
    )

    found = references(viewer, image, shapes)

    assert summary(found) == [
        (2, 1, "box"),
        (2, 2, "mask"),
        (3, 1, "scribble"),
        (3, 4, "scribble"),
    ]
    box = np.zeros((40, 50))
    box[10:19, 20:29] = 1
    np.testing.assert_array_equal(found[0].mask, box)
    # The polygon and the ellipse of class 2 are merged.
    assert found[1].mask[24, 24] == 1
    assert found[1].mask[4, 4] == 1
    # An edge width of 3 is one pixel on either side of the line.
    assert found[3].mask[15, 38:43].tolist() == [0, 1, 1, 1, 0]


def test_edge_width_is_scaled_to_the_image(viewer, stack):
    image = viewer.add_image(stack, scale=(1, 0.5, 0.5))
    line = np.array([(3, 2, 10), (3, 15, 10)], dtype=float)
    shapes = viewer.add_shapes([line], shape_type="line", edge_width=2.5)

    (found,) = references(viewer, image, shapes)

    # 2.5 world units are 5 pixels of the image.
    assert found.mask[15].sum() == 5


def test_point_radius_is_in_pixels_of_the_image(viewer, stack):
    image = viewer.add_image(stack, scale=(1, 2, 2))
    points = viewer.add_points(
        [[0, 20, 20], [5, 40, 60]], features={"class": [2, np.nan]}, scale=(1, 1, 1)
    )

    found = references(viewer, image, points, point_radius=2)

    assert summary(found) == [(0, 2, "point"), (5, 1, "point")]
    rows, columns = np.nonzero(found[0].mask)
    assert (rows.mean(), columns.mean()) == (10, 10)
    assert (rows.min(), rows.max()) == (8, 12)


def test_points_of_one_class_on_one_frame_are_merged(viewer, stack):
    image = viewer.add_image(stack)
    first = viewer.add_points([[2, 5, 5], [2, 30, 30]])
    second = viewer.add_points([[2, 20, 5]])

    (found,) = references(viewer, image, first, second, point_radius=1)

    assert found.mask.sum() == 3 * 5


def test_annotations_of_one_class_on_one_frame_are_merged(viewer, stack):
    image = viewer.add_image(stack)
    boxes = viewer.add_shapes([square_on(2)], shape_type="rectangle")
    data = np.zeros(stack.shape, dtype=int)
    data[2, 1, 1:9] = data[3, 1, 1:9] = 1
    scribbles = viewer.add_labels(data, name="scribbles")
    points = viewer.add_points([[3, 30, 30]])

    found = references(viewer, image, boxes, scribbles, points, kind="scribble")

    assert summary(found) == [(2, 1, "box"), (3, 1, "scribble")]
    # The box makes the rest of the frame background, except where the scribble is.
    assert found[0].mask.sum() == 9 * 9 + 8
    assert found[1].mask[30, 30] == 1


def test_a_2d_layer_lies_on_the_slice_in_view(viewer):
    image = viewer.add_image(np.zeros((3, 4, 40, 50)))
    labels = np.zeros((40, 50), dtype=int)
    labels[3:9, 4:8] = 1
    layers = viewer.add_labels(labels), viewer.add_shapes([SQUARE], shape_type="polygon")
    viewer.dims.set_current_step(0, 2)
    viewer.dims.set_current_step(1, 1)

    for layer in layers:
        (found,) = references(viewer, image, layer)
        assert found.frame == 2 * 4 + 1


def test_only_the_slice_in_view_of_extra_axes_is_used(viewer, stack):
    viewer.add_image(np.zeros((2, *stack.shape)))
    image = viewer.add_image(stack)
    data = np.zeros((2, *stack.shape), dtype=int)
    data[0, 3, 3:9, 4:8] = 1
    data[1, 5, 3:9, 4:8] = 1
    labels = viewer.add_labels(data)
    points = viewer.add_points([[0, 3, 5, 5], [1, 5, 5, 5]])
    viewer.dims.set_current_step(0, 1)

    assert summary(references(viewer, image, labels, points)) == [(5, 1, "mask")]


def test_labels_are_resampled_to_the_image(viewer, stack):
    image = viewer.add_image(stack, scale=(4, 1, 1), translate=(0, 10, 0))
    data = np.zeros((12, 30, 25), dtype=int)
    data[6, 8:12, 5:10] = 2
    labels = viewer.add_labels(data, scale=(2, 2, 2))

    (found,) = references(viewer, image, labels)

    # Plane 6 is at world 12, frame 3; label rows 8-11 cover world 15-23, image rows 5-13.
    assert summary([found]) == [(3, 2, "mask")]
    rows, _ = np.nonzero(found.mask)
    assert abs(rows.min() - 5) <= 1
    assert abs(rows.max() - 12) <= 1
    assert found.mask.sum() == pytest.approx(8 * 10, abs=2 * 18)


def test_resampling_keeps_thin_scribbles_connected(viewer, stack):
    image = viewer.add_image(stack, scale=(1, 4, 4))
    data = np.zeros((6, 160, 200), dtype=int)
    data[1, 21, 20:180] = 1
    labels = viewer.add_labels(data)

    (found,) = references(viewer, image, labels, kind="scribble")

    assert found.mask[5].sum() == 41


def test_planes_on_the_same_frame_are_merged(viewer, stack):
    image = viewer.add_image(stack, scale=(3, 1, 1))
    data = np.zeros((18, 40, 50), dtype=int)
    data[5, 3:6, 4:8] = 1
    data[7, 20:26, 4:8] = 1

    (found,) = references(viewer, image, viewer.add_labels(data))

    assert found.frame == 2
    assert found.mask.sum() == 3 * 4 + 6 * 4


def test_units_are_converted(viewer, stack):
    image = viewer.add_image(stack, scale=(1, 0.5, 0.5), units="um")
    points = viewer.add_points([[2000, 5000, 10000]], units="nm")

    (found,) = references(viewer, image, points, point_radius=1)

    assert found.frame == 2
    assert np.argwhere(found.mask).mean(axis=0).tolist() == [10, 20]


def test_rgb_multiscale_and_lazy_layers(viewer, stack):
    colour = viewer.add_image(np.stack([stack] * 3, axis=-1), rgb=True)
    pyramid = viewer.add_image([stack, stack[:, ::2, ::2]], multiscale=True)
    lazy = viewer.add_image(da.from_array(stack, chunks=(1, 40, 50)))
    labels = np.zeros(stack.shape, dtype=int)
    labels[4, 3:9, 4:8] = 1
    layer = viewer.add_labels(da.from_array(labels, chunks=(1, 40, 50)))

    for image, channels in ((colour, 3), (pyramid, 1), (lazy, 1)):
        (found,) = references(viewer, image, layer)
        assert found.image.shape == (40, 50, channels)
        np.testing.assert_array_equal(found.image[..., 0], stack[4])


def test_channels_are_not_frames(viewer):
    data = np.random.default_rng(0).random((3, 2, 40, 50))
    image = viewer.add_image(data)
    points = viewer.add_points([[2, 0, 20, 20]])

    (found,) = references(viewer, image, points, axes="TCYX")

    assert found.frame == 2
    np.testing.assert_array_equal(found.image, np.moveaxis(data[2], 0, -1))


def test_2d_image(viewer, stack):
    image = viewer.add_image(stack[0])
    shapes = viewer.add_shapes([SQUARE], shape_type="rectangle")

    assert summary(references(viewer, image, shapes)) == [(0, 1, "box")]


@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")  # from the rotated layer
@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda v: v.add_labels(np.zeros((6, 40, 50), dtype=int)), "no annotation yet"),
        (lambda v: v.add_points(ndim=3), "no annotation yet"),
        (lambda v: v.add_points([[9, 5, 5]]), "outside the image 'stack'"),
        (lambda v: v.add_points([[-1, 5, 5]]), "outside the image 'stack'"),
        (lambda v: v.add_points([[2, 500, 5]]), "outside"),
        (lambda v: v.add_shapes([square_on(2, 100, 100)], shape_type="polygon"), "outside"),
        (
            lambda v: v.add_labels(np.ones((6, 4, 4), dtype=int), translate=(0, 100, 100)),
            "outside the image 'stack'",
        ),
        (
            lambda v: v.add_labels(np.ones((6, 40, 50), dtype=int), rotate=[0, 20, 0]),
            "tilted",
        ),
        (
            lambda v: v.add_shapes([np.array([(0, 5, 5), (4, 9, 9)])], shape_type="path"),
            "spans several frames",
        ),
        (lambda v: v.add_points([[2, 5, 5]], features={"class": ["cell"]}), "positive integers"),
        (lambda v: v.add_points([[2, 5, 5]], features={"class": [0]}), "positive integers"),
        (lambda v: v.add_points([[2, 5, 5]], features={"class": [1.5]}), "positive integers"),
    ],
)
def test_invalid_annotations(viewer, stack, draw, message):
    image = viewer.add_image(stack, name="stack")
    layer = draw(viewer)

    with pytest.raises(InputError, match=message):
        references(viewer, image, layer)


def test_object_labels_are_rejected_before_masks_are_made(viewer, stack, monkeypatch):
    image = viewer.add_image(stack)
    objects = np.zeros(stack.shape, dtype=np.uint16)
    objects[:, ::4, ::5] = 1 + np.arange(6 * 100).reshape(6, 10, 10) % 100 // 4
    objects[5, 1, :40] = np.arange(101, 141)  # exceeds the limit only together with other frames
    layer = viewer.add_labels(objects)
    made = []
    monkeypatch.setattr(Reference, "__post_init__", made.append)
    with pytest.raises(InputError, match=r"different values.*the same label"):
        references(viewer, image, layer)
    assert not made


def test_without_annotation_layers(viewer, stack):
    with pytest.raises(InputError, match="no annotation yet"):
        references(viewer, viewer.add_image(stack))


def test_only_some_objects_are_marked(viewer, stack):
    image = viewer.add_image(stack)
    data = np.zeros(stack.shape, dtype=int)
    data[1, 3:9, 4:8] = 1
    shapes = viewer.add_shapes(
        [square_on(2), square_on(3), square_on(4)], shape_type=["polygon", "ellipse", "rectangle"]
    )
    found = references(viewer, image, viewer.add_labels(data), shapes, kind="partial")
    assert summary(found) == [
        (1, 1, "partial"),
        (2, 1, "partial"),
        (3, 1, "partial"),
        (4, 1, "box"),
    ]


def test_not_this_is_negative_for_all_classes_and_on_other_frames(viewer, stack):
    image = viewer.add_image(stack)
    data = np.zeros(stack.shape, dtype=np.uint8)
    data[1, 3:9, 4:8], data[1, 20:30, 4:8] = 1, 3
    data[1, 35, 4:8], data[4, 12, 10:30] = BACKGROUND_LABEL, BACKGROUND_LABEL
    labels = viewer.add_labels(data)
    points = viewer.add_points([(1, 3, 4)], features={"class": [BACKGROUND_LABEL]})
    mark_background(labels)
    mark_background(points)

    found = references(viewer, image, labels, points, kind="scribble", point_radius=1)

    assert [(r.frame, r.class_id, r.empty) for r in found] == [
        (1, 1, False), (1, 3, False), (4, 1, True), (4, 3, True),
    ]  # fmt: skip
    on_frame_1 = data[1] == BACKGROUND_LABEL
    assert (found[1].negative & on_frame_1).sum() == 4
    # A point of "Not this" on a painted pixel removes it from the mask.
    assert found[0].negative[3, 4]
    assert not found[0].mask[3, 4]
    np.testing.assert_array_equal(found[3].negative, data[4] == BACKGROUND_LABEL)
    np.testing.assert_array_equal(found[3].ignored, ~found[3].negative)


def test_not_this_alone_is_no_annotation(viewer, stack):
    image = viewer.add_image(stack)
    shapes = viewer.add_shapes(
        [square_on(2)], shape_type="polygon", features={"class": [BACKGROUND_LABEL]}
    )
    mark_background(shapes)
    with pytest.raises(InputError, match="no annotation yet"):
        references(viewer, image, shapes)


def test_masks_with_the_values_0_and_255_are_a_class(viewer, stack):
    image = viewer.add_image(stack)
    data = np.zeros(stack.shape, dtype=np.uint8)
    data[1, 3:9, 4:8] = 255
    (found,) = references(viewer, image, viewer.add_labels(data))
    assert (found.class_id, found.negative) == (255, None)
