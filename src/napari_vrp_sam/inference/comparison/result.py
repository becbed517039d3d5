"""Result of a comparison: one row for each model, as a table and as a picture."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.files import atomic
from napari_vrp_sam.inference.runs.events import JobEvent

if TYPE_CHECKING:
    from pandas import DataFrame
    from PIL.Image import Image


@dataclass(frozen=True, eq=False)
class ModelResult(JobEvent):
    """Accuracy, time and memory of one model on the image of the user.

    Attributes
    ----------
    model : str
    iou : dict of int to float
        IoU of each class on held-out parts of the annotation; empty if nothing can be held out.
    seconds_per_frame : float, optional
    seconds_to_learn : float, optional
        Seconds to learn the annotations of all annotated frames.
    memory_bytes : int, optional
        Largest increase of memory while the model was loaded and used: of the GPU, or else of the
        process.
    labels : ndarray, shape (Y, X), optional
        Labels of the frame that the picture shows.
    problem : str
        Reason why there is no result; empty if there is one.
    """

    model: str
    iou: dict[int, float] = field(default_factory=dict)
    seconds_per_frame: float | None = None
    seconds_to_learn: float | None = None
    memory_bytes: int | None = None
    labels: NDArray[np.integer] | None = None
    problem: str = ""

    @property
    def mean_iou(self) -> float | None:
        """Mean IoU over the classes; None if it is unknown."""
        return float(np.mean(list(self.iou.values()))) if self.iou else None

    def __str__(self) -> str:
        if self.problem:
            return f"{self.model}: {self.problem}"
        reached = "unknown" if self.mean_iou is None else f"{self.mean_iou:.2f}"
        memory = (self.memory_bytes or 0) / 1e9
        return (
            f"{self.model}: IoU {reached}, {self.seconds_per_frame:.2g} s per frame, "
            f"{memory:.1f} GB"
        )


@dataclass(frozen=True, eq=False)
class Comparison:
    """Results of several models on the same frames.

    Attributes
    ----------
    results : tuple of ModelResult
        In the order of the models.
    picture : ndarray, shape (Y, X, 3), uint8
        The frame that the results show.
    frame : int
        Its index.
    held_out : str
        What the accuracy was measured on, in words; empty if it is unknown.
    """

    results: tuple[ModelResult, ...]
    picture: NDArray[np.uint8]
    frame: int
    held_out: str

    @property
    def table(self) -> DataFrame:
        """One row for each model: IoU of each class and their mean, seconds, memory, problem."""
        from pandas import DataFrame

        classes = sorted({class_id for result in self.results for class_id in result.iou})
        rows = []
        for result in self.results:
            row: dict[str, object] = {"model": result.model, "iou": result.mean_iou}
            if len(classes) > 1:
                row |= {f"iou_class_{c}": result.iou.get(c) for c in classes}
            row["seconds_per_frame"] = result.seconds_per_frame
            row["seconds_to_learn"] = result.seconds_to_learn
            memory = result.memory_bytes
            row["memory_mb"] = None if memory is None else round(memory / 1e6)
            row["problem"] = result.problem
            rows.append(row)
        return DataFrame(rows)

    def side_by_side(self) -> Image:
        """Return the frame and the labels of each model side by side."""
        from napari_vrp_sam.io.exports.contact_sheet import contact_sheet, overlay

        shown = [result for result in self.results if result.labels is not None]
        cells = [self.picture]
        headings = [f"Frame {self.frame}"]
        for result in shown:
            assert result.labels is not None
            cells.append(overlay(self.picture, result.labels))
            reached = "" if result.mean_iou is None else f"  IoU {result.mean_iou:.2f}"
            headings.append(f"{result.model}{reached}")
        return contact_sheet([cells], headings, [""])

    def write(self, folder: str | os.PathLike[str]) -> tuple[Path, Path]:
        """Write `comparison.csv` and `comparison.png` to a folder, which is created.

        Returns
        -------
        tuple of Path
            The table and the picture.

        Raises
        ------
        InputError
            If a file cannot be written.
        """
        table, picture = Path(folder) / "comparison.csv", Path(folder) / "comparison.png"
        with atomic(table) as temporary:
            self.table.to_csv(temporary, index=False, float_format="%.4g")
        with atomic(picture) as temporary:
            self.side_by_side().save(temporary)
        return table, picture
