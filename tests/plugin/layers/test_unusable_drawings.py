"""Drawings that cannot be used: ignored with a sentence, asked about, or refused."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_vrp_sam.annotations.label_questions import LabelQuestion
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.layers.annotations import Annotation, references_from_layers

BOX = np.array([(10, 20), (10, 40), (30, 40), (30, 20)], float)
FAR = BOX + 500


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def image(viewer):
    stack = np.random.default_rng(0).integers(0, 255, (6, 60, 80), dtype=np.uint8)
    return viewer.add_image(stack, name="stack")


def on(frame, points):
    return np.column_stack([np.full(len(points), frame), points])


def read(viewer, image, *layers, kind="mask"):
    notes = []
    annotations = [Annotation(layer, kind) for layer in layers]
    found = references_from_layers(image, annotations, viewer.dims, report=notes.append)
    return [(r.frame, r.kind, int(r.mask.sum())) for r in found], notes[0]


@pytest.mark.parametrize(
    ("draw", "note"),
    [
        (
            lambda v: v.add_shapes([on(1, BOX), on(1, FAR)], shape_type="polygon", name="a"),
            "1 shape of 'a' lies outside the image and is not used.",
        ),
        (
            lambda v: v.add_points([(1, 20, 30), (1, 500, 30), (9, 20, 30)], name="a"),
            "2 points of 'a' lie outside the image and are not used.",
        ),
        (
            lambda v: v.add_points([(1, 20, 30), (np.nan, 20, 30)], name="a"),
            "1 point of 'a' lies outside the image and is not used.",
        ),
        (
            lambda v: v.add_points([(1, 20, 30), (2, 20, 30)], shown=[True, False], name="a"),
            "1 point of 'a' is hidden and is not used.",
        ),
        (
            lambda v: v.add_shapes(
                [on(1, BOX), on(2, BOX[:1].repeat(4, 0)), on(3, BOX[:1].repeat(2, 0))],
                shape_type=["polygon", "rectangle", "line"],
                name="a",
            ),
            "2 shapes of 'a' have no size, as after a click, and are not used.",
        ),
        (
            lambda v: v.add_shapes(
                [on(1, BOX), on(2, 30 + BOX / 100)], shape_type=["polygon", "ellipse"], name="a"
            ),
            "1 shape of 'a' has no size, as after a click, and is not used.",
        ),
        (lambda v: labels_on(v, (1, 9)), "1 annotated frame of 'a' lies outside the image"),
        (lambda v: v.add_points([(1, 20, 30)], name="a"), ""),
    ],
    ids=[
        "shape outside", "points outside", "NaN", "hidden", "clicks", "small", "labels", "all used",
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_ignored_and_reported(viewer, image, draw, note):
    found, said = read(viewer, image, draw(viewer))
    assert [frame for frame, _, _ in found] == [1]
    assert said.startswith(note)
    assert bool(said) == bool(note)


def labels_on(viewer, frames):
    data = np.zeros((12, 60, 80), np.uint8)
    data[list(frames), 10:30, 20:40] = 1
    return viewer.add_labels(data, name="a")


@pytest.mark.parametrize(
    "draw",
    [
        lambda v, **k: v.add_shapes([on(1, FAR)], shape_type="polygon", name="a", **k),
        lambda v, **k: v.add_points(on(1, FAR), name="a", **k),
        lambda v, **k: v.add_labels(
            np.ones((6, 4, 4), np.uint8), **{"translate": (0, 500, 500), **k}, name="a"
        ),
    ],
    ids=["shapes", "points", "labels"],
)
def test_layers_of_another_place_are_refused(viewer, image, draw):
    with pytest.raises(InputError, match=r"The annotations in 'a' lie outside the image 'stack'"):
        read(viewer, image, draw(viewer))


def test_a_layer_without_the_scale_of_the_image(viewer):
    image = viewer.add_image(np.zeros((60, 80), np.uint8), scale=(0.1, 0.1), name="stack")
    for layer in (viewer.add_shapes([BOX], shape_type="polygon"), viewer.add_points(BOX)):
        with pytest.raises(InputError, match="give the layer the scale and position of the image"):
            read(viewer, image, layer)
    shapes = viewer.add_shapes([BOX], shape_type="polygon", scale=(0.1, 0.1))
    ((frame, _, area),), _ = read(viewer, image, shapes)
    assert (frame, area) == (0, 21 * 21)


def test_clicks_alone_are_named_in_the_error(viewer, image):
    shapes = viewer.add_shapes([on(1, BOX[:1].repeat(4, 0))], shape_type="ellipse", name="a")
    with pytest.raises(InputError, match=r"1 shape of 'a' has no size.* Mark the class on a frame"):
        read(viewer, image, shapes)


def test_drawings_in_another_view(viewer, image):
    viewer.dims.order = (1, 0, 2)
    upright = np.array([(1, 30, 20), (1, 30, 50), (4, 30, 50), (4, 30, 20)])
    for kind in ("polygon", "rectangle", "ellipse", "path"):
        with pytest.raises(InputError, match=r"spans several frames, as if .* in another view"):
            read(viewer, image, viewer.add_shapes([upright], shape_type=kind))
    data = np.zeros((6, 60, 80), np.uint8)
    data[1:5, 30, 20:50] = 1
    painted = viewer.add_labels(data, name="a")
    with pytest.raises(LabelQuestion, match=r"of 'a' lie in one line of 4 frames.*another view"):
        read(viewer, image, painted)
    found, _ = read(viewer, image, painted, kind="scribble")
    assert found == [(frame, "scribble", 30) for frame in range(1, 5)]
    assert len(read(viewer, image, viewer.add_points([(2, 30, 20), (3, 30, 40)]))[0]) == 2
