import numpy as np
import pytest

from napari_vrp_sam.training.augmentation import Appearance, Window, turn


def test_turn_has_eight_different_results() -> None:
    image = np.arange(9).reshape(3, 3)
    assert len({turn(image, k).tobytes() for k in range(8)}) == 8


def test_image_and_labels_stay_registered_when_turned_and_cropped() -> None:
    labels = np.zeros((40, 60), np.uint8)
    labels[10:20, 30:50] = 1
    image = (200 * labels)[..., None]
    window = Window(4, 20, 32, 36)
    seen, mask = window.crop(image, (64, 64)), window.crop_labels(labels, (64, 64))
    for k in range(8):
        agreement = (turn(seen, k)[..., 0] > 100) == (turn(mask, k) == 1)
        assert agreement.mean() > 0.98


@pytest.mark.parametrize("point", [None, (0, 0), (39, 59), (20, 30)])
def test_windows_stay_in_the_frame_and_hold_their_point(point: tuple[int, int] | None) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        size = (float(rng.uniform(10, 90)), float(rng.uniform(10, 90)))
        window = Window.around(rng, (40, 60), size, point)
        for w in (window, window.shaken(rng, (40, 60))):
            assert w.top >= 0
            assert w.left >= 0
            assert w.top + w.height <= 40 + 1e-6
            assert w.left + w.width <= 60 + 1e-6
        if point is not None:
            assert window.top <= point[0] + 1
            assert point[0] <= window.top + window.height
            assert window.left <= point[1] + 1
            assert point[1] <= window.left + window.width


def test_ignored_labels_survive_the_crop() -> None:
    labels = np.full((50, 50), 255, np.uint8)
    labels[:, :25] = 1
    cut = Window(5, 5, 40, 40).crop_labels(labels, (97, 97))
    assert set(np.unique(cut)) == {1, 255}


def test_appearance_keeps_shape_and_range_and_changes_frames() -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    shown = [Appearance.sample(rng).apply(image, rng) for _ in range(20)]
    assert all(s.shape == (32, 32, 3) and s.dtype == np.float32 for s in shown)
    assert min(s.min() for s in shown) >= 0
    assert max(s.max() for s in shown) <= 1
    assert np.std([s.mean() for s in shown]) > 0.02


def test_gray_frames_get_three_channels() -> None:
    rng = np.random.default_rng(0)
    image = np.full((16, 16, 1), 128, np.uint8)
    shown = Appearance((0, 1, 2), np.ones(3, np.float32), None).apply(image, rng)
    np.testing.assert_allclose(shown, np.full((16, 16, 3), 128 / 255), rtol=1e-6)
