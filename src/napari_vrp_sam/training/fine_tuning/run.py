"""A fine-tuning from its job to its file."""

from __future__ import annotations

from collections.abc import Iterator

from napari_vrp_sam.inference.engine import Control, Event
from napari_vrp_sam.training.fine_tuning.job import FineTuneJob


def fine_tune_events(job: FineTuneJob, control: Control) -> Iterator[Event]:
    """Train, and tell of it."""
    raise NotImplementedError
