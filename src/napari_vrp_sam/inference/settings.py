"""What the labels of a job depend on, by names that a user knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.inference.feature_cache import digest
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.job import Job


def settings_of(job: Job, frames: Frames) -> dict[str, Any]:
    """Equal for jobs that give the same labels; its values are what JSON has.

    Parameters
    ----------
    job : Job
        Its model is a name or a file. Which frames it segments does not count.
    frames : Frames
        Of its stack. The stack itself is known by its shape and by the annotated frames.
    """
    from napari_vrp_sam.models.identity import weights_digest

    assert isinstance(job.model, str | Path)
    return {
        "image": [*frames.label_shape, frames.axes, frames.dtype.str],
        "annotations": annotations_digest(job.references).hex(),
        "model": weights_digest(job.model),
        "pseudo-mask": job.pseudo_mask,
        "prompting": job.prompting,
        "channels": list(frames.channels),
        "limits": None if job.limits is None else list(job.limits),
        "tile": job.tile,
        "precision": job.precision,
    }


def annotations_digest(references: Sequence[Reference]) -> bytes:
    """Equal for references that show the same."""
    return digest(
        *(
            part
            for r in references
            for part in (r.image, r.mask, r.ignored, repr((r.class_id, r.kind, r.frame)))
        )
    )
