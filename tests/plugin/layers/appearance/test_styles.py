import warnings

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from napari.layers.labels import labels as napari_labels
from napari.utils.colormaps import DirectLabelColormap

from napari_vrp_sam.plugin.classes.annotation_layers import new_annotation_layer
from napari_vrp_sam.plugin.layers.appearance import styles
from napari_vrp_sam.plugin.layers.appearance.contour_widths import camera_of
from napari_vrp_sam.plugin.layers.appearance.palette import contrast, default_colour
from napari_vrp_sam.plugin.layers.appearance.styles import (
    FILL_OPACITY,
    colour_classes,
    fit_contours,
    set_style,
    style_of,
)

GREYS = 0, 64, 128, 192, 255
SHOWN = {"filled": True, "hatched": True, "contour": False, "dashed": False}
"""Styles, and whether they fill."""


def drawn(layer):
    """RGBA of the slice in view, shape (Y, X, 4)."""
    values = layer._slice.image.view
    if values.dtype != layer.dtype:  # indices of a texture
        values = layer._calculate_contour(layer.data, tuple(map(slice, [0, 0], layer.data.shape)))
    return layer.colormap.map(values)


def squares(style, *classes, dtype=np.uint8, size=40):
    """Layer in a viewer with a square of each class, one above the other."""
    viewer = ViewerModel()
    data = np.zeros((size * len(classes), size), dtype)
    for row, number in enumerate(classes):
        data[size * row + 8 : size * (row + 1) - 8, 8:-8] = number
    layer = Labels(data, opacity=1)
    set_style(layer, style)
    viewer.add_layer(layer)
    return layer


def hexed(rgba):
    return "#" + "".join(f"{round(255 * float(channel)):02x}" for channel in rgba[:3])


@pytest.mark.parametrize("style", SHOWN)
def test_contour_has_the_class_colour_and_a_casing(style):
    layer = squares(style, 1, 5)
    rgba = drawn(layer)
    for row, number in ((0, 1), (40, 5)):
        line, casing = rgba[row + 8, 8:-8], rgba[row + 7, 8:-8]
        assert {hexed(pixel) for pixel in casing} == {"#000000"}
        colours = {hexed(pixel) for pixel in line}
        assert colours == {default_colour(number)} | ({"#ffffff"} if style == "dashed" else set())
        assert (line[:, 3] == 1).all()
        assert (casing[:, 3] == 1).all()
    inside = rgba[12:28, 12:28]
    assert set(np.unique(inside[..., 3])) == {
        "filled": {np.float32(FILL_OPACITY)},
        "hatched": {np.float32(0), np.float32(FILL_OPACITY)},
    }.get(style, {np.float32(0)})
    assert FILL_OPACITY <= 0.4
    assert not rgba[:6, :, 3].any()


def test_styles_look_different():
    pictures = [drawn(squares(style, 1)).tobytes() for style in SHOWN]
    assert len(set(pictures)) == len(SHOWN)


def test_flat_classes_have_no_contour():
    rgba = drawn(squares("flat", 1))
    np.testing.assert_array_equal(rgba[..., 3] > 0, squares("flat", 1).data > 0)
    assert {hexed(pixel) for pixel in rgba[8:-8, 8:-8].reshape(-1, 4)} == {default_colour(1)}
    assert set(np.unique(rgba[..., 3])) == {np.float32(0), np.float32(FILL_OPACITY)}
    # A class that is too high to be filled keeps its contour.
    assert (drawn(squares("flat", 200))[8, 8:-8, 3] == 1).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.int64])
def test_any_dtype(dtype):
    expected = drawn(squares("filled", 1, 7))
    np.testing.assert_array_equal(drawn(squares("filled", 1, 7, dtype=dtype)), expected)


def test_the_highest_classes_are_drawn_in_their_own_colours():
    layer = squares("filled", 254, 255)
    colour_classes(layer, {254: "#ff0000", 255: "#00ff00"})
    rgba = drawn(layer)
    assert hexed(rgba[8, 20]) == hexed(rgba[20, 20]) == "#ff0000"
    assert hexed(rgba[48, 20]) == hexed(rgba[60, 20]) == "#00ff00"
    assert hexed(rgba[7, 20]) == "#000000"


@pytest.mark.parametrize("style", SHOWN)
@pytest.mark.parametrize("width", [1, 3])
def test_painting_redraws_the_same_as_a_full_refresh(style, width):
    layer = squares(style, 1, 2, 3)
    layer.contour = 2 * width
    layer.brush_size = 7
    rng = np.random.default_rng(0)
    for label in (4, 0, 2, 0, 1):
        for _ in range(5):
            layer.paint(tuple(rng.integers((0, 0), layer.data.shape)), label)
    painted = drawn(layer)
    layer.refresh()
    np.testing.assert_array_equal(painted, drawn(layer))


def test_thick_contours_keep_the_smallest_objects():
    layer = squares("contour", 1)
    layer.data[2, 2] = 3
    layer.contour = 10
    assert default_colour(3) in {hexed(pixel) for pixel in drawn(layer)[2]}


def test_contours_follow_the_zoom():
    viewer = ViewerModel()
    layer = Labels(np.zeros((3, 4000, 3000), np.uint8), scale=(1, 0.5, 0.5))
    viewer.add_layer(layer)
    fit_contours(layer, 0.2)
    assert layer.contour == 0  # drawn by napari
    set_style(layer, "contour")
    fit_contours(layer, 0.2)  # a pixel has 0.1 pixels of the screen
    assert layer.contour == 2 * 15
    fit_contours(layer, 8)
    assert layer.contour == 2
    layer.contour = 0  # by the user
    fit_contours(layer, 0.2)
    assert layer.contour == 0


