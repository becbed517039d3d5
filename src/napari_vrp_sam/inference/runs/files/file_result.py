"""Results of many files: events, and the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_vrp_sam.inference.runs.events import Event, JobEvent, Progress

if TYPE_CHECKING:
    import pandas as pd

SUMMARY = "vrp-sam-summary.csv"
"""File name of the table of results, in the output folder or beside the first image."""


@dataclass(frozen=True)
class FileResult:
    """Result of one file.

    Attributes
    ----------
    image, labels : Path
    state : {"segmented", "skipped", "failed"}
        "skipped" if an earlier run has finished the file.
    frames : int
        Number of segmented frames.
    confidence : float, optional
        Mean confidence of the frames on which a class was found.
    message : str
        Reason of a failure, in one sentence.
    """

    image: Path
    labels: Path
    state: Literal["segmented", "skipped", "failed"]
    frames: int = 0
    confidence: float | None = None
    message: str = ""


@dataclass(frozen=True)
class FileStarted(JobEvent):
    """Work on one of several files begins; `number` counts from 1."""

    number: int
    total: int
    image: Path


@dataclass(frozen=True)
class FileFinished(JobEvent):
    """Work on one of several files has ended, well or not."""

    result: FileResult


def gather_results(
    events: Iterable[Event], progress: Callable[[int, int, str], object] | None = None
) -> list[FileResult]:
    """Return the results of the events of `segment_files`; `progress` is called as they come."""
    results: list[FileResult] = []
    title = ""
    for event in events:
        match event:
            case FileStarted(number, total, image):
                title = f"{number} of {total}: {image.name}"
            case Progress(done, total, message):
                if progress is not None:
                    progress(done, total, f"{title}: {message}")
            case FileFinished(result):
                results.append(result)
    return results


def summary_path(images: Sequence[Path], folder: Path | None) -> Path:
    """Return where the table of results is written."""
    return (folder or images[0].absolute().parent) / SUMMARY


def summary_table(results: Sequence[FileResult]) -> pd.DataFrame:
    """Return a table with one row for each file."""
    import pandas as pd

    rows: list[dict[str, Any]] = [
        {
            "image": str(result.image),
            "labels": "" if result.state == "failed" else str(result.labels),
            "state": result.state,
            "frames": result.frames,
            "confidence": result.confidence,
            "message": result.message,
        }
        for result in results
    ]
    return pd.DataFrame(rows)


def write_summary(path: Path, results: Sequence[FileResult]) -> None:
    """Write the table of results as CSV."""
    from napari_vrp_sam.io.exports.tables import write_table

    write_table(path, summary_table(results))
