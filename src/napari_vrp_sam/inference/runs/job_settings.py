"""Settings that the labels of a job depend on, to recognise the job when it is resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.prediction.caches.feature_cache import annotations_digest
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob


def settings_of(job: SegmentationJob, frames: Frames) -> dict[str, Any]:
    """Return settings that are equal for jobs with the same labels, as JSON values.

    Parameters
    ----------
    job : SegmentationJob
        Its model is a name or a file. The selection of frames does not matter.
    frames : Frames
        Its stack, which is recognised by its shape and by the annotated frames.

    Notes
    -----
    Settings that depend on the device are those of this process; workers elsewhere may have
    other devices.
    """
    from napari_vrp_sam import __version__
    from napari_vrp_sam.inference.prediction.caches.disk_feature_cache import uses_disk_cache
    from napari_vrp_sam.models.zoo.digests import weights_digest
    from napari_vrp_sam.models.zoo.registry import base_spec

    assert isinstance(job.model, str | Path)
    weights = weights_digest(job.model)
    full_size = base_spec(str(job.model)).sam_weights is not None
    on_disk = uses_disk_cache(job.cache, resizing=full_size, device=_device(job.device))
    return {
        "version of napari-vrp-sam": __version__,
        "image": [*frames.label_shape, frames.axes, frames.dtype.str],
        "annotations": annotations_digest(job.references).hex(),
        "model": weights,
        "pseudo-mask": job.pseudo_mask,
        "prompting": job.prompting,
        "channels": list(frames.channels),
        "nodata": None if frames.nodata is None else repr(frames.nodata),
        "contrast limits": None if job.contrast_limits is None else list(job.contrast_limits),
        "tile size": job.tile_size,
        "effort": job.effort,
        "neighbours": job.neighbours,
        "relabelling": None if job.relabelling is None else job.relabelling.as_dict(),
        "precision": _precision(job, full_size=full_size),
        "feature cache on disk": on_disk,  # features on disk are rounded
    }


def _device(name: str) -> str:
    """Return the type of a device, even if only workers have it."""
    from napari_vrp_sam.models.devices import resolve_device

    try:
        return resolve_device(name).type
    except InputError:
        return name.partition(":")[0]


def _precision(job: SegmentationJob, *, full_size: bool) -> str:
    """Return the floating-point format of a job; "auto" differs between devices."""
    from napari_vrp_sam.models.devices import resolve_device
    from napari_vrp_sam.models.precision import half_precision_dtype

    if job.precision != "auto":
        return job.precision
    if not full_size:
        return "float16" if _device(job.device) == "cuda" else "float32"
    try:
        half = half_precision_dtype(resolve_device(job.device), job.precision)
    except InputError:  # only workers have the device
        return job.precision
    return "float32" if half is None else str(half).removeprefix("torch.")
