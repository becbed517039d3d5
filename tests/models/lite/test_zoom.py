"""Frames with thin objects are enlarged, and the labels have the size of the frames."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from napari_vrp_sam import Segmenter, load_model
from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.annotations.simulate import simulate_annotation
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.models.base import EncodedReference, FrameFeatures
from napari_vrp_sam.models.lite import zoom
from napari_vrp_sam.models.lite.zoom import (
    choose_zoom,
    enlarge,
    enlarge_reference,
    reduce_logits,
)

NORMALISATION = Normalisation.from_limits((0, 255), 1)


def lines(seed, size=96):
    """Return a noisy frame with lines of 1.5 pixels and their mask, beside fainter wide lines."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((size, size)) - size / 2

    def distance_to_line():
        angle, offset = rng.uniform(0, np.pi), rng.uniform(-40, 40)
        return np.abs(rows * np.cos(angle) + columns * np.sin(angle) - offset)

    frame = np.full((size, size), 110.0)
    for _ in range(8):
        frame[distance_to_line() < 5] += 20
    mask = np.any([distance_to_line() < 0.75 for _ in range(6)], axis=0)
    frame[mask] += 45
    return np.clip(rng.normal(frame, 10), 0, 255).astype(np.uint8), mask


def stripes(width, size=64):
    """Return a mask of stripes of a width of at most 10 pixels."""
    mask = np.zeros((size, size), bool)
    for start in range(3, size - 12, 16):
        mask[start : start + width] = True
    return mask


def thin(size=64):
    return stripes(2, size)


def wide(size=64):
    mask = np.zeros((size, size), bool)
    mask[8:40, 8:40] = True
    return mask


@pytest.mark.parametrize(
    ("masks", "factor"),
    [
        ([thin()], 2),
        ([thin(), thin(), np.zeros((64, 64), bool)], 2),
        ([stripes(10)], 1),
        ([wide()], 1),
        ([wide(), thin()], 2),
        ([wide(), thin(), wide()], 1),
        ([thin(640)], 2),
        ([thin(641)], 1),
        ([np.zeros((64, 64), bool)], 1),
        ([np.ones((64, 64), bool)], 1),
        ([], 1),
    ],
)
def test_frames_are_enlarged_for_thin_objects_if_they_are_small(masks, factor):
    assert choose_zoom(masks) == factor


@pytest.mark.parametrize(
    ("masks", "estimated", "factor"),
    [
        ([], [stripes(8)], 2),
        ([stripes(8)], [], 1),
        ([wide()], [thin()], 2),
        ([wide()], [wide(), thin()], 1),
        ([thin()], [thin(641)], 1),
    ],
)
def test_estimated_masks_may_be_wider(masks, estimated, factor):
    assert choose_zoom(masks, estimated) == factor


def test_large_masks_are_not_measured(monkeypatch):
    monkeypatch.setattr(zoom, "median_width", None)
    assert choose_zoom([thin(641)]) == choose_zoom([], [thin(641)]) == 1


def test_reduced_logits_are_those_of_the_frame():
    frame = torch.rand(1, 3, 20, 31)
    large = enlarge(frame, 2)
    assert large.shape[-2:] == (40, 62)
    assert large.min() >= 0
    assert large.max() <= 1
    flat = torch.full((2, 20, 31), 0.25)
    assert_close(reduce_logits(enlarge(flat[None], 2)[0], 2), flat)


def test_annotations_follow_the_frame():
    mask, other = torch.zeros(8, 8), torch.zeros(8, 8, dtype=torch.bool)
    mask[2:4, 2:6] = 1
    other[5, 7] = True
    features = FrameFeatures((16, 16), torch.zeros(1, 1, 2, 2), ())
    reference = EncodedReference(
        features, mask, 1, ignored=other, image=torch.rand(3, 8, 8), negative=other
    )
    large = enlarge_reference(reference, 2)
    assert [t.shape[-2:] for t in (large.mask, large.image, large.ignored)] == [(16, 16)] * 3
    assert large.negative.nonzero().tolist() == [[10, 14], [10, 15], [11, 14], [11, 15]]
    assert (large.mask > 0.5).sum() == 4 * mask.sum()
    assert enlarge_reference(reference, 1) is reference


@pytest.fixture
def predictor():
    return Predictor(load_model("lite", device="cpu"), device="cpu")


def learn(predictor, mask, frame, tile_size=2048, kind="mask"):
    predictor.tile_size = tile_size
    reference = Reference(frame, mask.astype(np.float32), kind=kind, frame=0)
    predictor.set_references([reference], NORMALISATION, effort=0.2)


def test_thin_lines_are_found_better(predictor, monkeypatch):
    frame, mask = lines(0)
    others = [lines(seed) for seed in (1, 2, 3)]

    def mean_iou():
        learn(predictor, mask, frame)
        found = [predictor.predict(f)[0] > 0.5 for f, _ in others]
        each = [(f & m).sum() / (f | m).sum() for f, (_, m) in zip(found, others, strict=True)]
        return float(np.mean(each))

    enlarged = mean_iou()
    assert predictor.model.zoom == 2
    monkeypatch.setattr(zoom, "THIN", 0.1)
    predictor._learned = None
    plain = mean_iou()
    assert predictor.model.zoom == 1
    assert enlarged > plain + 0.2


@pytest.mark.parametrize("kind", ["scribble", "point"])
@pytest.mark.parametrize(("mask", "factor"), [(thin(96), 2), (wide(96), 1)])
def test_points_and_scribbles_show_the_width_of_objects(predictor, kind, mask, factor):
    frame = np.random.default_rng(0).normal(100 + 80 * mask, 3).astype(np.uint8)
    marks = simulate_annotation(mask, kind, np.random.default_rng(1))
    learn(predictor, marks, frame, kind=kind)
    assert predictor.model.zoom == factor
    large = np.tile(frame, (7, 7)), np.tile(marks, (7, 7))
    learn(predictor, large[1], large[0], kind=kind)
    assert predictor.model.zoom == 1


def test_features_of_both_sizes_are_told_apart(predictor):
    frame, mask = lines(0)
    learn(predictor, mask, frame)
    large = predictor.encode(frame[..., None]).size, predictor.model.encoding_key
    learn(predictor, wide(96), frame)
    assert large == ((192, 192), "zoom 2")
    assert predictor.encode(frame[..., None]).size == (96, 96)
    assert predictor.model.encoding_key == ""


def test_tiles_are_smaller_by_the_zoom(predictor):
    frame, mask = lines(0)
    large = np.vstack([np.hstack([lines(seed, 96)[0] for seed in range(4)])] * 3)
    learn(predictor, mask, frame, tile_size=512)
    assert predictor.tile_side == 256
    assert not predictor.model.uses_frame_context
    tiled = predictor.predict(large)[0] > 0.5
    learn(predictor, mask, frame)
    assert predictor.tile_side == 1024
    whole = predictor.predict(large)[0] > 0.5
    assert tiled.shape == large.shape
    assert (tiled & whole).sum() / (tiled | whole).sum() > 0.9


def test_the_segmenter_does_the_same():
    (frame, mask), (other, _) = lines(0), lines(1)
    stack = np.stack([frame, other])
    segmenter = Segmenter(device="cpu", effort=0.2).fit(
        stack, mask.astype(np.uint8), axes="ZYX", reference_frame=0
    )
    labels = segmenter.predict(stack).labels
    assert labels.shape == stack.shape
    assert labels.any(axis=(1, 2)).all()
