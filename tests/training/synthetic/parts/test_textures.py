import numpy as np
import pytest
from scipy.fft import rfft2

from napari_vrp_sam.training.synthetic.parts.draws import Draws
from napari_vrp_sam.training.synthetic.parts.textures import KINDS, Texture

SHAPE = (128, 128)


def _spectrum(image: np.ndarray) -> np.ndarray:
    """Distribution of energy over frequency bands, which is translation-invariant."""
    gray = image.mean(axis=2)
    power = np.abs(rfft2(gray - gray.mean())) ** 2
    fy, fx = np.fft.fftfreq(SHAPE[0])[:, None], np.fft.rfftfreq(SHAPE[1])[None]
    octave = np.digitize(np.hypot(fy, fx), [0.02, 0.05, 0.1, 0.2])
    return np.bincount(octave.ravel(), power.ravel(), minlength=5) / power.sum()


@pytest.mark.parametrize("kind", KINDS)
def test_a_texture_has_the_same_statistics_in_every_layout(kind: str) -> None:
    texture = Texture.sample(np.random.default_rng(2), gray=False, kind=kind)
    first, second = (texture.render(Draws(seed), SHAPE) for seed in (1, 2))
    assert first.shape == (*SHAPE, 3)
    assert 0 <= first.min() <= first.max() <= 1
    assert not np.array_equal(first, second)
    np.testing.assert_allclose(first.mean((0, 1)), second.mean((0, 1)), atol=0.05)
    assert np.abs(_spectrum(first) - _spectrum(second)).sum() < 0.5


def test_a_variant_shares_colours_or_pattern_but_not_both() -> None:
    rng = np.random.default_rng(0)
    texture = Texture.sample(rng, gray=False, kind="band")
    for _ in range(20):
        other = texture.variant(rng, gray=False)
        same_colours = np.array_equal(other.low, texture.low)
        assert same_colours != (other.kind == texture.kind)
