"""Label images that other programs write, and real class masks, which must not be asked about."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from napari_vrp_sam.annotations.label_questions import LabelQuestion, check_label_meaning
from napari_vrp_sam.errors import InputError

SHAPE = 96, 160
ROWS, COLUMNS = np.mgrid[:96, :160]


def disc(row: float, column: float, radius: float) -> Any:
    return (ROWS - row) ** 2 + (COLUMNS - column) ** 2 <= radius**2


def image_of(labels: Any, *, contrast: Any = 100, seed: int = 0) -> Any:
    """A noisy image in which all labels are brighter; `contrast` by value, or for all."""
    values = contrast if isinstance(contrast, dict) else {}
    bright = np.zeros(labels.shape)
    for value in np.unique(labels[labels != 0]):
        bright[labels == value] = values.get(int(value), 100) if values else contrast
    noise = np.random.default_rng(seed).normal(60, 12, labels.shape)
    return (noise + bright).clip(0, 255).astype(np.uint8)[..., None]


def question(labels: Any, image: Any = None, **known: Any) -> str | None:
    frame = image_of(labels) if image is None else image
    try:
        check_label_meaning({0: labels}, lambda _: frame, **known)
    except LabelQuestion as error:
        return error.topic
    return None


def nuclei(count: int, seed: int = 0, *, columns: int = 4) -> Any:
    rng = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, np.uint16)
    for n in range(count):
        row = 24 + 48 * (n // columns) + rng.integers(-8, 9)
        column = 20 + 40 * (n % columns) + rng.integers(-8, 9)
        labels[disc(row, column, rng.integers(6, 10))] = n + 1
    return labels


@pytest.mark.parametrize("count", [3, 5, 8])
def test_few_numbered_objects(count: int) -> None:
    assert question(nuclei(count)) == "objects"


def test_numbered_cells_that_touch() -> None:
    rng = np.random.default_rng(1)
    seeds = np.mgrid[12:96:24, 16:160:32].reshape(2, -1).T + rng.uniform(-8, 8, (20, 2))
    distance = [np.hypot(ROWS - y, COLUMNS - x) for y, x in seeds]
    assert question(np.argmin(distance, axis=0) + 1) == "objects"


def test_numbered_objects_with_gaps_and_a_fragment() -> None:
    labels = nuclei(8)
    labels[labels == 3] = 0
    labels[2, 2] = 5  # a lost pixel
    assert question(labels) == "objects"


def test_many_objects_may_be_long_and_of_all_sizes() -> None:
    """Books on a shelf, and cells of a tissue."""
    shelf = np.where(ROWS > 4 + COLUMNS % 7, 1 + COLUMNS // 8, 0)
    assert question(shelf) == "objects"
    rng = np.random.default_rng(0)
    seeds = np.mgrid[12:96:24, 16:160:32].reshape(2, -1).T + rng.uniform(-11, 11, (20, 2))
    size = rng.uniform(1, 3, 20)
    distance = [np.hypot(ROWS - y, COLUMNS - x) / s for (y, x), s in zip(seeds, size, strict=True)]
    assert question(np.argmin(distance, axis=0) + 1) == "objects"


def test_objects_numbered_on_several_frames() -> None:
    frames = {index: nuclei(6, index) for index in range(20)}
    with pytest.raises(LabelQuestion, match="6 values, one object each"):
        check_label_meaning(frames, lambda index: image_of(frames[index]))


@pytest.mark.parametrize(
    "known",
    [{"one_class": True}, {"one_class": False}, {"kind": "scribble"}, {"kind": "point"}],
)
def test_a_statement_answers_the_question(known: dict[str, Any]) -> None:
    assert question(nuclei(8), **known) is None


def two_classes_of_many_cells() -> Any:
    labels = nuclei(8)
    return np.where(labels > 0, 1 + labels % 2, 0)


def heart() -> Any:
    """Left ventricle in its muscle, and right ventricle: one piece each."""
    labels = np.where(disc(48, 60, 28), 2, 0)
    labels[disc(48, 60, 16)] = 1
    labels[disc(48, 110, 20)] = 3
    return labels


def retina() -> Any:
    """Layers from one side of the frame to the other."""
    depth = ROWS - 8 * np.sin(COLUMNS / 30) - 16
    return np.where((depth >= 0) & (depth < 63), 1 + depth // 9, 0).astype(np.uint8)


def organs() -> Any:
    """Organs of an abdominal section: one piece each, but of all sizes."""
    labels = np.zeros(SHAPE, np.uint8)
    places = [
        (45, 45, 36), (40, 115, 20), (75, 70, 11), (75, 110, 11), (52, 84, 5),
        (62, 84, 4), (50, 92, 2), (20, 95, 12), (30, 70, 8), (66, 62, 2), (66, 100, 2),
    ]  # fmt: skip
    for value, place in enumerate(places, start=1):
        labels[disc(*place) & (labels == 0)] = value
    return labels


def land_cover() -> Any:
    """A map without background, of patches of five classes."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=SHAPE), 6)
    return np.digitize(noise, np.quantile(noise, (0.2, 0.4, 0.6, 0.8))) + 1


