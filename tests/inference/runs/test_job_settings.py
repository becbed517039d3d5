"""Settings by which an interrupted run is recognised, also if only workers have its device."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.inference.runs.job_settings import settings_of
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob

STACK = np.zeros((3, 32, 32), np.uint8)
DRAWN = np.zeros((32, 32), np.uint8)
DRAWN[4:20, 4:20] = 1


@pytest.fixture
def job() -> SegmentationJob:
    unread = SegmentationJob(STACK, references=[])
    references = gather_references(unread.view(), DRAWN, reference_frame=0)
    return replace(unread, references=references, device="cpu")


def test_the_selection_of_frames_does_not_matter_and_labels_do(job: SegmentationJob) -> None:
    settings = settings_of(job, job.view())
    assert settings_of(replace(job, frames=(1, 2), probabilities=True), job.view()) == settings
    for change in ({"effort": 0.5}, {"neighbours": False}, {"nodata": 0}, {"tile_size": 512}):
        changed = replace(job, **change)
        assert settings_of(changed, changed.view()) != settings


@pytest.mark.skipif(torch.cuda.is_available(), reason="this computer has the device")
@pytest.mark.parametrize(
    ("model", "precision", "expected"),
    [("lite", "auto", "float16"), ("lite", "bfloat16", "bfloat16")],
)
def test_a_device_that_only_workers_have(
    job: SegmentationJob, model: str, precision: str, expected: str
) -> None:
    job = replace(job, model=model, device="cuda:1", precision=precision)
    assert settings_of(job, job.view())["precision"] == expected
