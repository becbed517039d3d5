from __future__ import annotations

import numpy as np

from napari_vrp_sam.io.exports.contact_sheet import COLOURS, contact_sheet, overlay, to_rgb


def test_gray_and_colour_frames_become_rgb() -> None:
    frame = np.array([[0, 100], [200, 300]], np.uint16)
    picture = to_rgb(frame, (100, 200))
    assert picture.shape == (2, 2, 3)
    assert picture[..., 0].tolist() == [[0, 0], [255, 255]]
    colours = np.random.default_rng(0).integers(0, 255, (4, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(to_rgb(colours), colours)
    assert to_rgb(colours[..., :1]).shape == (4, 5, 3)


def test_overlay_draws_a_tint_and_an_outline() -> None:
    picture = np.full((20, 20, 3), 100, np.uint8)
    labels = np.zeros((20, 20), np.uint8)
    labels[5:15, 5:15] = 1
    labels[5:15, 15:20] = 7  # more classes than colours
    drawn = overlay(picture, labels, opacity=0.5)
    np.testing.assert_array_equal(drawn[0, 0], (100, 100, 100))
    np.testing.assert_array_equal(drawn[5, 8], COLOURS[1])
    np.testing.assert_array_equal(drawn[10, 10], (100 + COLOURS[1]) // 2)
    np.testing.assert_array_equal(drawn[5, 17], COLOURS[2])


def test_contact_sheet_shows_every_image() -> None:
    red, blue = (np.full((10, 20, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    sheet = contact_sheet(
        [[red, None], [red, blue]], ["a", "b"], ["one", "two"], title="t", cell_width=40
    )
    pixels = np.asarray(sheet)
    assert (pixels == (255, 0, 0)).all(axis=-1).sum() == 2 * 40 * 20
    assert (pixels == (0, 0, 255)).all(axis=-1).sum() == 40 * 20
    headings = pixels[:70]
    assert (headings < 60).all(axis=-1).sum() > 20, "no headings"
