"""Files of segmenters: settings, references and contrast limits, in the safetensors format.

The format holds arrays and text only, so that a file from elsewhere cannot execute anything.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.relabelling.relabel import RelabelSettings
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
from napari_vrp_sam.inference.segmenter_summary import (
    KIND,
    THUMBNAIL,
    VERSION,
    make_thumbnail,
    open_segmenter,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SHARED_SETTINGS = (
    "precision",
    "compile",
    "contrast_limits",
    "tile_size",
    "pseudo_mask",
    "prompting",
    "cache",
    "effort",
    "neighbours",
)
"""Settings that a segmenter and its jobs share."""
SETTINGS = (*SHARED_SETTINGS, "channels", "nodata")
"""Fields of a job that are stored as they are."""
PIXELS = "ignored", "negative"
"""Optional masks of a reference."""


def write_segmenter(
    path: str | os.PathLike[str],
    job: SegmentationJob,
    *,
    axes: str | None,
    expected_iou: Mapping[int, float | None],
    class_names: Mapping[int, str] | None = None,
) -> None:
    """Write the settings and references of a job.

    Parameters
    ----------
    path : path
    job : SegmentationJob
        Its model must be a name or a path, and its normalisation must be known.
    axes : str, optional
        Axes of the fitted stack.
    expected_iou : mapping of int to float or None
        For readers of the file.
    class_names : mapping of int to str, optional
        For readers of the file.

    Raises
    ------
    InputError
        If the model is neither a name nor a path, or the file cannot be written.
    """
    from safetensors.numpy import save_file

    from napari_vrp_sam.models.zoo.digests import weights_digest

    if not isinstance(job.model, str | Path):
        raise InputError(
            "Only a segmenter whose model is a name or a file can be saved: pass 'lite', the name "
            "of another model, or the path of a weights file instead of a loaded model."
        )
    assert job.normalisation is not None
    is_file = Path(job.model).is_file()
    described = {
        "version": VERSION,
        "model": str(Path(job.model).absolute()) if is_file else str(job.model),
        "weights": weights_digest(job.model),
        "axes": axes,
        "normalisation": job.normalisation.to_json(),
        "expected_iou": expected_iou,
        "class_names": class_names,
        **{name: getattr(job, name) for name in SETTINGS},
        "relabelling": None if job.relabelling is None else job.relabelling.as_dict(),
        "references": [
            {"class_id": r.class_id, "kind": r.kind, "frame": r.frame} for r in job.references
        ],
    }
    arrays: dict[str, NDArray[Any]] = {
        THUMBNAIL: make_thumbnail(job.references[0], job.normalisation)
    }
    for number, reference in enumerate(job.references):
        arrays[f"{number}.image"] = _native(reference.image)
        arrays[f"{number}.mask"] = _native(reference.mask)
        for name in PIXELS:
            if (pixels := getattr(reference, name)) is not None:
                arrays[f"{number}.{name}"] = np.ascontiguousarray(pixels)
    with atomic(path) as temporary:
        save_file(arrays, temporary, {"kind": KIND, "segmenter": json.dumps(described)})


def read_segmenter(path: str | os.PathLike[str]) -> tuple[SegmentationJob, str | None]:
    """Read a file that `write_segmenter` wrote.

    Returns
    -------
    job : SegmentationJob
        Without a stack.
    axes : str, optional
        Axes of the fitted stack.

    Raises
    ------
    InputError
        If the file does not exist, is damaged or was written by a newer version, or if its model
        is not available or has other weights.
    """
    with open_segmenter(path) as (described, file):
        job = _job(described, file.get_tensor, set(file.keys()))
        axes, weights = described["axes"], str(described["weights"])
    _check_model(job, weights, path)
    return job, axes


def _job(
    described: Mapping[str, Any], tensor: Callable[[str], NDArray[Any]], names: set[str]
) -> SegmentationJob:
    settings = {name: described[name] for name in SETTINGS if name in described}
    if settings["contrast_limits"] is not None:
        settings["contrast_limits"] = tuple(settings["contrast_limits"])
    relabelling = described.get("relabelling")  # not in files of earlier versions
    references = [
        Reference(
            tensor(f"{number}.image"),
            tensor(f"{number}.mask"),
            int(one["class_id"]),
            one["kind"],
            one["frame"],
            **{name: tensor(f"{number}.{name}") for name in PIXELS if f"{number}.{name}" in names},
        )
        for number, one in enumerate(described["references"])
    ]
    if not references:
        raise ValueError("it holds no reference")
    return SegmentationJob(
        None,
        references=references,
        model=str(described["model"]),
        normalisation=Normalisation.from_json(described["normalisation"]),
        relabelling=None if relabelling is None else RelabelSettings.from_dict(relabelling),
        **settings,
    )


def _check_model(job: SegmentationJob, weights: str, path: str | os.PathLike[str]) -> None:
    from napari_vrp_sam.models.zoo.digests import weights_digest
    from napari_vrp_sam.models.zoo.registry import missing_model_message

    problem = missing_model_message(str(job.model), owner="segmenter")
    if problem:
        raise InputError(f"{path} cannot be used here. {problem}")
    assert isinstance(job.model, str | Path)
    if weights_digest(job.model) != weights:
        raise InputError(
            f"{path} was fitted with other weights of '{job.model}' than those that are installed: "
            "fit it again."
        )


def _native(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array in the byte order of this machine, which the format requires."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
