"""Labels of frames from their probabilities, with other settings than those of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from typing import Any

import numpy as np

from napari_vrp_sam.annotations.labels import labels_dtype
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.out_of_core.scratch import in_rows
from napari_vrp_sam.inference.relabelling.cleaning import clean_classes
from napari_vrp_sam.inference.relabelling.decision import DEFAULT_THRESHOLD, decide
from napari_vrp_sam.inference.relabelling.levels import threshold_level

MAX_SMOOTHING = 100.0

Threshold = float | Mapping[int, float]
"""Probability threshold of all classes, or of each class."""


@dataclass(frozen=True)
class RelabelSettings:
    """Settings by which labels are computed from probabilities.

    Attributes
    ----------
    thresholds : mapping of int to float
        Probability threshold of classes, between 0 and 1; default: 0.5.
    min_size : int
        Minimum size in pixels of a connected region of a class on a frame; smaller ones are
        removed.
    fill_holes : bool
        Whether to fill holes of a class that contain no other class.
    smoothing : float
        Standard deviation, in pixels, of the Gaussian filter that smooths the probabilities and
        thus the outlines; 0 for none.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    thresholds: Mapping[int, float] = field(default_factory=dict)
    _: KW_ONLY
    min_size: int = 0
    fill_holes: bool = False
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        for class_id, threshold in self.thresholds.items():
            if not 0 < threshold < 1:
                raise InputError(
                    f"The threshold of class {class_id} must be between 0 and 1, not {threshold}."
                )
        if self.min_size < 0:
            raise InputError(f"The minimum size must be 0 or more, not {self.min_size} pixels.")
        if not 0 <= self.smoothing <= MAX_SMOOTHING:
            raise InputError(
                f"The smoothing must be from 0 (none) to {MAX_SMOOTHING:.0f} pixels, not "
                f"{self.smoothing}."
            )

    @property
    def pixelwise(self) -> bool:
        """True if the label of a pixel depends on its own probabilities only."""
        return not (self.min_size or self.fill_holes or self.smoothing)

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as values that JSON can store."""
        thresholds = {str(class_id): value for class_id, value in self.thresholds.items()}
        return {**asdict(self), "thresholds": thresholds}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RelabelSettings:
        """Return the settings that `as_dict` returned as values."""
        thresholds = {int(class_id): value for class_id, value in values["thresholds"].items()}
        return cls(**{**values, "thresholds": thresholds})

    @classmethod
    def of(
        cls,
        threshold: Threshold,
        class_ids: Sequence[int],
        *,
        min_size: int = 0,
        fill_holes: bool = False,
        smoothing: float = 0.0,
    ) -> RelabelSettings:
        """Create settings from one threshold for all classes or one for each class.

        Raises
        ------
        InputError
            If there is no such class, or a value is out of range.
        """
        if not isinstance(threshold, Mapping):
            threshold = dict.fromkeys(class_ids, threshold)
        for class_id in threshold:
            if class_id not in class_ids:
                known = ", ".join(map(str, class_ids))
                raise InputError(
                    f"There is no class {class_id}: give thresholds of the classes {known}."
                )
        return cls(dict(threshold), min_size=min_size, fill_holes=fill_holes, smoothing=smoothing)


def relabel_frame(levels: Any, class_ids: Sequence[int], settings: RelabelSettings) -> Any:
    """Return the labels of a frame.

    With the default settings, these are the labels of the run. Probabilities are smoothed first,
    then each pixel gets a class, small regions are removed, and holes are filled.

    Parameters
    ----------
    levels : ndarray, shape (K, Y, X), uint8
        Levels of the probabilities; see `quantise`. Those of a large frame may be a `ScratchArray`,
        which is read into memory only for smoothing, sizes and holes.
    class_ids : sequence of int
        Label values of the K classes.
    settings : RelabelSettings

    Returns
    -------
    ndarray of unsigned integers, shape (Y, X)

    Examples
    --------
    >>> from napari_vrp_sam.inference.relabelling.levels import quantise
    >>> levels = quantise(np.array([0.2, 0.4, 0.6], np.float32).reshape(1, 1, 3))
    >>> relabel_frame(levels, [7], RelabelSettings()).tolist()
    [[0, 0, 7]]
    >>> relabel_frame(levels, [7], RelabelSettings({7: 0.3})).tolist()
    [[0, 7, 7]]
    """
    if not isinstance(levels, np.ndarray):  # a large frame in a temporary file
        if settings.pixelwise:
            shape, dtype = levels.shape[1:], labels_dtype(class_ids)
            return in_rows(
                lambda rows: relabel_frame(rows, class_ids, settings), levels, shape, dtype
            )
        levels = np.asarray(levels)
    planes: list[Any] = list(levels)
    limits = [
        float(threshold_level(settings.thresholds.get(class_id, DEFAULT_THRESHOLD)))
        for class_id in class_ids
    ]
    if settings.smoothing > 0:
        from scipy import ndimage

        planes = [
            ndimage.gaussian_filter(plane.astype(np.float32), settings.smoothing)
            for plane in planes
        ]
        # Between the two levels, so that little smoothing changes little.
        limits = [limit + 0.5 for limit in limits]
    zeros = np.zeros(levels.shape[1:], labels_dtype(class_ids))
    labels = decide(planes, class_ids, limits, zeros, np.where)
    return clean_classes(
        labels, min_size=settings.min_size, fill_holes_of_classes=settings.fill_holes
    )
