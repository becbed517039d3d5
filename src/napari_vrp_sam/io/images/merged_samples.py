"""Images with channels and samples, such as colours of each channel, as images with bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.io.images.lazy_stack import LazyArray, full_selection
from napari_vrp_sam.io.metadata import StoredImage

COLOURS = ("red", "green", "blue")


def merge_samples(stored: StoredImage) -> StoredImage:
    """Return an image with both channels and samples as an image with a band for each pair.

    The samples of a channel follow each other: of two channels with colours, band 3 is the red of
    the second one. Other images are returned unchanged.
    """
    axes = stored.axes or ""
    found = [at for at, axis in enumerate(axes) if axis in "CS"]
    if len(found) != 2:
        return stored
    channel, sample = found if axes[found[0]] == "C" else found[::-1]
    channels, samples = (int(stored.data.shape[at]) for at in (channel, sample))
    is_rgb = axes[sample] == "S" and samples == len(COLOURS)
    kinds = COLOURS if is_rgb else [f"sample {number}" for number in range(samples)]
    known = stored.metadata.channel_names
    names = known if len(known) == channels else [f"channel {at}" for at in range(channels)]
    return replace(
        stored,
        data=MergedSamples(stored.data, channel, sample),
        axes="".join(axis for at, axis in enumerate(axes) if at != sample),
        metadata=replace(
            stored.metadata,
            channel_names=tuple(f"{name} {kind}" for name in names for kind in kinds),
        ),
    )


class MergedSamples(LazyArray):
    """Lazy array whose channels are the samples of all channels of another array.

    Parameters
    ----------
    array : ndarray or lazy array
    channel, sample : int
        Its axes of channels, which remains, and of samples.
    """

    def __init__(self, array: Any, channel: int, sample: int) -> None:
        self._array = array
        self._channel, self._sample = channel, sample
        self._samples = int(array.shape[sample])
        self.shape = tuple(
            int(size) * (self._samples if at == channel else 1)
            for at, size in enumerate(array.shape)
            if at != sample
        )
        self.dtype = np.dtype(array.dtype)

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        given = list(full_selection(selection, self.ndim))
        axis = self._channel - (self._sample < self._channel)
        bands = range(self.shape[axis])[given[axis]]
        if isinstance(bands, int):
            given[axis], sample = divmod(bands, self._samples)
            given.insert(self._sample, sample)
            return np.asanyarray(self._array[tuple(given)])
        given[axis] = _channels_of(bands, self._samples)
        given.insert(self._sample, slice(None))
        part: NDArray[Any] = np.asanyarray(self._array[tuple(given)])
        sliced = [at for at, one in enumerate(given) if isinstance(one, slice)]
        channel, sample = sliced.index(self._channel), sliced.index(self._sample)
        part = np.moveaxis(part, sample, channel - (sample < channel) + 1)
        channel -= sample < channel
        shape = (*part.shape[:channel], -1, *part.shape[channel + 2 :])
        first = given[axis if self._sample > axis else axis + 1].start * self._samples
        return np.take(part.reshape(shape), [band - first for band in bands], axis=channel)


def _channels_of(bands: Sequence[int], samples: int) -> slice:
    """Return the range of the channels that contain bands."""
    if not bands:
        return slice(0, 0)
    return slice(min(bands) // samples, max(bands) // samples + 1)
