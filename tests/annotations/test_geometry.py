import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import label as connected_components

from napari_vrp_sam.annotations.geometry import (
    box_to_mask,
    default_radius,
    ellipse_to_mask,
    path_to_mask,
    points_to_mask,
    polygon_to_mask,
    shape_to_mask,
)
from napari_vrp_sam.errors import InputError

FRAME = (40, 56)
ROWS, COLUMNS = np.indices(FRAME)

inside_row = st.floats(0, FRAME[0] - 1)
inside_column = st.floats(0, FRAME[1] - 1)
inside = st.tuples(inside_row, inside_column)
anywhere = st.tuples(st.floats(-30, 90), st.floats(-30, 90))


@pytest.mark.parametrize(
    ("frame_shape", "radius"), [((64, 64), 1), ((400, 300), 3), ((2000, 1000), 10)]
)
def test_the_default_radius_is_one_percent_of_the_shorter_side(frame_shape, radius):
    assert default_radius(frame_shape) == radius
    centre = [(frame_shape[0] // 2, frame_shape[1] // 2)]
    np.testing.assert_array_equal(
        points_to_mask(centre, frame_shape), points_to_mask(centre, frame_shape, radius=radius)
    )


@given(st.lists(inside, min_size=1, max_size=5), st.floats(0.8, 12))
def test_points_are_discs(points, radius):
    expected = np.zeros(FRAME, dtype=bool)
    for row, column in points:
        expected |= (ROWS - row) ** 2 + (COLUMNS - column) ** 2 <= radius**2
    assert np.array_equal(points_to_mask(points, FRAME, radius=radius) > 0, expected)


def test_a_point_of_radius_0_marks_one_pixel():
    mask = points_to_mask([(10.4, 19.6)], FRAME, radius=0)
    assert np.argwhere(mask).tolist() == [[10, 20]]


def test_points_outside_of_the_frame_are_ignored():
    mask = points_to_mask([(-50, 3), (5, 6), (5, 900)], FRAME, radius=0)
    assert np.argwhere(mask).tolist() == [[5, 6]]


def test_pixels_at_the_radius_belong_to_a_disc():
    mask = points_to_mask([(20, 10)], FRAME, radius=5)
    assert (mask[20, 15], mask[24, 13], mask[20, 16]) == (1, 1, 0)


def test_a_path_of_one_vertex_is_a_disc():
    disc = points_to_mask([(20, 10)], FRAME, radius=3.5)
    np.testing.assert_array_equal(path_to_mask([(20, 10)], FRAME, width=7), disc)


def test_the_width_of_a_path():
    mask = path_to_mask([(20, 10), (20, 40)], FRAME, width=5)
    assert mask[:, 25].sum() == 5
    assert mask[20, 8] == 1
    assert mask[20, 7] == 0
    short = path_to_mask([(20, 10), (20, 10.9)], FRAME, width=5)
    assert (short[20, 8], short[20, 13], short[20, 14]) == (1, 1, 0)


@given(st.lists(inside, min_size=1, max_size=6), st.floats(0, 8))
def test_a_path_is_connected_and_contains_its_vertices(vertices, width):
    mask = path_to_mask(vertices, FRAME, width=width)
    assert connected_components(mask, connectivity=2).max() == 1
    for row, column in vertices:
        assert mask[round(row), round(column)] == 1


@given(st.lists(inside, min_size=2, max_size=5), st.floats(1, 8))
def test_the_direction_of_a_path_does_not_matter(vertices, width):
    np.testing.assert_array_equal(
        path_to_mask(vertices, FRAME, width=width), path_to_mask(vertices[::-1], FRAME, width=width)
    )


@given(
    st.tuples(st.integers(0, 39), st.integers(0, 39)).map(sorted),
    st.tuples(st.integers(0, 55), st.integers(0, 55)).map(sorted),
)
def test_a_box_contains_the_pixels_between_its_corners(rows, columns):
    expected = np.zeros(FRAME)
    expected[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = 1
    # Corners drawn with a mouse are between pixel centres.
    low, high = (rows[0] - 0.25, columns[0] - 0.25), (rows[1] + 0.25, columns[1] + 0.25)
    np.testing.assert_array_equal(box_to_mask([low, high], FRAME), expected)
    np.testing.assert_array_equal(box_to_mask([high, low], FRAME), expected)
    corners = [low, (low[0], high[1]), high, (high[0], low[1])]
    np.testing.assert_array_equal(box_to_mask(corners, FRAME), expected)


def test_a_rotated_box_is_filled():
    diamond = box_to_mask([(10, 20), (20, 30), (30, 20), (20, 10)], FRAME)
    expected = np.abs(ROWS - 20) + np.abs(COLUMNS - 20) <= 10
    assert np.array_equal(diamond > 0, expected)


@given(anywhere, st.floats(2, 40), st.floats(2, 40), st.floats(0, np.pi))
def test_a_rotated_ellipse_is_filled(centre, height, width, angle):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    halves = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)]) * (height / 2, width / 2)
    corners = halves @ turn.T + centre
    u, v = turn.T @ np.stack([(ROWS - centre[0]).ravel(), (COLUMNS - centre[1]).ravel()])
    distance = (2 * u / height) ** 2 + (2 * v / width) ** 2
    expected = distance.reshape(FRAME)
    try:
        mask = ellipse_to_mask(corners, FRAME)
    except InputError:
        assert (expected > 1 - 1e-9).all()
        return
    if (expected < 1 - 1e-9).any():
        assert mask[expected < 1 - 1e-9].all()
        assert not mask[expected > 1 + 1e-9].any()


