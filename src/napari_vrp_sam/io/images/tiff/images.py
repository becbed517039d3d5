"""Images of a TIFF file: its series, of which those that form a stack are joined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tifffile

from napari_vrp_sam.io.images.tiff.samples import Samples, page_samples

GENERIC_KINDS = ("generic", "imagej", "shaped", "uniform")
"""Kinds of TIFF, in the terms of tifffile, that are not specific to a microscope or scanner."""
KNOWN = "TZCYXS"
"""Letters of the axes whose meaning is known."""


@dataclass(frozen=True)
class TiffImage:
    """Image of a TIFF file.

    Parameters
    ----------
    name : str
    series : list of tifffile.TiffPageSeries
        One, or several whose frames follow each other.
    lead_axes : str
        Letters of the axes along which its pages are counted: T, Z, C, or one of the file.
    lead_shape : tuple of int
    page_axes : str
        Letters of the axes of a page, with "S" for samples.
    page_shape : tuple of int
    samples : Samples
        Samples after conversion.
    """

    name: str
    series: list[tifffile.TiffPageSeries]
    lead_axes: str
    lead_shape: tuple[int, ...]
    page_axes: str
    page_shape: tuple[int, ...]
    samples: Samples

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(np.prod([*self.lead_shape, *self.page_shape], dtype=int))

    @property
    def page_layout(self) -> tuple[object, ...]:
        """Layout of a page, which images that form a stack have in common."""
        samples = self.samples
        return self.page_axes, self.page_shape, samples.axis, samples.count, samples.dtype

    def describe(self) -> str:
        """Return its name and shape in words."""
        shape = " x ".join(map(str, (*self.lead_shape, *self.page_shape)))
        return f"'{self.name}' ({shape})" if self.name else shape


def tiff_images(file: tifffile.TiffFile, *, raw: bool) -> list[TiffImage]:
    """Return the images of a file except for downsampled copies and masks.

    Series whose pages agree in shape and type are joined to a stack, unless the file says that
    they are different images.
    """
    series = [s for s in file.series if s.size]
    full = [s for s in series if not (s.keyframe.is_reduced or s.keyframe.is_mask)]
    groups: dict[object, list[TiffImage]] = {}
    for number, one in enumerate(full or series[:1]):
        image = _describe(one, raw=raw)
        # Images with a stack each are positions or scenes if the program names them.
        apart = one.kind not in GENERIC_KINDS and image.lead_axes
        groups.setdefault(number if apart else (one.kind, image.page_layout), []).append(image)
    images: list[TiffImage] = []
    for group in groups.values():
        joined = _join(group)
        images += [joined] if joined else group
        if joined and len({image.lead_shape for image in group}) > 1:
            images += group  # a preview may have the size of a frame
    return images


def main_image(images: Sequence[TiffImage]) -> TiffImage:
    """Return the image with most pixels, of several the first."""
    return max(images, key=lambda image: image.size)


def has_unknown_axes(image: TiffImage) -> bool:
    """Return True if the file does not say what some of the axes are along which pages count."""
    if len(image.series) > 1:  # the axis along which they are joined
        return len(image.lead_shape) > 1
    series = image.series[0]
    sizes = zip(series.axes.upper(), series.shape, strict=True)
    return any(size > 1 and letter not in KNOWN for letter, size in sizes)


def _describe(series: tifffile.TiffPageSeries, *, raw: bool) -> TiffImage:
    page = series.keyframe
    shape = tuple(series.shape)
    axes = _known_axes(series.axes, shape)
    count = len(page.shape)
    paged = shape[-count:] == tuple(page.shape)
    sample_axis = page.axes.find("S") if paged else -1
    at = len(shape) - count + sample_axis if sample_axis >= 0 else None
    axes = "".join("S" if index == at else letter for index, letter in enumerate(axes))
    kept = [size > 1 or letter in "YX" for size, letter in zip(shape, axes, strict=True)]
    lead = len(shape) - count if paged else 0
    samples = page_samples(page, raw=raw)
    return TiffImage(
        series.name or "",
        [series],
        "".join(letter for letter, keep in zip(axes[:lead], kept[:lead], strict=True) if keep),
        tuple(size for size, keep in zip(shape[:lead], kept[:lead], strict=True) if keep),
        "".join(letter for letter, keep in zip(axes[lead:], kept[lead:], strict=True) if keep),
        tuple(size for size, keep in zip(shape[lead:], kept[lead:], strict=True) if keep),
        samples,
    )


def _join(images: list[TiffImage]) -> TiffImage | None:
    """Join images with the same pages to one stack, if their axes permit it."""
    first = images[0]
    if len(images) == 1:
        return first
    series = [one for image in images for one in image.series]
    leads = {(image.lead_axes, image.lead_shape) for image in images}
    used = first.lead_axes + first.page_axes
    free = next((letter for letter in "ZT" if letter not in used), "")
    if len(leads) == 1 and free:
        axes, shape = free + first.lead_axes, (len(images), *first.lead_shape)
    else:
        letters = {image.lead_axes for image in images} - {""}
        if len(letters) != 1 or len(axes := letters.pop()) != 1:
            return None
        shape = (sum(math.prod(image.lead_shape) for image in images),)
    return TiffImage("", series, axes, shape, first.page_axes, first.page_shape, first.samples)


def _known_axes(axes: str, shape: Sequence[int]) -> str:
    """Replace axes of unknown meaning by Z, then by T."""
    known = list(axes.upper())
    free = [letter for letter in "ZT" if letter not in known]
    for index, letter in enumerate(known):
        if letter not in KNOWN and shape[index] > 1 and free:
            known[index] = free.pop(0)
    return "".join(known)
