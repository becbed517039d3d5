"""Classical filters, compared with SciPy and scikit-image and on simple shapes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from skimage.feature import hessian_matrix, hessian_matrix_eigvals
from torch import Tensor

from napari_vrp_sam.models.probe.classical_features import (
    BLUR_SIGMAS,
    STRUCTURE_SIGMAS,
    intensities,
    structures,
)

SCALES = len(STRUCTURE_SIGMAS)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def split_structures(frames: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return gradient, larger and smaller eigenvalue (B, scales, h, w), and the smooth frame."""
    actual = structures(frames)
    return actual[:, 0:-1:3], actual[:, 1:-1:3], actual[:, 2:-1:3], actual[:, -1]


def half(frames: Tensor) -> np.ndarray:
    """Return the first frame, gray and at half size."""
    gray: np.ndarray = F.avg_pool2d(frames, 2).mean(1)[0].double().numpy()
    return gray


@pytest.mark.parametrize("shape", [(16, 16), (32, 32), (32, 96)])
def test_frames_of_any_size(shape: tuple[int, int]) -> None:
    frames = noise(2, 3, *shape)
    for features, channels in ((intensities(frames), 15), (structures(frames), 13)):
        assert features.shape == (2, channels, shape[0] // 2, shape[1] // 2)
        assert torch.isfinite(features).all()
    # The largest scale multiplies the rounding of its blur by 64.
    torch.testing.assert_close(structures(frames[1:]), structures(frames)[1:], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(intensities(frames[1:]), intensities(frames)[1:])


def test_intensities_are_the_colours_and_their_blurs() -> None:
    frames = noise(1, 3, 64, 48)
    actual = intensities(frames)[0].numpy()
    unfiltered = F.avg_pool2d(frames, 2)[0].numpy()
    np.testing.assert_allclose(actual[:3], unfiltered, atol=1e-6)
    for number, sigma in enumerate(BLUR_SIGMAS, start=1):
        radius = 2 * int(np.ceil(sigma))
        for colour in range(3):
            theirs = gaussian_filter(unfiltered[colour], sigma, mode="nearest", radius=radius)
            np.testing.assert_allclose(actual[3 * number + colour], theirs, atol=1e-5)


def test_structures_equal_those_of_scikit_image() -> None:
    # Smooth waves, because the derivatives are discretised differently.
    rows, columns = torch.meshgrid(torch.arange(128.0), torch.arange(160.0), indexing="ij")
    waves = (0.09 * rows + 0.05 * columns).sin() + (0.03 * rows - 0.11 * columns).cos()
    frames = (0.5 + 0.2 * waves)[None, None].repeat(1, 3, 1, 1)
    gray = half(frames)
    gradient, larger, smaller, smooth = (p[0].numpy() for p in split_structures(frames))
    inner = np.s_[2:-2, 2:-2]
    for number, sigma in enumerate(STRUCTURE_SIGMAS):
        # Truncated where ours is.
        blurred = gaussian_filter(gray, sigma, mode="nearest", radius=3 * int(sigma))
        slopes = np.gradient(blurred)
        np.testing.assert_allclose(
            gradient[number][inner], sigma * np.hypot(*slopes)[inner], atol=1e-4
        )
        hessian = hessian_matrix(blurred, 1e-3, mode="nearest", use_gaussian_derivatives=False)
        for ours, theirs in zip((larger, smaller), hessian_matrix_eigvals(hessian), strict=True):
            scale = sigma**2 * np.abs(theirs).max()
            difference = np.abs(ours[number] - sigma**2 * theirs)[4:-4, 4:-4]
            assert difference.max() < 0.06 * scale
    np.testing.assert_allclose(smooth, blurred, atol=1e-5)


def test_a_filament_is_a_ridge() -> None:
    frames = torch.full((1, 3, 96, 96), 0.2)
    frames[..., 48:52] = 0.9  # two cells wide, from top to bottom
    _, larger, smaller, _ = split_structures(frames)
    on, off = slice(24, 26), slice(0, 12)
    assert smaller[0, 0, :, on].max() < -0.1
    assert smaller[0, :3, :, on].amax() < 0.5 * smaller[0, :3].amin(dim=(-2, -1)).max()
    # The larger eigenvalue belongs to the direction along the filament, in which nothing changes.
    torch.testing.assert_close(larger[0, 0, :, on], torch.zeros(48, 2), rtol=0, atol=1e-5)
    assert smaller[0, 0, :, off].abs().max() < 1e-5
    # A dark filament has a large positive eigenvalue instead, in any direction.
    _, larger, smaller, _ = split_structures(1 - frames.transpose(2, 3))
    assert larger[0, 0, on].min() > 0.1
    torch.testing.assert_close(smaller[0, 0, on], torch.zeros(2, 48), rtol=0, atol=1e-5)


@pytest.mark.parametrize("vertical", [True, False])
def test_an_edge_has_the_largest_gradient_on_it(vertical: bool) -> None:
    frames = torch.full((1, 3, 80, 80), 0.1)
    frames[..., 40:] = 0.9
    frames = frames if vertical else frames.transpose(2, 3)
    gradient, *_ = split_structures(frames)
    profile = gradient[0].mean(dim=1 if vertical else 2)
    for scale in profile:
        assert int(scale.argmax()) in (19, 20)
    assert profile[0, :15].max() < 1e-6 < 0.1 < profile[0].max()
    # In scale-normalised units an edge is equally strong at every scale.
    assert profile[1:].amax(dim=1).max() < 1.3 * profile[1:].amax(dim=1).min()


def test_a_constant_frame_has_no_structure() -> None:
    gradient, larger, smaller, smooth = split_structures(torch.full((1, 3, 32, 64), 0.6))
    for features in (gradient, larger, smaller):
        assert features.shape[1] == SCALES
        assert features.abs().max() < 1e-4
    torch.testing.assert_close(smooth, torch.full_like(smooth, 0.6))