def test_a_polygon_is_filled():
    mask = polygon_to_mask([(5, 5), (5, 25), (25, 5)], FRAME)
    expected = (ROWS >= 5) & (COLUMNS >= 5) & (ROWS + COLUMNS <= 30)
    assert np.array_equal(mask > 0, expected)


def test_a_polygon_around_the_frame_fills_it():
    assert polygon_to_mask([(-9, -9), (-9, 99), (99, 99), (99, -9)], FRAME).all()


@given(inside, st.floats(0, 0.3))
def test_small_shapes_between_pixel_centres_mark_a_pixel(corner, size):
    row, column = corner
    box = [(row, column), (row, column + size), (row + size, column + size), (row + size, column)]
    for draw in (box_to_mask, polygon_to_mask, ellipse_to_mask):
        mask = draw(box, FRAME)
        assert 1 <= mask.sum() <= 4
        marked = np.argwhere(mask)
        assert np.abs(marked - corner).max() <= 1


@pytest.mark.parametrize(
    ("shape_type", "kind", "area"),
    [
        ("line", "scribble", None),
        ("path", "scribble", None),
        ("rectangle", "box", 121),
        ("polygon", "mask", 121),
        ("ellipse", "mask", 81),
    ],
)
def test_the_kind_of_annotation_of_each_shape(shape_type, kind, area):
    vertices = [(10, 10), (10, 20), (20, 20), (20, 10)]
    mask, found = shape_to_mask(shape_type, vertices, FRAME, width=3)
    assert found == kind
    assert mask.dtype == np.float32
    expected = path_to_mask(vertices, FRAME, width=3).sum() if area is None else area
    assert mask.sum() == expected


@pytest.mark.parametrize(
    "draw", [points_to_mask, path_to_mask, polygon_to_mask, box_to_mask, ellipse_to_mask]
)
class TestBadInput:
    def test_outside_the_frame(self, draw):
        corners = np.array([(0, 0), (0, 9), (9, 9), (9, 0)]) + 500
        with pytest.raises(InputError, match="outside its frame of 40 x 56"):
            draw(corners, FRAME)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_coordinates_that_are_not_finite(self, draw, value):
        with pytest.raises(InputError, match="not a number"):
            draw([(1, 1), (1, value), (5, 5), (5, 1)], FRAME)

    @pytest.mark.parametrize("vertices", [[], [1, 2], [(1, 2, 3)]])
    def test_arrays_that_are_not_pairs(self, draw, vertices):
        with pytest.raises(InputError, match="pairs"):
            draw(vertices, FRAME)


def test_other_numbers_of_corners_are_refused():
    with pytest.raises(InputError, match="2 or 4 corners, not"):
        box_to_mask([(1, 1), (2, 2), (3, 3)], FRAME)
    with pytest.raises(InputError, match="4 corners"):
        ellipse_to_mask([(1, 1), (2, 2)], FRAME)


def test_an_unknown_shape_is_refused():
    with pytest.raises(InputError, match="'star'"):
        shape_to_mask("star", [(1, 1)], FRAME)
