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
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.inference.relabelling.levels import quantise
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
         "--device", "cpu", "--effort", "0.2", *options],
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    stack, annotation = (tifffile.imread(files / name) for name in ("stack.tif", "slice.tif"))
    job = SegmentationJob(
        stack,
        references=gather_references(Frames(stack, "ZYX"), annotation, reference_frame=2),
        axes="ZYX",
        device="cpu",
        probabilities=True,
        effort=0.2,
    )
    expected = {e.index: e for e in job.events(Control()) if isinstance(e, FrameResult)}
    labels, written = np.asarray(read_stack(output)[0]), tifffile.imread(probabilities)
    confidence = {frame.index: frame.confidence for frame in read_journal(output)[1]}
    assert expected.keys() == confidence.keys() == set(range(5))
    for index, frame in expected.items():
        assert frame.probabilities is not None
        np.testing.assert_array_equal(labels[index], frame.labels)
        np.testing.assert_array_equal(written[index], quantise(frame.probabilities)[0])
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
         "--output", str(output), "--device", "cpu", "--effort", "0.2"],
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    segmenter = Segmenter(device="cpu", effort=0.2).fit(
        stack, annotation, axes="ZYX", reference_frame=2, annotation_kind="partial", background=7
    )
    (reference,) = segmenter.references_
    assert (reference.kind, int(reference.negative.sum())) == ("partial", 16)
    expected = segmenter.predict(stack, frames=(2, 3)).labels
    np.testing.assert_array_equal(tifffile.imread(output)[2], expected[2])


@pytest.mark.slow
def test_an_incomplete_mask_prints_a_warning(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.ogrid[:192, :192]
    centres = [(24 + 36 * i, 24 + 36 * j) for i in range(5) for j in range(5)]
    discs = [(rows - r) ** 2 + (columns - c) ** 2 < 100 for r, c in centres]
    stack = np.where(np.any(discs, axis=0), 180, 60) + rng.normal(0, 8, (2, 192, 192))
    stack = stack.clip(0, 255).astype(np.uint8)
    drawn = np.any(discs[::3], axis=0).astype(np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "drawn.tif", drawn)
    command = [
        "segment", str(tmp_path / "stack.tif"), "--reference", str(tmp_path / "drawn.tif"),
        "--reference-frame", "0", "--device", "cpu", "--overwrite",
    ]  # fmt: skip
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    fitted = Segmenter(device="cpu").fit(stack, drawn, axes="ZYX", reference_frame=0)
    (warning,) = fitted.predict(stack, frames=(0, 1)).warnings
    assert (warning.class_id, warning.marked, warning.frame) == (1, 9, 0)
    assert 12 <= warning.unmarked <= 20
    assert f"WARNING: {warning} If only some" in result.stderr
    assert "--annotation-kind partial" in result.stderr
    result = CliRunner().invoke(app, [*command, "--annotation-kind", "partial"])
    assert result.exit_code == 0, result.stderr
    assert "WARNING" not in result.stderr
