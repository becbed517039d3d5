"""What the labels of a job depend on, by names that a user knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
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

    Notes
    -----
    What a device decides is told for the one that this process would use; workers elsewhere may
    have others.
    """
    from napari_vrp_sam import __version__
    from napari_vrp_sam.inference.disk_cache import is_wanted
    from napari_vrp_sam.models.identity import weights_digest
    from napari_vrp_sam.models.registry import base_spec

    assert isinstance(job.model, str | Path)
    weights = weights_digest(job.model)
    full_size = base_spec(str(job.model)).sam_weights is not None
    on_disk = is_wanted(job.cache, resizing=full_size, device=_device(job.device))
    return {
        "version of napari-vrp-sam": __version__,
        "image": [*frames.label_shape, frames.axes, frames.dtype.str],
        "annotations": annotations_digest(job.references).hex(),
        "model": weights,
        "pseudo-mask": job.pseudo_mask,
        "prompting": job.prompting,
        "channels": list(frames.channels),
        "limits": None if job.limits is None else list(job.limits),
        "tile": job.tile,
        "precision": _precision(job, full_size=full_size),
        "choice of --cache or --no-cache": on_disk,  # features on disk are rounded
    }


def _device(name: str) -> str:
    """The kind of device, though it may be one that only workers have."""
    from napari_vrp_sam.models.devices import resolve_device

    try:
        return resolve_device(name).type
    except InputError:
        return name.partition(":")[0]


def _precision(job: Job, *, full_size: bool) -> str:
    """What a job is computed in; "auto" is not the same everywhere."""
    from napari_vrp_sam.models.devices import resolve_device
    from napari_vrp_sam.models.precision import half_type

    if job.precision != "auto":
        return job.precision
    if not full_size:
        return "float16" if _device(job.device) == "cuda" else "float32"
    try:
        half = half_type(resolve_device(job.device), job.precision)
    except InputError:  # only workers have it, and know
        return job.precision
    return "float32" if half is None else str(half).removeprefix("torch.")


def annotations_digest(references: Sequence[Reference]) -> bytes:
    """Equal for references that show the same."""
    return digest(
        *(
            part
            for r in references
            for part in (r.image, r.mask, r.ignored, repr((r.class_id, r.kind, r.frame)))
        )
    )
