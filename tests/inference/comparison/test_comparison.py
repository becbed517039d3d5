"""Comparison of models on a stack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from napari_vrp_sam import compare_models
from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.cli import app
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.comparison.hold_out import hold_out_parts
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.models.weights.downloads import CACHE_VARIABLE, OFFLINE_VARIABLE

STACK, LABELS = sample_stack(seed=0, size=192, frames=3)
DRAWN = (LABELS[0] > 0).astype(np.uint8)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "empty"))
    monkeypatch.setenv(OFFLINE_VARIABLE, "1")


def reference(mask: np.ndarray, frame: int = 0, **options: object) -> Reference:
    return Reference(STACK[frame], mask, frame=frame, **options)  # type: ignore[arg-type]


def test_halves_of_a_single_frame_are_held_out() -> None:
    mask = np.zeros((192, 192), np.float32)
    mask[20:30, 4:180] = 1
    first, second = hold_out_parts([reference(mask)])
    assert not (first.known[1] & second.known[1]).any()
    assert (first.known[1] | second.known[1]).all()
    for part in (first, second):
        (training,) = part.training
        assert not training.mask[part.known[1]].any()
        assert training.ignored is not None
        assert training.ignored[part.known[1]].all()
        assert part.truth[1].sum() == pytest.approx(mask.sum() / 2, abs=10)
        # A long object is cut across.
        assert part.known[1].all(axis=0).sum() > 80


def test_cut_leaves_all_classes_on_both_halves() -> None:
    left, right = np.zeros((2, 192, 192), np.float32)
    left[20:60, 10:40] = 1
    right[20:60, 100:130] = 1
    parts = hold_out_parts([reference(left), reference(right, class_id=2)])
    assert [sorted(part.truth) for part in parts] == [[1, 2], [1, 2]]


def test_frames_are_held_out_if_there_are_several() -> None:
    masks = [(labels > 0).astype(np.float32) for labels in LABELS]
    parts = hold_out_parts([reference(mask, frame) for frame, mask in enumerate(masks)])
    assert [{r.frame for r in part.training} for part in parts] == [{1, 2}, {0, 2}, {0, 1}]
    assert all(part.known[1].all() for part in parts)


def test_only_masks_are_held_out_and_classes_must_be_learned() -> None:
    assert hold_out_parts([reference(DRAWN, kind="partial")]) == []
    corner = np.zeros((192, 192), np.float32)
    corner[2:6, 2:6] = 1  # of class 2, which is on one half only
    parts = hold_out_parts([reference(DRAWN), reference(corner, class_id=2)])
    assert [sorted(part.truth) for part in parts] == [[1], [1]]


@pytest.mark.usefixtures("offline")
def test_models_are_measured_and_one_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    steps: list[str] = []
    comparison = compare_models(
        STACK,
        DRAWN,
        ["vit_b_lm", "lite", "unknown"],
        axes="ZYX",
        reference_frame=0,
        device="cpu",
        effort=0.2,
        progress=lambda done, total, message: steps.append(message),
    )
    missing, lite, unknown = comparison.results
    assert "offline mode is on" in missing.problem
    assert "There is no model 'unknown'" in unknown.problem
    assert lite.problem == ""
    assert 0.3 < lite.iou[1] <= 1
    assert lite.seconds_per_frame is not None
    assert lite.memory_bytes is not None
    assert lite.labels is not None
    assert comparison.frame == 1
    truth = LABELS[1] > 0
    assert ((lite.labels > 0) & truth).sum() / ((lite.labels > 0) | truth).sum() > 0.3
    assert "lite: learning" in steps
    table, picture = comparison.write(tmp_path / "out")
    rows = pd.read_csv(table)
    assert list(rows["model"]) == ["vit_b_lm", "lite", "unknown"]
    assert np.isnan(rows["iou"][0])
    assert rows["iou"][1] == pytest.approx(lite.iou[1], rel=1e-3)
    with Image.open(picture) as opened:
        width, _ = opened.size
    assert width == 2 * 266 + 10  # the frame, and the result of lite


def test_an_unexpected_error_does_not_stop_the_other_models(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError("The memory is full\nin detail")

    monkeypatch.setattr("napari_vrp_sam.models.zoo.registry.load_model", full)
    found = compare_models(
        STACK, DRAWN, ["lite", "dinov2_s"], axes="ZYX", reference_frame=0, device="cpu"
    )
    assert [(result.model, result.problem) for result in found.results] == [
        ("lite", "It failed: The memory is full"),
        ("dinov2_s", "It failed: The memory is full"),
    ]


def test_no_model_and_no_such_frame() -> None:
    with pytest.raises(InputError, match="There is no model to compare"):
        compare_models(STACK, DRAWN, [], axes="ZYX", reference_frame=0)
    with pytest.raises(InputError, match="There is no frame 7: choose one from 0 to 2"):
        compare_models(STACK, DRAWN, axes="ZYX", reference_frame=0, shown_frame=7)


@pytest.mark.usefixtures("offline")
def test_command(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", STACK, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "drawn.tif", DRAWN)
    command = ["compare", str(tmp_path / "stack.tif"), "--reference", str(tmp_path / "drawn.tif")]
    command += ["--reference-frame", "0", "--device", "cpu", "--effort", "0.2", "--models"]
    result = CliRunner().invoke(app, [*command, "lite, vit_b"])
    assert result.exit_code == 0, result.stderr
    assert "halves of the annotated frame" in result.stdout
    assert (tmp_path / "stack_comparison" / "comparison.png").is_file()
    rows = pd.read_csv(tmp_path / "stack_comparison" / "comparison.csv")
    assert list(rows["model"]) == ["lite", "vit_b"]
    assert "offline mode" in rows["problem"][1]
    failed = CliRunner().invoke(app, [*command, "vit_b"])
    assert failed.exit_code == 2
    assert "No model could be compared" in failed.stderr
