"""Two runs that would write one output."""

from contextlib import closing

import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.inference.runs.files.dispatch import segment_to
from napari_vrp_sam.inference.runs.files.output import RunOutput
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob


def test_the_second_is_refused_until_the_first_ends(tmp_path, stack, truth, model):
    frames = Frames(stack[0])
    references = gather_references(frames, truth[0], reference_frame=0)
    job = SegmentationJob(stack[0], references=references, model=model, device="cpu")
    output = RunOutput(tmp_path / "labels.zarr", overwrite=True)
    with closing(segment_to(job, frames, output)) as first:
        next(first)
        with pytest.raises(InputError, match="being written by another window or process"):
            next(segment_to(job, frames, output))
        other = RunOutput(tmp_path / "other.zarr")
        assert list(segment_to(job, frames, other))
        assert list(first)
    assert list(segment_to(job, frames, output))