def photograph() -> Any:
    """Three classes of Pascal VOC, one object each."""
    labels = np.where(disc(60, 60, 24), 13, 0)
    labels[disc(30, 62, 10)] = 15
    labels[70:90, 110:155] = 7
    return labels


def arteries_and_veins() -> Any:
    labels = np.zeros(SHAPE, np.uint8)
    for start in range(8, 150, 24):
        path = abs(COLUMNS - start - 12 * np.sin(ROWS / 20)) < 2
        labels[path] = 1 + start // 24 % 2
    return labels


def some_parts_of_a_heart() -> Any:
    """Six pieces of similar size, of the eight classes of a dataset."""
    return np.choose(nuclei(6), (0, 2, 3, 4, 5, 6, 8))


def three_different_materials() -> Any:
    labels = np.zeros(SHAPE, np.uint8)
    for value, column in enumerate((25, 80, 130), start=1):
        labels[disc(48, column, 15)] = value
    return labels


def cell_and_nucleus() -> Any:
    labels = np.zeros(SHAPE, np.uint8)
    for number in range(4):
        labels[disc(48, 22 + 38 * number, 16)] = 1
        labels[disc(48, 22 + 38 * number, 7)] = 2
    return labels


@pytest.mark.parametrize(
    ("labels", "contrast"),
    [
        (two_classes_of_many_cells(), 100),
        (heart(), {1: 120, 2: 60, 3: 120}),
        (retina(), {value: 20 * value for value in range(1, 8)}),
        (organs(), 60),
        (land_cover(), {value: 30 * value for value in range(1, 6)}),
        (photograph(), {7: 40, 13: 90, 15: 140}),
        (arteries_and_veins(), {1: 40, 2: 30}),
        (three_different_materials(), {1: 40, 2: 90, 3: 150}),
        (cell_and_nucleus(), {1: 60, 2: 130}),
        (some_parts_of_a_heart(), 100),
        (nuclei(8) > 0, 100),
        (255 * (nuclei(8) > 0), 100),
        (nuclei(2), 100),
    ],
    ids=[
        "two classes", "heart", "retina", "organs", "land cover", "photograph", "vessels",
        "materials", "cell and nucleus", "parts of a heart", "bool", "0 and 255", "two objects",
    ],
)  # fmt: skip
def test_class_masks_are_learned_as_they_are(labels: Any, contrast: Any) -> None:
    image = image_of(np.asarray(labels).astype(int), contrast=contrast)
    assert question(labels, image) is None


@pytest.mark.parametrize("known", [{"one_class": False}, {"background": 1}, {"kind": "mask"}])
def test_two_values_without_background(known: dict[str, Any]) -> None:
    """As ilastik exports a segmentation; the larger value is likely to be the background."""
    labels = np.where(disc(48, 80, 20), 2, 1)
    with pytest.raises(LabelQuestion, match="cover whole frames with 1 and 2: give `background=1`"):
        check_label_meaning({0: labels}, lambda _: image_of(labels))
    assert question(labels, **known) is None


