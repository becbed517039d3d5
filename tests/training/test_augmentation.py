import numpy as np
import pytest

from napari_vrp_sam.training.augmentation import Appearance, Crop, reorient


def test_there_are_eight_different_orientations() -> None:
    image = np.arange(9).reshape(3, 3)
    assert len({reorient(image, k).tobytes() for k in range(8)}) == 8


def test_image_and_labels_stay_aligned_when_cropped_and_reoriented() -> None:
    labels = np.zeros((40, 60), np.uint8)
    labels[10:20, 30:50] = 1
    image = (200 * labels)[..., None]
    crop = Crop(4, 20, 32, 36)
    image_crop, mask = crop.extract(image, (64, 64)), crop.extract_labels(labels, (64, 64))
    for k in range(8):
        agreement = (reorient(image_crop, k)[..., 0] > 100) == (reorient(mask, k) == 1)
        assert agreement.mean() > 0.98


@pytest.mark.parametrize("point", [None, (0, 0), (39, 59), (20, 30)])
def test_crops_stay_within_the_frame_and_contain_their_point(point: tuple[int, int] | None) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        size = (float(rng.uniform(10, 90)), float(rng.uniform(10, 90)))
        crop = Crop.random(rng, (40, 60), size, point)
        for c in (crop, crop.jittered(rng, (40, 60))):
            assert c.top >= 0
            assert c.left >= 0
            assert c.top + c.height <= 40 + 1e-6
            assert c.left + c.width <= 60 + 1e-6
        if point is not None:
            assert crop.top <= point[0] + 1
            assert point[0] <= crop.top + crop.height
            assert crop.left <= point[1] + 1
            assert point[1] <= crop.left + crop.width


def test_ignored_labels_survive_cropping() -> None:
    labels = np.full((50, 50), 255, np.uint8)
    labels[:, :25] = 1
    cut = Crop(5, 5, 40, 40).extract_labels(labels, (97, 97))
    assert set(np.unique(cut)) == {1, 255}


def test_appearance_keeps_shape_and_range_but_changes_intensities() -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    changed = [Appearance.sample(rng).apply(image, rng) for _ in range(20)]
    assert all(s.shape == (32, 32, 3) and s.dtype == np.float32 for s in changed)
    assert min(s.min() for s in changed) >= 0
    assert max(s.max() for s in changed) <= 1
    assert np.std([s.mean() for s in changed]) > 0.02


def test_gray_frames_get_three_channels() -> None:
    rng = np.random.default_rng(0)
    image = np.full((16, 16, 1), 128, np.uint8)
    changed = Appearance((0, 1, 2), np.ones(3, np.float32), None).apply(image, rng)
    np.testing.assert_allclose(changed, np.full((16, 16, 3), 128 / 255), rtol=1e-6)
