"""Threshold and clean-up of results: settings of labels and objects, of one run and later ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from napari_vrp_sam.inference.objects.settings import MinSize, ObjectSettings
from napari_vrp_sam.inference.relabelling.decision import DEFAULT_THRESHOLD
from napari_vrp_sam.inference.relabelling.relabel import RelabelSettings


@dataclass(frozen=True)
class ResultSettings:
    """Threshold of each class, and clean-up of labels and objects.

    Attributes
    ----------
    thresholds : mapping of int to float
        Thresholds other than 0.5, by class.
    min_size : int or "auto"
        Minimum size in pixels of regions and objects on a frame. "auto": labels keep all regions,
        and objects have the automatic minimum size of `ObjectSettings`.
    fill_holes : bool, optional
        Whether holes are filled; None: in objects, but not in labels.
    smoothing : float
        Standard deviation in pixels; 0 for none.
    """

    thresholds: Mapping[int, float] = field(default_factory=dict)
    min_size: MinSize = "auto"
    fill_holes: bool | None = None
    smoothing: float = 0.0

    def threshold(self, class_id: int) -> float:
        """Return the threshold of a class."""
        return self.thresholds.get(class_id, DEFAULT_THRESHOLD)

    def with_threshold(self, class_id: int, threshold: float) -> ResultSettings:
        """Return the settings with another threshold of a class."""
        others = {c: value for c, value in self.thresholds.items() if c != class_id}
        if threshold != DEFAULT_THRESHOLD:
            others[class_id] = threshold
        return replace(self, thresholds=others)

    def shown_by(self, other: ResultSettings, class_ids: Collection[int]) -> ResultSettings:
        """Return the settings of a result with some classes; other classes keep theirs."""
        kept = {c: value for c, value in self.thresholds.items() if c not in class_ids}
        return replace(other, thresholds=kept | dict(other.thresholds))

    @property
    def of_labels(self) -> RelabelSettings:
        """Settings by which labels are computed from probabilities."""
        return RelabelSettings(
            self.thresholds,
            min_size=0 if self.min_size == "auto" else self.min_size,
            fill_holes=bool(self.fill_holes),
            smoothing=self.smoothing,
        )

    @property
    def of_run(self) -> RelabelSettings | None:
        """The same for a job; None if the labels are those that it computes anyway."""
        settings = self.of_labels
        return None if settings == RelabelSettings() else settings

    def of_objects(self, settings: ObjectSettings, *, smoothed: bool) -> ObjectSettings:
        """Return settings of objects with this clean-up; `smoothed` if the labels have it."""
        fill_holes = settings.fill_holes if self.fill_holes is None else self.fill_holes
        return replace(
            settings,
            min_size=self.min_size,
            fill_holes=fill_holes,
            smoothing=0.0 if smoothed else self.smoothing,
        )

    def __str__(self) -> str:
        """Return what differs from the automatic settings in words; empty if nothing does."""
        many = len(self.thresholds) > 1
        parts = [
            f"threshold {value:.2f}" + (f" (class {class_id})" if many or class_id != 1 else "")
            for class_id, value in sorted(self.thresholds.items())
        ]
        if self.min_size != "auto":
            parts.append(f"minimum size {self.min_size} px")
        if self.fill_holes is not None:
            parts.append("holes filled" if self.fill_holes else "holes kept")
        if self.smoothing:
            parts.append(f"smoothing {self.smoothing:g} px")
        return ", ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as values that sessions can store."""
        thresholds = {str(class_id): value for class_id, value in self.thresholds.items()}
        return {**asdict(self), "thresholds": thresholds}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> ResultSettings:
        """Return the settings that `as_dict` returned as values; without values the defaults."""
        if not values:
            return AUTOMATIC
        thresholds = {int(class_id): value for class_id, value in values["thresholds"].items()}
        return cls(**{**values, "thresholds": thresholds})


AUTOMATIC = ResultSettings()
