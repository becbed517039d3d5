"""Label images: colours, alpha, floats, folders of masks, masks beside images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.io.references.conftest import STACK, only, references

from napari_vrp_sam.annotations.label_questions import LabelQuestion
from napari_vrp_sam.errors import InputError

DISC = (np.arange(60)[:, None] - 30) ** 2 + (np.arange(80) - 30) ** 2 <= 15**2
BAR = np.zeros((60, 80), np.bool_)
BAR[5:50, 60:72] = True
WHITE = 255 * DISC.astype(np.uint8)
NOTHING = np.zeros_like(WHITE)


@pytest.mark.parametrize(
    "pixels",
    [
        np.dstack([WHITE] * 3),
        np.dstack([WHITE] * 4),
        np.dstack([WHITE, NOTHING, NOTHING]),
        np.dstack([NOTHING, NOTHING, NOTHING, WHITE]),
        np.dstack([WHITE, np.full_like(WHITE, 255)]),
        WHITE,
        DISC,
    ],
    ids=["gray RGB", "RGBA", "red", "black on transparent", "gray and alpha", "gray", "one bit"],
)
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_masks_of_picture_editors_are_one_class(tmp_path, pixels, suffix):
    path = tmp_path / f"mask.{suffix}"
    if suffix == "tif" and pixels.ndim == 3 and pixels.shape[2] == 2:  # not written by Pillow
        tifffile.imwrite(path, pixels, photometric="minisblack", extrasamples=["unassalpha"])
    else:
        Image.fromarray(pixels).save(path)
    (_, class_id, kind), mask = only(path, reference_frame=1)
    assert class_id in (1, 255)
    assert kind == "mask"
    np.testing.assert_array_equal(mask, DISC)


def painted() -> Any:
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[DISC], picture[BAR] = (0, 0, 200), (255, 255, 0)
    return picture


def test_colours_are_classes(tmp_path):
    Image.fromarray(painted()).save(tmp_path / "mask.png")
    found = references(tmp_path / "mask.png", reference_frame=1)
    assert [what for what, _, _ in found] == [(1, 1, "mask"), (1, 2, "mask")]
    np.testing.assert_array_equal(found[0][1], DISC)
    np.testing.assert_array_equal(found[1][1], BAR)


def test_the_colours_are_reported(tmp_path, caplog):
    caplog.set_level("INFO", "napari_vrp_sam")
    Image.fromarray(painted()).save(tmp_path / "mask.png")
    references(tmp_path / "mask.png", reference_frame=1)
    assert "mask.png: The classes are the colours 1 #0000c8, 2 #ffff00; black is" in caplog.text


def test_masks_painted_on_white(tmp_path, caplog):
    caplog.set_level("INFO", "napari_vrp_sam")
    picture = np.full((60, 80, 3), 255, np.uint8)
    picture[DISC], picture[BAR] = (0, 0, 200), (200, 0, 0)
    Image.fromarray(picture).save(tmp_path / "mask.png")
    found = references(tmp_path / "mask.png", reference_frame=1)
    assert [what[1] for what, _, _ in found] == [1, 2]
    np.testing.assert_array_equal(found[0][1] | found[1][1], DISC | BAR)
    assert "white is background" in caplog.text


def test_two_labels_on_every_pixel_are_asked_about(tmp_path):
    Image.fromarray(np.where(DISC, 1, 2).astype(np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(InputError, match="cover whole frames with 1 and 2: give `background=2`"):
        references(tmp_path / "mask.png", reference_frame=1)
    assert len(references(tmp_path / "mask.png", reference_frame=1, one_class=False)) == 2
    ((what, mask, _),) = references(tmp_path / "mask.png", reference_frame=1, background=2)
    assert what == (1, 1, "mask")
    np.testing.assert_array_equal(mask, DISC)


def test_palettes_are_indices(tmp_path):
    indexed = Image.fromarray((DISC + 2 * BAR).astype(np.uint8)).convert("P")
    indexed.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    indexed.save(tmp_path / "mask.png")
    found = references(tmp_path / "mask.png", reference_frame=1)
    assert [what[1] for what, _, _ in found] == [1, 2]
    np.testing.assert_array_equal(found[1][1], BAR)


def test_photographs_and_smooth_edges_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (60, 80, 3), np.uint8)).save(tmp_path / "photo.png")
    with pytest.raises(InputError, match=r"photo.png: The mask has at least \d+ colours.*smooth"):
        references(tmp_path / "photo.png", reference_frame=1)
    Image.fromarray(WHITE).save(tmp_path / "mask.jpg")
    with pytest.raises(InputError, match="JPEG changes labels"):
        references(tmp_path / "mask.jpg", reference_frame=1)


def test_stacks_of_colours_and_floats(tmp_path):
    stack = np.zeros((4, 60, 80, 3), np.uint8)
    stack[2] = painted()
    tifffile.imwrite(tmp_path / "colours.tif", stack, photometric="rgb")
    assert [what for what, _, _ in references(tmp_path / "colours.tif")] == [
        (2, 1, "mask"),
        (2, 2, "mask"),
    ]
    labels = np.zeros((4, 60, 80), np.float32)
    labels[3][DISC] = 2
    tifffile.imwrite(tmp_path / "float.tif", labels, photometric="minisblack")
    assert only(tmp_path / "float.tif")[0] == (3, 2, "mask")
    tifffile.imwrite(tmp_path / "soft.tif", labels / 3, photometric="minisblack")
    with pytest.raises(InputError, match="Labels must be integers"):
        references(tmp_path / "soft.tif")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for index, frame in enumerate(STACK):
        Image.fromarray(frame).save(folder / f"img_{index}.png")
    return folder


def test_labels_have_the_names_of_images_or_those_of_cellpose(tmp_path, folder):
    for name in ("img_2.png", "img_2_masks.png", "img_2_cp_masks.png"):
        labels = tmp_path / name.removesuffix(".png")
        labels.mkdir()
        Image.fromarray(painted()).save(labels / name)
        found = references(labels, image=folder)
        expected = [1] if "_cp_" in name else [1, 2]
        assert [what for what, _, _ in found] == [(2, n, "mask") for n in expected]
    Image.fromarray(WHITE).save(labels / "other.png")
    with pytest.raises(InputError, match=r"other.png does not belong to an image"):
        references(labels, image=folder)


def test_masks_beside_the_images(folder):
    with pytest.raises(InputError, match="is the image itself: give its labels"):
        references(folder, image=folder)
    ids = (DISC + 2 * BAR).astype(np.uint16)
    Image.fromarray(ids).save(folder / "img_1_cp_masks.png")
    Image.fromarray(ids).save(folder / "img_3_cp_masks.png")
    tifffile.imwrite(folder / "img_3_flows.tif", np.zeros((60, 80, 3), np.uint8))
    found = references(folder, image=folder)
    assert [what for what, _, _ in found] == [(1, 1, "mask"), (3, 1, "mask")]
    np.testing.assert_array_equal(found[0][1], DISC | BAR)


def test_masks_of_cellpose_in_npy_beside_the_images(folder):
    content = {"masks": (DISC + 2 * BAR).astype(np.uint16), "filename": "img_1.png"}
    np.save(folder / "img_1_seg.npy", content, allow_pickle=True)
    what, mask = only(folder, image=folder)
    assert what == (1, 1, "mask")
    np.testing.assert_array_equal(mask, DISC | BAR)


def test_numbered_masks_of_unknown_programs_are_asked_about(folder):
    ids = np.zeros((60, 80), np.uint16)
    for number in range(6):
        row, column = 8 + 30 * (number // 3), 8 + 25 * (number % 3)
        ids[row : row + 9, column : column + 9] = number + 1
    Image.fromarray(ids).save(folder / "img_1_masks.png")
    with pytest.raises(LabelQuestion, match="numbered objects"):
        references(folder, image=folder)
    assert len(references(folder, image=folder, one_class=True)) == 1


def test_missing_files(tmp_path):
    with pytest.raises(InputError, match="There is no annotation file at"):
        references(tmp_path / "missing.tif")
