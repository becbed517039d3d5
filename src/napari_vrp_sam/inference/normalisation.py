"""Normalisation: one mapping of intensities to 0..1 for a whole stack.

Normalising each frame by itself would amplify the noise of an empty frame until it looks like
objects.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames

logger = logging.getLogger(__name__)

MAX_SAMPLES = 1_000_000
"""Approximate number of pixels to take percentiles from; larger frames are subsampled."""

_FLOAT32 = (float(np.finfo(np.float32).min), float(np.finfo(np.float32).max))


class FrameSequence(Protocol):
    """`Frames`, or a list of arrays of shape (Y, X, C)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> NDArray[Any]: ...


@dataclass(frozen=True)
class Normalisation:
    """Contrast limits of each channel, which are mapped to 0 and 1.

    Parameters
    ----------
    low, high : tuple of float
        Intensities of the first one to three channels that are mapped to 0 and 1; values beyond
        are clipped. Where both are equal the channel becomes 0.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.low) != len(self.high) or not 1 <= len(self.low) <= 3:
            raise InputError(
                "A normalisation needs contrast limits for one, two or three channels."
            )
        if not np.isfinite([self.low, self.high]).all() or np.greater(self.low, self.high).any():
            raise InputError(
                f"The contrast limits {self.low} and {self.high} are not a range: give two "
                "numbers, the lower one first."
            )

    @classmethod
    def fit(
        cls,
        frames: FrameSequence,
        percentiles: tuple[float, float] = (0.5, 99.5),
        max_frames: int = 8,
    ) -> Normalisation:
        """Take percentiles of a sample of evenly spaced frames, without infinity and NaN.

        Parameters
        ----------
        frames : Frames or sequence of ndarray, shape (Y, X, C)
            Only the sampled frames are read.
        percentiles : tuple of float
        max_frames : int
            Largest number of frames to read.

        Notes
        -----
        The channels of an RGB image share their contrast limits, which preserves hues.
        """
        last = len(frames) - 1
        sample = np.unique(np.linspace(0, last, min(len(frames), max_frames)).round().astype(int))
        pixels: list[NDArray[Any]] = []
        rgb = False
        for index in sample:
            frame = frames[int(index)]
            step = max(1, int(np.ceil(np.sqrt(frame.shape[0] * frame.shape[1] / MAX_SAMPLES))))
            pixels.append(frame[::step, ::step, :3].reshape(-1, min(frame.shape[2], 3)))
            rgb = bool(getattr(frames, "rgb", frame.dtype == np.uint8 and frame.shape[2] >= 3))
        values = np.concatenate(pixels)
        columns = [values.ravel()] * 3 if rgb else list(values.T)
        limits = [_limits(column, percentiles) for column in columns]
        return cls(tuple(low for low, _ in limits), tuple(high for _, high in limits))

    @classmethod
    def from_limits(cls, limits: tuple[float, float], channels: int) -> Normalisation:
        """Use the same contrast limits for every channel.

        Raises
        ------
        InputError
            If the limits are not a range of numbers.
        """
        low, high = (float(limit) for limit in limits)
        if not low < high:
            raise InputError(
                f"The contrast limits {low:g} and {high:g} are not a range: give the lower one "
                "first."
            )
        count = min(channels, 3)
        return cls((low,) * count, (high,) * count)

    @property
    def flat(self) -> bool:
        """True if no channel has any contrast, so that every frame becomes black."""
        return self.low == self.high

    def apply(self, frame: NDArray[Any]) -> NDArray[np.float32]:
        """Normalise a frame for a model.

        Parameters
        ----------
        frame : ndarray, shape (Y, X, C)
            A single channel is repeated, two are completed by their mean, and of more than three
            the first three are used.

        Returns
        -------
        ndarray, shape (3, Y, X), float32
            In 0..1; NaN becomes 0, infinity 0 or 1.

        Raises
        ------
        InputError
            If the frame has another number of channels than the normalisation.
        """
        if min(frame.shape[2], 3) != len(self.low):
            raise InputError(
                f"A frame has {frame.shape[2]} channels where {len(self.low)} were expected: "
                "references and stack need the same channels."
            )
        planes = [
            _scale(frame[..., channel], low, high)
            for channel, (low, high) in enumerate(zip(self.low, self.high, strict=True))
        ]
        if len(planes) == 1:
            planes *= 3
        elif len(planes) == 2:
            planes.append(np.mean(planes, axis=0, dtype=np.float32))
        return np.stack(planes)


def _limits(values: NDArray[Any], percentiles: Iterable[float]) -> tuple[float, float]:
    finite = values[np.isfinite(values)].astype(np.float64)
    # No intensity lies beyond float32, and within it no difference overflows.
    finite = finite.clip(*_FLOAT32)
    if not finite.size:
        return 0.0, 0.0
    low, high = np.percentile(finite, tuple(percentiles))
    if low == high:
        # Sparse signal on an even background: the percentiles see the background only.
        low, high = finite.min(), finite.max()
    return float(low), float(high)


def _scale(plane: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    if high == low:
        return np.zeros(plane.shape, dtype=np.float32)
    # Above 16 bits, float32 would round neighbouring intensities together before the subtraction.
    exact: type[np.floating] = np.float32 if plane.dtype.itemsize <= 2 else np.float64
    values: NDArray[np.floating] = plane.astype(exact)
    with np.errstate(over="ignore"):  # what overflows lies beyond the limits
        scaled = (values - low) / (high - low)
    scaled = np.nan_to_num(scaled, nan=0.0, posinf=1.0, neginf=0.0)
    return np.asarray(scaled.clip(0, 1), dtype=np.float32)


def fit_normalisation(
    frames: Frames, contrast_limits: tuple[float, float] | None = None
) -> Normalisation:
    """Return the normalisation of a stack: given contrast limits, or percentiles of a sample.

    Raises
    ------
    InputError
        If the contrast limits are not a range.
    """
    if contrast_limits is not None:
        return Normalisation.from_limits(contrast_limits, len(frames.channels))
    normalisation = Normalisation.fit(frames)
    if normalisation.flat:
        logger.warning(
            "The stack shows no contrast: all sampled pixels have the same intensity or are "
            "not numbers. Check the image and its channels, or give contrast limits."
        )
    return normalisation