def strokes() -> tuple[Any, Any]:
    """Strokes inside of discs (1) and on the background (2)."""
    truth = sum(disc(24 + 48 * (n // 4), 20 + 40 * (n % 4), 9) for n in range(8)).astype(np.uint8)
    labels = np.where((truth > 0) & (ROWS % 7 < 2), 1, 0)
    labels[(truth == 0) & (COLUMNS % 40 < 2) & (ROWS < 80)] = 2
    return labels, image_of(truth)


def test_strokes_on_objects_and_background() -> None:
    labels, image = strokes()
    with pytest.raises(LabelQuestion, match=r'annotation_kind="scribble".*background=2') as caught:
        check_label_meaning({0: labels}, lambda _: image)
    assert caught.value.value == 2
    assert question(labels, image, kind="mask") is None
    assert question(labels, image, kind="scribble") is None
    # Unlabelled pixels would be background, too.
    assert question(labels, image, background=2) == "strokes"


@pytest.mark.parametrize("void", [255, 65535])
def test_values_of_unknown_pixels(void: int) -> None:
    inner = nuclei(8) > 0
    border = ndimage.binary_dilation(inner, iterations=2) & ~ndimage.binary_erosion(inner)
    labels = np.where(border, void, inner).astype(np.uint16)
    with pytest.raises(LabelQuestion, match=f"contain {void} beside 1, .*ignore={void}"):
        check_label_meaning({0: labels}, lambda _: image_of(inner))
    for known in ({"ignore": void}, {"background": void}, {"one_class": False}):
        assert question(labels, image_of(inner), **known) is None


def test_thin_borders_between_gray_levels() -> None:
    labels = 128 * disc(48, 80, 30).astype(np.uint8)
    ring = disc(48, 80, 31) & ~disc(48, 80, 29)
    assert question(np.where(ring, 255, labels)) == "void"
    assert question(np.where(disc(48, 80, 15), 255, labels)) is None


def test_void_and_objects_are_asked_one_after_the_other() -> None:
    labels = nuclei(8)
    labels[:2] = 255
    assert question(labels) == "void"
    assert question(labels, ignore=255) == "objects"
    assert question(labels, ignore=255, one_class=True) is None


def test_questions_name_arguments_and_can_be_reworded() -> None:
    error = LabelQuestion("void", "contain 255 beside 1", 255)
    assert isinstance(error, InputError)
    assert str(error).startswith("The labels contain 255 beside 1: give `ignore=255`")
    assert error.text("a.tif", {"void": "add --ignore {value}"}) == (
        "a.tif contain 255 beside 1: add --ignore 255."
    )
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.topic, copy.value) == (str(error), "void", 255)


def test_large_frames_are_searched_in_part() -> None:
    labels = np.kron(nuclei(8), np.ones((40, 40), np.uint16))
    image = np.broadcast_to(np.uint8(0), (*labels.shape, 1))
    assert question(labels, image) == "objects"


def test_marks_that_a_brush_leaves_on_neighbouring_frames() -> None:
    drawn = (nuclei(8) > 0).astype(np.uint8)
    spot = np.zeros_like(drawn)
    spot[40:44, 40:44] = 1
    frames = {3: spot, 4: drawn}
    with pytest.raises(
        LabelQuestion, match=r"of frame 3 look .* frame 4: give `reference_frame=4`"
    ):
        check_label_meaning(frames, lambda _: image_of(drawn))
    check_label_meaning(frames, lambda _: image_of(drawn), kind="mask")
    check_label_meaning(frames, lambda _: image_of(drawn), spots=False)
    smaller = ndimage.binary_erosion(drawn).astype(np.uint8)
    ball = {3: smaller, 4: drawn, 5: smaller.copy()}
    with pytest.raises(LabelQuestion, match="of frame 3 look like what a brush leaves"):
        check_label_meaning(ball, lambda _: image_of(drawn))


def test_frames_that_were_labelled_one_by_one() -> None:
    drawn = (nuclei(8) > 0).astype(np.uint8)
    shifted = np.roll(ndimage.binary_erosion(drawn), 1, axis=0).astype(np.uint8)
    other = np.roll(shifted, 1, axis=1)
    for frames in ({3: shifted, 4: drawn, 5: other}, {3: drawn, 4: drawn, 5: drawn}):
        check_label_meaning(frames, lambda _: image_of(drawn))
    empty_side = {0: (nuclei(1) > 0).astype(np.uint8), 9: drawn}
    check_label_meaning(empty_side, lambda _: image_of(drawn))
