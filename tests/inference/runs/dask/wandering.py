"""The stack of the tests of dask, and the results of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.inference.runs.events import FrameResult
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob


def wandering_square(length: int, *, noise: int, contrast: int, **settings: Any) -> SegmentationJob:
    """Return the job of a bright square that wanders, in memory; annotated on the frame 2."""
    stack = np.random.default_rng(0).integers(0, noise, (length, 64, 64), dtype=np.uint8)
    drawn = np.zeros((64, 64), np.uint8)
    drawn[7:27, 12:40] = 3
    for index in range(length):
        stack[index, 5 + index : 25 + index, 12:40] += contrast
    references = gather_references(Frames(stack), drawn, reference_frame=2)
    return SegmentationJob(stack, references=references, device="cpu", **settings)


def results(events: Iterable[object]) -> list[FrameResult]:
    """Return the results of frames among events."""
    return [event for event in events if isinstance(event, FrameResult)]
