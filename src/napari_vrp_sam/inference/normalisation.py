"""Normalisation: one mapping of intensities to 0..1 for a whole stack.

Normalising each frame by itself would amplify the noise of an empty frame until it looks like
objects.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.missing import fill_missing
from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.bands import PLANES, Projection, fit_projection, project
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.out_of_core.frame_view import every

logger = logging.getLogger(__name__)

MAX_SAMPLES = 1_000_000
"""Approximate number of pixels to take percentiles from; larger frames are subsampled."""

NO_CONTRAST = (
    "The stack shows no contrast: all sampled pixels have the same intensity or are not numbers. "
    "Check the image and its channels, or give contrast limits."
)

PERCENTILES = (0.5, 99.5)
"""Percentiles of the intensities that are mapped to 0 and 1."""

MAX_RANGE_RATIO = 4
"""Colours of more than 8 bits whose ranges differ more than this are bands of other quantities."""

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
        Intensities of the channels that are mapped to 0 and 1; values beyond are clipped. Where
        both are equal the channel becomes 0. Without a projection one to three channels.
    projection : tuple of tuple of float, optional
        Of more than three channels, the weights in each of the three planes for a model, and an
        offset; see `fit_projection`.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    projection: Projection = ()

    def __post_init__(self) -> None:
        count = len(self.low)
        if len(self.high) != count or count < 1 or (count > PLANES and not self.projection):
            raise InputError(
                "A normalisation needs contrast limits for one, two or three channels, or for more "
                "channels and their projection."
            )
        if self.projection and [len(row) for row in self.projection] != [count + 1] * PLANES:
            raise InputError("A projection needs three rows with a weight for each channel.")
        if not np.isfinite([self.low, self.high]).all() or np.greater(self.low, self.high).any():
            raise InputError(
                f"The contrast limits {self.low} and {self.high} are not a range: give two "
                "numbers, the lower one first."
            )

    @classmethod
    def fit(
        cls,
        frames: FrameSequence,
        percentiles: tuple[float, float] = PERCENTILES,
        max_frames: int = 8,
        *,
        references: Sequence[Reference] = (),
        contrast_limits: tuple[float, float] | None = None,
    ) -> Normalisation:
        """Take percentiles of a sample of evenly spaced frames, without infinity and NaN.

        More than three channels that are not colours are projected to three planes.

        Parameters
        ----------
        frames : Frames or sequence of ndarray, shape (Y, X, C)
            Only the sampled frames are read, and those that cannot be read are left out.
        percentiles : tuple of float
        max_frames : int
            Largest number of frames to read.
        references : sequence of Reference
            Annotations that the projection separates; default: principal components.
        contrast_limits : tuple of float, optional
            The same contrast limits for every channel, instead of percentiles.

        Notes
        -----
        The channels of an RGB image share their contrast limits, which preserves hues, unless they
        have more than 8 bits and very different ranges.
        """
        pixels: list[NDArray[Any]] = []
        rgb = eight_bits = False
        problem: Exception | None = None
        read = frames.frame if isinstance(frames, Frames) else frames.__getitem__
        for index in _evenly_spaced(frames, max_frames):
            try:
                frame = read(index)
            except Exception as error:  # reported when the frame itself is segmented
                problem = error
                continue
            eight_bits = getattr(frames, "dtype", frame.dtype) == np.uint8
            rgb = bool(getattr(frames, "rgb", eight_bits and frame.shape[2] in (3, 4)))
            used = min(frame.shape[2], PLANES) if rgb else frame.shape[2]
            count = frame.shape[0] * frame.shape[1] * max(1, used / PLANES)
            step = max(1, int(np.ceil(np.sqrt(count / MAX_SAMPLES))))
            pixels.append(every(frame, step)[..., :used].reshape(-1, used))
        if not pixels and problem is not None:
            raise problem
        values = np.concatenate(pixels)
        if contrast_limits is not None:
            limits = [contrast_limits] * values.shape[1]
        else:
            limits = [] if rgb and eight_bits else [_limits(one, percentiles) for one in values.T]
            if rgb and (eight_bits or not _differ(limits)):
                limits = [_limits(values.ravel(), percentiles)] * values.shape[1]
        low, high = (tuple(side) for side in zip(*limits, strict=True))
        if len(low) <= PLANES:
            return cls(low, high)
        normalised = np.stack([_scale(*one) for one in zip(values.T, low, high, strict=True)], -1)
        complete = np.asarray(~np.isnan(normalised).any(axis=1))
        sample_pixels = normalised[complete] if complete.any() else np.nan_to_num(normalised)
        projection = fit_projection(
            sample_pixels, references, lambda frame: _bands(frame, low, high), percentiles
        )
        return cls(low, high, projection)

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

    def to_json(self) -> list[Any]:
        """Return the fields as JSON values."""
        fields: list[Any] = [list(self.low), list(self.high)]
        return [*fields, [list(row) for row in self.projection]] if self.projection else fields

    @classmethod
    def from_json(cls, fields: Sequence[Any]) -> Normalisation:
        """Return the normalisation that `to_json` described."""
        low, high, *rest = fields
        rows = rest[0] if rest else ()
        return cls(tuple(low), tuple(high), tuple(tuple(row) for row in rows))

    @property
    def flat(self) -> bool:
        """True if no channel has any contrast, so that every frame becomes black."""
        return self.low == self.high

    def apply(self, frame: NDArray[Any]) -> NDArray[np.float32]:
        """Normalise a frame for a model.

        Parameters
        ----------
        frame : ndarray, shape (Y, X, C)
            A single channel is repeated, two are completed by their mean, and more than three are
            projected. Of colours with transparency the first three are used.

        Returns
        -------
        ndarray, shape (3, Y, X), float32
            In 0..1; infinity becomes 0 or 1, and NaN is filled with its surroundings.

        Raises
        ------
        InputError
            If the frame has another number of channels than the normalisation.
        """
        given = frame.shape[2] if self.projection else min(frame.shape[2], PLANES)
        if given != len(self.low):
            raise InputError(
                f"A frame has {frame.shape[2]} channels where {len(self.low)} were expected: "
                "references and stack need the same channels."
            )
        planes = _bands(frame, self.low, self.high)
        if self.projection:
            return project(planes, self.projection)
        if len(planes) == 1:
            return np.repeat(planes, PLANES, axis=0)
        if len(planes) == 2:
            mean = planes.mean(axis=0, dtype=np.float32, keepdims=True)
            return np.concatenate([planes, mean])
        return planes


def _evenly_spaced(frames: FrameSequence, count: int) -> list[int]:
    """Return the indices of frames that are spread over a stack, in any order of its axes."""
    indices = np.arange(len(frames))
    if isinstance(frames, Frames) and frames.label_axes == "ZTYX":  # the same frames as of TZYX
        indices = indices.reshape(frames.lead_shape).T.ravel()
    places = np.linspace(0, len(indices) - 1, min(len(indices), count)).round().astype(int)
    chosen: list[int] = indices[np.unique(places)].tolist()
    return chosen


def _bands(frame: NDArray[Any], low: Sequence[float], high: Sequence[float]) -> NDArray[np.float32]:
    """Return the first channels of a frame (Y, X, C), as many as there are limits, in 0..1."""
    planes = np.stack(
        [_scale(frame[..., at], *limits) for at, limits in enumerate(zip(low, high, strict=True))]
    )
    return fill_missing(planes) if frame.dtype.kind == "f" else planes


def _differ(limits: Sequence[tuple[float, float]]) -> bool:
    """Return whether the ranges of channels differ more than those of colours."""
    widths = [high - low for low, high in limits]
    return max(widths) > MAX_RANGE_RATIO * min(widths) > 0


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
    return np.asarray(scaled.clip(0, 1), dtype=np.float32)


def fit_normalisation(
    frames: Frames,
    contrast_limits: tuple[float, float] | None = None,
    references: Sequence[Reference] = (),
) -> Normalisation:
    """Return the normalisation of a stack: given contrast limits, or percentiles of a sample.

    Parameters
    ----------
    frames : Frames
    contrast_limits : tuple of float, optional
    references : sequence of Reference
        Annotations by which more than three channels are projected.

    Raises
    ------
    InputError
        If the contrast limits are not a range.
    """
    if contrast_limits is not None:
        normalisation = Normalisation.from_limits(contrast_limits, len(frames.channels))
        if not frames.projected:
            return normalisation
        contrast_limits = normalisation.low[0], normalisation.high[0]
    normalisation = Normalisation.fit(
        frames, references=references, contrast_limits=contrast_limits
    )
    if normalisation.flat:
        logger.warning(NO_CONTRAST)
    return normalisation