def test_three_dimensions_show_the_labels_without_a_warning():
    viewer = ViewerModel(ndisplay=3)
    labels = np.zeros((6, 8, 8), np.uint8)
    labels[2:4, 2:6, 2:6] = 1
    layer = Labels(labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        set_style(layer, "contour")
        viewer.add_layer(layer)
    np.testing.assert_array_equal(layer._slice.image.view, labels)
    assert hexed(layer.get_color(1)) == default_colour(1)


def test_style_keeps_colours_of_the_user_and_copies():
    layer = Labels(np.ones((9, 9), np.uint8))
    layer.colormap = DirectLabelColormap(color_dict={None: "gray", 0: "#0000", 1: "#123456"})
    set_style(layer, "contour")
    set_style(layer, "hatched")
    assert hexed(layer.get_color(1)) == "#123456"
    assert style_of(layer) == "hatched"

    colour_classes(layer, {1: "#00ff00"})
    copy = Labels(*layer.as_layer_data_tuple()[:1], **layer.as_layer_data_tuple()[1])
    assert style_of(copy) == "hatched"
    set_style(copy, "filled")
    assert hexed(copy.get_color(1)) == "#00ff00"


def test_colours_replaced_by_the_user_are_drawn():
    layer = squares("contour", 1)
    layer.colormap = DirectLabelColormap(color_dict={None: "gray", 0: "#0000", 1: "#123456"})
    assert {hexed(pixel) for pixel in drawn(layer)[8, 8:-8]} == {"#123456"}


def test_layers_with_a_style_are_freed():
    import gc
    import weakref

    layer = Labels(np.ones((9, 9), np.uint8))
    set_style(layer, "contour")
    ref = weakref.ref(layer)
    del layer
    gc.collect()
    assert ref() is None


def test_classes_contrast_with_every_grey_on_the_screen(make_napari_viewer):
    """Every class is drawn on every grey in every style; the picture is that of the window."""
    viewer = make_napari_viewer(show=True)
    numbers = range(1, 11)
    labels = np.zeros((20 * len(numbers), 20 * len(GREYS)), np.uint8)
    for row in numbers:
        for column in range(len(GREYS)):
            top, left = 20 * (row - 1), 20 * column
            labels[top + 5 : top + 15, left + 5 : left + 15] = row
    image = np.repeat(np.array(GREYS, np.uint8), 20)[None].repeat(len(labels), 0)
    viewer.add_image(image, contrast_limits=(0, 255))
    layer = viewer.add_labels(labels, opacity=1)
    for style in SHOWN:
        set_style(layer, style)
        camera_of(viewer).zoom = 3
        camera_of(viewer).center = (0, len(labels) / 2, image.shape[1] / 2)
        height, width = (3 * size for size in labels.shape)
        picture = viewer.screenshot(size=(height, width), flash=False)[..., :3]
        assert picture.shape[:2] == (height, width)
        for row in numbers:
            for column, grey in enumerate(GREYS):
                top, left = 60 * (row - 1), 60 * column
                part = picture[top + 3 : top + 57, left + 3 : left + 57].reshape(-1, 3)
                colours, counts = np.unique(part, axis=0, return_counts=True)
                background = f"#{grey:02x}{grey:02x}{grey:02x}"
                visible = sum(
                    count
                    for colour, count in zip(colours, counts, strict=True)
                    if contrast("#" + bytes(colour).hex(), background) >= 3
                )
                # At least half of the outline of a square, each pixel of which covers 3 x 3 of the
                # screen; dashes cover only half of it.
                expected = 9 * 36 // (4 if style == "dashed" else 2)
                assert visible >= expected, (style, row, grey)


@pytest.mark.parametrize("style", ["filled", "flat", "contour", "hatched", "dashed"])
@pytest.mark.parametrize("width", [1, 3])
def test_only_the_labelled_part_is_computed(monkeypatch, style, width):
    rng = np.random.default_rng(0)
    for start, stop in ((10, 24), (0, 40), (37, 47)):
        data = np.zeros((47, 61), np.uint8)
        data[start:stop, start:stop] = rng.integers(0, 3, (stop - start, stop - start))
        layer = Labels(data)
        set_style(layer, style)
        layer.contour = 2 * width
        for window in ((slice(0, 47), slice(0, 61)), (slice(5, 30), slice(8, 41))):
            found = layer._calculate_contour(data, window)
            with monkeypatch.context() as patch:
                patch.setattr(
                    styles, "labelled_part", lambda block, _: tuple(map(slice, (0, 0), block.shape))
                )
                np.testing.assert_array_equal(found, layer._calculate_contour(data, window))


def test_a_new_annotation_layer_draws_no_contours(monkeypatch):
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((64, 64), np.uint8))

    def fail(*_args, **_kwargs):
        raise AssertionError("seconds in a large image")

    monkeypatch.setattr(napari_labels, "get_contours", fail)
    monkeypatch.setattr(styles.ClassDrawing, "_lines", fail)
    layer = new_annotation_layer(viewer, image, "mask")
    assert style_of(layer) == "filled"
    assert layer.contour
