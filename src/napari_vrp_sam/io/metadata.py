"""Metadata that image files carry beside their pixels: calibration, place, channels, nodata."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

Affine = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class ImageMetadata:
    """Metadata of an image, as its file stores them; readers fill them, writers keep them.

    Parameters
    ----------
    pixel_size : mapping of str to float
        Size of a pixel along each axis for which it is known, by axis letter of T, Z, Y, X.
    units : mapping of str to str
        Unit of `pixel_size` by axis letter, as a singular English name: "micrometer", "second",
        "metre" only if the file is a map ("degree" for geographic coordinates).
    origin : mapping of str to float
        Position of the centre of the first pixel by axis letter, in `units`.
    channel_names : tuple of str
        Names of all channels or bands in their order; empty if the file has none.
    nodata : float, optional
        Value of pixels without data.
    crs : str, optional
        Coordinate reference system as WKT.
    transform : tuple of 6 float, optional
        Affine transform (a, b, c, d, e, f) of pixel corners to coordinates of the CRS, in the order
        of the package `affine`: x = a column + b row + c, y = d column + e row + f.
    """

    pixel_size: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, float] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()
    nodata: float | None = None
    crs: str | None = None
    transform: Affine | None = None

    def __post_init__(self) -> None:
        for name in ("pixel_size", "units", "origin"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __getstate__(self) -> dict[str, Any]:
        # Mapping proxies cannot be pickled, and jobs travel to worker processes.
        return {
            key: dict(value) if isinstance(value, MappingProxyType) else value
            for key, value in self.__dict__.items()
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        for key, value in state.items():
            object.__setattr__(
                self, key, MappingProxyType(value) if isinstance(value, dict) else value
            )


def pixel_sides(transform: Affine) -> dict[str, float]:
    """Return the height and width of a pixel on a map, which may be rotated, by axis letter."""
    a, b, _, d, e, _ = transform
    return {"Y": math.hypot(b, e), "X": math.hypot(a, d)}


@dataclass(frozen=True)
class StoredImage:
    """Image that a reader opened.

    Parameters
    ----------
    data : array
        NumPy or lazy array. Frames may be masked arrays: masked pixels have no data.
    axes : str, optional
        One letter of T, Z, C, Y, X, S for each axis; None if unknown.
    metadata : ImageMetadata
    axes_guessed : bool
        True if the file does not say what some of its axes are.
    """

    data: Any
    axes: str | None
    metadata: ImageMetadata = field(default_factory=ImageMetadata)
    axes_guessed: bool = False
