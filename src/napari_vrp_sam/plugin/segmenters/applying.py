"""Jobs that apply a saved segmenter to an image layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from napari.layers import Image

from napari_vrp_sam.inference.runs.files.batch import check_channels
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob, plan
from napari_vrp_sam.inference.segmenter_file import read_segmenter
from napari_vrp_sam.plugin.layers.stacks import (
    frames_of,
    known_axes,
    nodata_of,
    possible_axes,
    stack_data,
)


def apply_segmenter(
    path: Path, target: Image, axes: str | None, device: str
) -> Callable[[], SegmentationJob]:
    """Return a function that creates the job, as `Segmenter.predict` does, in any thread.

    Parameters
    ----------
    path : Path
        File of a segmenter.
    target : Image
        Image to segment.
    axes : str, optional
        Its axes, if they are chosen; default: those that the layer or its file names, else those
        of the image that the segmenter was fitted to, if their number is the same.
    device : str
    """
    known = axes or known_axes(target)
    possible = possible_axes(target)
    data, nodata, name = stack_data(target), nodata_of(target), target.name

    def make() -> SegmentationJob:
        job, fitted = read_segmenter(path)
        chosen = known or (fitted if fitted in possible else possible[0])
        channels = job.channels
        frames = frames_of(target, chosen, channels)
        check_channels(job, frames, f"'{name}'")
        job = replace(
            job,
            data=data,
            axes=chosen,
            nodata=job.nodata if nodata is None else nodata,
            device=device,
            references_on_stack=False,
            levels=True,
        )
        plan(job)
        return job

    return make
