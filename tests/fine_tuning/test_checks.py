"""Validation of annotations and options before a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError

IMAGE = np.zeros((72, 80), np.uint8)


def mask(rows: slice, columns: slice, value: float = 1) -> np.ndarray:
    marked = np.zeros(IMAGE.shape, np.float32)
    marked[rows, columns] = value
    return marked


SQUARE = mask(slice(10, 30), slice(10, 30))
ADJACENT = mask(slice(10, 30), slice(29, 50))
OTHER = mask(slice(40, 60), slice(10, 30))
EVERYTHING = mask(slice(None), slice(None))
NOTHING = mask(slice(0), slice(0))


@pytest.mark.parametrize(
    ("references", "message"),
    [
        ([], "There is no annotation"),
        ([Reference(IMAGE, NOTHING, frame=0), Reference(IMAGE, NOTHING, frame=1)], "background"),
        ([Reference(IMAGE, EVERYTHING, frame=0)], "Class 1 covers everything"),
        ([Reference(IMAGE, SQUARE, 1, "scribble", 0)], "Class 1 is annotated by points, scrib"),
        ([Reference(IMAGE, SQUARE, frame=9)], "frame 9"),
        (
            [Reference(IMAGE, SQUARE, 1, frame=2), Reference(IMAGE, SQUARE, 2, frame=2)],
            "On frame 2, 400 pixels are marked both as class 1 and as class 2",
        ),
        (
            [Reference(IMAGE, SQUARE, 1, frame=2), Reference(IMAGE, OTHER, 1, frame=2)],
            "On frame 2, 400 pixels are marked as class 1 by one annotation and as background",
        ),
        (
            [Reference(IMAGE, SQUARE, 1, frame=2), Reference(IMAGE, OTHER, 1, "point", 2)],
            "On frame 2, 400 pixels are marked as class 1 by one annotation and as background",
        ),
    ],
)
def test_unusable_annotations_are_rejected(job_of, references, message):
    with pytest.raises(InputError, match=message):
        replace(job_of(), references=references).check()


@pytest.mark.parametrize(
    "references",
    [
        [Reference(IMAGE, SQUARE, 1, frame=0), Reference(IMAGE, OTHER, 2, frame=0)],
        [Reference(IMAGE, SQUARE, 1, frame=0), Reference(IMAGE, SQUARE, 2, frame=1)],
        # Hand-drawn borders that overlap by a pixel.
        [Reference(IMAGE, SQUARE, 1, frame=0), Reference(IMAGE, ADJACENT, 2, frame=0)],
        # The corners of a box may belong to another class.
        [Reference(IMAGE, SQUARE, 1, "box", 0), Reference(IMAGE, SQUARE, 2, frame=0)],
        [Reference(IMAGE, SQUARE, 1, "scribble", 0), Reference(IMAGE, OTHER, 2, "scribble", 0)],
        # A stroke inside the mask of its class.
        [Reference(IMAGE, SQUARE, 1, frame=0), Reference(IMAGE, 0.8 * SQUARE, 1, "scribble", 0)],
        [Reference(IMAGE, SQUARE, frame=0), Reference(IMAGE, NOTHING, frame=1)],
        [Reference(IMAGE, SQUARE), Reference(IMAGE[:40, :40], SQUARE[:40, :40])],
    ],
)
def test_usable_annotations_are_accepted(job_of, references):
    replace(job_of(), references=references).check()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": "toes"}, "Unknown parts 'toes'"),
        ({"parts": "lora", "model": "lite"}, "'lite' does not have"),
        ({"steps": 0}, "Cannot train for 0 steps"),
        ({"steps": None, "minutes": 0.0}, "Cannot train for 0 minutes"),
        ({"minutes": 1.0}, "either minutes or steps"),
        ({"preview_frame": 4}, "There is no frame 4: choose one from 0 to 3"),
    ],
)
def test_invalid_options_are_rejected(job_of, options, message):
    with pytest.raises(InputError, match=message):
        job_of(**options).check()


def test_output_must_be_a_new_safetensors_file(job_of, tmp_path):
    job = job_of()
    job.output.write_text("mine")
    with pytest.raises(InputError, match="already exists: choose another name"):
        job.check()
    with pytest.raises(InputError, match=r"give 'own\.pth' that suffix"):
        replace(job, output=tmp_path / "own.pth").check()
    other = replace(job, output=tmp_path / "other.safetensors")
    other.folder.write_text("mine")  # where its checkpoints would be
    with pytest.raises(InputError, match="is not a folder: delete it, or choose another name"):
        other.check()
