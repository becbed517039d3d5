"""More than three bands, which are projected to three planes."""

import itertools

import numpy as np
import pytest

from napari_vrp_sam import Segmenter, segment_stack
from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.normalisation import Normalisation, fit_normalisation

COUNT = 10


@pytest.fixture(scope="module")
def truth():
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:96, :112]
    discs = np.zeros((2, 96, 112), np.uint8)
    for frame in discs:
        for _ in range(10):
            row, column, radius = rng.integers(8, 88), rng.integers(8, 104), rng.integers(5, 8)
            frame[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = 1
    return discs


@pytest.fixture(scope="module")
def bands(truth):
    """Ten bands of noise of different range; the discs show in band 7 only."""
    rng = np.random.default_rng(3)
    noise = rng.normal(800, 60, (2, COUNT, 96, 112)) * np.arange(1, COUNT + 1)[:, None, None]
    noise[:, 7] = 2000 + 1500.0 * truth + rng.normal(0, 180, truth.shape)
    return noise.clip(0).astype(np.uint16)


def separation(plane, mask):
    """Distance of the means in standard deviations."""
    inside, outside = plane[mask > 0], plane[mask == 0]
    return abs(inside.mean() - outside.mean()) / (inside.std() + outside.std())


def test_the_first_plane_shows_the_class(bands, truth):
    frames = Frames(bands, "TCYX")
    reference = Reference(frames[0], truth[0], frame=0)
    normalisation = fit_normalisation(frames, references=[reference])
    assert len(normalisation.low) == COUNT
    planes = normalisation.apply(frames[1])
    assert planes.shape == (3, 96, 112)
    assert planes.min() >= 0
    assert planes.max() <= 1
    assert separation(planes[0], truth[1]) > 3
    assert planes[0][truth[1] > 0].mean() > planes[0][truth[1] == 0].mean()


def test_a_class_that_shows_in_a_difference_of_bands_only(truth):
    rng = np.random.default_rng(1)
    common = rng.normal(0, 300, truth.shape)
    bands = np.stack([rng.normal(0, 50, truth.shape) for _ in range(6)], axis=-1)
    bands[..., 2] = common + 40 * truth + rng.normal(0, 6, truth.shape)
    bands[..., 4] = common + rng.normal(0, 6, truth.shape)
    frames = Frames(bands, "TYXC")
    normalisation = fit_normalisation(frames, references=[Reference(frames[0], truth[0], frame=0)])
    assert max(separation(plane, truth[1]) for plane in normalisation.apply(frames[1])) > 1.5
    assert max(separation(bands[1, ..., at], truth[1]) for at in range(6)) < 0.2


def test_several_classes_show(bands, truth):
    rng = np.random.default_rng(5)
    other = np.roll(truth, 40, axis=2) * (truth == 0)
    both = bands.copy()
    both[:, 1] = 1000 + 900.0 * other + rng.normal(0, 90, truth.shape)
    frames = Frames(both, "TCYX")
    references = [
        Reference(frames[0], mask, class_id, frame=0)
        for class_id, mask in ((1, truth[0]), (4, other[0]))
    ]
    planes = fit_normalisation(frames, references=references).apply(frames[1])
    assert separation(planes[0], truth[1]) > 2
    assert separation(planes[1], other[1]) > 2


def test_more_classes_than_planes_stay_apart():
    rng = np.random.default_rng(2)
    bands = rng.normal(100, 8, (1, 64, 64, 6))
    quarters = np.zeros((64, 64), np.uint8)
    for class_id in range(1, 5):
        part = np.s_[4 + 16 * (class_id - 1) : 14 + 16 * (class_id - 1), 4:60]
        quarters[part] = class_id
        bands[0][part][..., class_id] += 80
    frames = Frames(bands, "ZYXC")
    references = [
        Reference(frames[0], quarters == class_id, class_id, frame=0) for class_id in range(1, 5)
    ]
    planes = fit_normalisation(frames, references=references).apply(frames[0])
    means = [planes[:, quarters == class_id].mean(axis=1) for class_id in range(5)]
    for one, other in itertools.combinations(means, 2):
        assert np.abs(one - other).max() > 0.2


def test_background_counts_and_a_class_without_usable_pixels_does_not(bands, truth):
    frames = Frames(bands, "TCYX")
    marks = truth[0] * (np.random.default_rng(0).random(truth[0].shape) < 0.1)
    outside = (truth[0] == 0) & (np.random.default_rng(1).random(truth[0].shape) < 0.1)
    usable = Reference(frames[0], marks, 1, "scribble", 0, negative=outside)
    hidden = Reference(frames[0], truth[0], 2, frame=0, ignored=truth[0] > 0)
    normalisation = fit_normalisation(frames, references=[usable, hidden])
    assert normalisation == fit_normalisation(frames, references=[usable])
    assert separation(normalisation.apply(frames[1])[0], truth[1]) > 2


@pytest.mark.parametrize("kind", ["scribble", "point"])
def test_sparse_annotations(bands, truth, kind):
    frames = Frames(bands, "TCYX")
    marks = truth[0] * (np.random.default_rng(0).random(truth[0].shape) < 0.1)
    reference = Reference(frames[0], marks, kind=kind, frame=0)
    planes = fit_normalisation(frames, references=[reference]).apply(frames[1])
    assert separation(planes[0], truth[1]) > 2


def test_without_an_annotation_the_planes_are_principal_components(bands):
    frames = Frames(bands, "TCYX")
    planes = Normalisation.fit(frames).apply(frames[0])
    assert planes.shape == (3, 96, 112)
    assert planes.std(axis=(1, 2)).min() > 0.1


def test_gaps_constant_bands_and_given_limits(bands, truth):
    image = bands.astype(np.float32)
    image[:, 3] = 5
    image[:, :, 80:] = np.nan
    image[:, 2, 10:20] = np.nan
    frames = Frames(image, "TCYX")
    reference = Reference(frames[0], truth[0], frame=0)
    for limits in (None, (0, 9000)):
        normalisation = fit_normalisation(frames, limits, references=[reference])
        planes = normalisation.apply(frames[1])
        assert np.isfinite(planes).all()
        assert separation(planes[0][:80], truth[1, :80]) > 2


def test_up_to_three_channels_and_colours_are_not_projected(bands):
    stack = bands.transpose(0, 2, 3, 1)
    for channels in ([7], [1, 7], [2, 7, 5]):
        assert not fit_normalisation(Frames(stack, "TYXC", channels)).projection
    colours = (stack[..., :4] // 256).astype(np.uint8)
    transparent = fit_normalisation(Frames(colours, "TYXS"))
    assert not transparent.projection
    assert transparent == fit_normalisation(Frames(colours[..., :3], "TYXS"))


def test_colours_of_very_different_range_have_their_own_limits(bands):
    rng = np.random.default_rng(0)
    stack = rng.normal(0, 1, (2, 64, 64, 3)) * (900, 500, 30) + (6000, 2500, 300)
    limits = Normalisation.fit(Frames(stack.clip(0).astype(np.uint16), "ZYXS"))
    assert limits.high[2] < 500 < 2500 < limits.high[0]
    alike = rng.normal(0, 1, (2, 64, 64, 3)) * (900, 500, 300) + 3000
    assert len(set(Normalisation.fit(Frames(alike.astype(np.uint16), "ZYXS")).high)) == 1
    eight_bits = (stack.clip(0) / 40).astype(np.uint8)
    assert len(set(Normalisation.fit(Frames(eight_bits, "ZYXS")).high)) == 1


def test_the_projection_is_saved(bands, truth, tmp_path):
    segmenter = Segmenter("lite", device="cpu", effort=0.2)
    segmenter.fit(bands, truth[0], axes="TCYX", reference_frame=0)
    segmenter.save(tmp_path / "discs.vrpsam")
    loaded = Segmenter.load(tmp_path / "discs.vrpsam", device="cpu")
    assert loaded.normalisation_ == segmenter.normalisation_
    assert loaded.normalisation_.projection


def test_a_run_that_is_resumed_keeps_the_projection(bands, truth, tmp_path):
    arguments = {"axes": "TCYX", "reference_frame": 0, "device": "cpu", "effort": 0.2}
    output = tmp_path / "labels.zarr"
    first = segment_stack(bands, truth[0], output=output, frames=(0, 1), **arguments)
    both = segment_stack(bands, truth[0], output=output, resume=True, **arguments)
    np.testing.assert_array_equal(first[0], both[0])
    for found, expected in zip(np.asarray(both) > 0, truth > 0, strict=True):
        assert (found & expected).sum() / (found | expected).sum() > 0.85
