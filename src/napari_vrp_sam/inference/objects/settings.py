"""Settings for finding objects, the same in Python, on the command line and in napari."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from napari_vrp_sam.errors import InputError

MinSize = int | Literal["auto"]
"""Minimum size in pixels on a frame, or "auto"."""

SPLIT_STRENGTH = 0.5
SMOOTHING = 0.0
"""Default settings, chosen on the training datasets; see docs/objects.md."""

LEAST_SHARE = 0.05
"""Minimum size "auto", as a share of the typical object of the class."""


@dataclass(frozen=True)
class ObjectSettings:
    """Settings for finding objects.

    Attributes
    ----------
    linked : bool
        Whether objects keep their id through Z and T.
    divisions : bool
        Whether linked objects may divide through T into two with a known parent.
    split_strength : float
        How readily touching objects are split, from 0 (never) to 1 (at every neck).
    min_size : int or "auto"
        Minimum size in pixels on a frame; smaller objects are removed. "auto": a 20th of
        the typical object of the class.
    fill_holes : bool
        Whether to fill holes of up to a quarter of the object around them.
    smoothing : float
        Standard deviation, in pixels, of the Gaussian filter that smooths outlines; 0 for none.
    """

    linked: bool = False
    divisions: bool = False
    _: KW_ONLY
    split_strength: float = SPLIT_STRENGTH
    min_size: MinSize = "auto"
    fill_holes: bool = True
    smoothing: float = SMOOTHING

    def least_size(self, class_id: int, typical: Mapping[int, float]) -> float:
        """Return the minimum size of the objects of a class in pixels.

        Parameters
        ----------
        class_id : int
        typical : mapping of int to float
            Area of the typical object of each class in pixels.
        """
        if self.min_size == "auto":
            return LEAST_SHARE * typical.get(class_id, 0.0)
        return float(self.min_size)


def check_settings(settings: ObjectSettings, axes: str) -> None:
    """Check that the settings are valid and fit labels with these axes.

    Raises
    ------
    InputError
        If a value is out of range, there is nothing to link, or no time axis to divide along.
    """
    if settings.linked and axes == "YX":
        raise InputError("A single frame has nothing to link: turn linking off.")
    if settings.divisions and not (settings.linked and "T" in axes):
        raise InputError("Only objects linked through time can divide: link along the axis T.")
    size = settings.min_size
    if isinstance(size, str) and size != "auto":
        raise InputError(f'The minimum size must be a number of pixels or "auto", not "{size}".')
    if not isinstance(size, str) and size < 0:
        raise InputError(f'The minimum size must be "auto", or 0 or more, not {size} pixels.')
    if not 0 <= settings.split_strength <= 1:
        raise InputError(
            "The split strength must be from 0 (never split) to 1 (split at every neck), not "
            f"{settings.split_strength}."
        )
    if not 0 <= settings.smoothing <= 100:
        raise InputError(
            f"The smoothing must be from 0 (none) to 100 pixels, not {settings.smoothing}."
        )
