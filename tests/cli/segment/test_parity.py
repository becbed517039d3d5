"""`vrp-sam segment` writes the labels, probabilities and confidence that a job yields in Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.prediction.confidence import frame_confidence
from napari_vrp_sam.inference.references import gather_references
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.events import FrameResult
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
from napari_vrp_sam.inference.segmenter import Segmenter
from napari_vrp_sam.io.images.stacks import read_stack
from napari_vrp_sam.io.labels.journal import read_journal


@pytest.mark.parametrize(
    "options", [(), pytest.param(("--workers", "1"), marks=pytest.mark.slow, id="worker")]
)
def test_outputs_equal_the_events_of_a_job(files: Path, options: tuple[str, ...]) -> None:
    output, probabilities = files / "labels.zarr", files / "probabilities.tif"
    result = CliRunner().invoke(
        app,
        ["segment", str(files / "stack.tif"), "--reference", str(files / "slice.tif"),
         "--reference-frame", "2", "--output", str(output), "--probabilities", str(probabilities),
         "--device", "cpu", *options],
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    stack, annotation = (tifffile.imread(files / name) for name in ("stack.tif", "slice.tif"))
    job = SegmentationJob(
        stack,
        references=gather_references(Frames(stack, "ZYX"), annotation, reference_frame=2),
        axes="ZYX",
        device="cpu",
        probabilities=True,
    )
    expected = {e.index: e for e in job.events(Control()) if isinstance(e, FrameResult)}
    labels, written = np.asarray(read_stack(output)[0]), tifffile.imread(probabilities)
    confidence = {frame.index: frame.confidence for frame in read_journal(output)[1]}
    assert expected.keys() == confidence.keys() == set(range(5))
    for index, frame in expected.items():
        assert frame.probabilities is not None
        np.testing.assert_array_equal(labels[index], frame.labels)
        np.testing.assert_array_equal(written[index], frame.probabilities[0])
        assert confidence[index] == frame_confidence(frame.confidence.values())
    assert (labels == 3).any(axis=(1, 2)).all()


@pytest.mark.parametrize("option", ["--annotation-kind", "--kind"])
def test_a_partial_mask_with_background_strokes(files: Path, option: str) -> None:
    stack, annotation = (tifffile.imread(files / name) for name in ("stack.tif", "slice.tif"))
    annotation[:2, :8] = 7
    tifffile.imwrite(files / "some.tif", annotation)
    output = files / "labels.tif"
    result = CliRunner().invoke(
        app,
        ["segment", str(files / "stack.tif"), "--reference", str(files / "some.tif"),
         "--reference-frame", "2", option, "partial", "--background", "7", "--frames", "2:3",
         "--output", str(output), "--device", "cpu"],
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    segmenter = Segmenter(device="cpu").fit(
        stack, annotation, axes="ZYX", reference_frame=2, annotation_kind="partial", background=7
    )
    (reference,) = segmenter.references_
    assert (reference.kind, int(reference.negative.sum())) == ("partial", 16)
    expected = segmenter.predict(stack, frames=(2, 3)).labels
    np.testing.assert_array_equal(tifffile.imread(output)[2], expected[2])
