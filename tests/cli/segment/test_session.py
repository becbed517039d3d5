"""Sessions run on the command line."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_vrp_sam.annotations.labels import references_from_labels
from napari_vrp_sam.cli import app
from napari_vrp_sam.inference.objects.result_settings import ResultSettings
from napari_vrp_sam.inference.segment import segment_stack
from napari_vrp_sam.inference.segmenter import Segmenter
from napari_vrp_sam.io.images.stacks import read_stack
from napari_vrp_sam.io.sessions.image import SessionImage
from napari_vrp_sam.io.sessions.layers import StoredResult
from napari_vrp_sam.io.sessions.references import StoredReference
from napari_vrp_sam.io.sessions.session import Session, Settings, write_session
from napari_vrp_sam.models.zoo import user_models as store

runner = CliRunner()


@pytest.fixture
def stack() -> tuple[np.ndarray, np.ndarray]:
    """A bright square that moves through noise, and its ground truth."""
    stack = np.random.default_rng(0).integers(0, 40, (4, 48, 64), dtype=np.uint8)
    truth = np.zeros(stack.shape, np.uint8)
    for index in range(4):
        truth[index, 6 + 6 * index : 22 + 6 * index, 12:40] = 3
    stack[truth > 0] += 160
    return stack, truth


@pytest.fixture
def session(tmp_path: Path, stack: tuple[np.ndarray, np.ndarray]) -> Session:
    """Session in which the square is annotated on frame 1 of a file."""
    data, truth = stack
    tifffile.imwrite(tmp_path / "stack.tif", data, imagej=True, metadata={"axes": "ZYX"})
    references = references_from_labels(truth[1], data[1], frame=1)
    return Session(
        SessionImage("stack", data.shape, "|u1", "ZYX", source=tmp_path / "stack.tif"),
        settings=Settings(device="cpu"),
        references=[StoredReference.of(reference) for reference in references],
    )


def run(*arguments: Any) -> Any:
    # Little effort: these tests are about files and messages.
    return runner.invoke(app, ["segment", "--effort", "0.2", *map(str, arguments)])


def labels_of(path: Path) -> np.ndarray:
    return np.asarray(read_stack(path)[0])


def test_a_session_equals_segment_stack_with_its_references(
    tmp_path: Path, session: Session, stack: tuple[np.ndarray, np.ndarray]
) -> None:
    folder = tmp_path / "a.vrpsam"
    write_session(folder, session, stack[0])
    result = run("--session", folder)
    assert result.exit_code == 0, result.stderr
    expected = segment_stack(stack[0], stack[1][1], reference_frame=1, device="cpu", effort=0.2)
    np.testing.assert_array_equal(labels_of(tmp_path / "a_labels.tif"), expected)
    assert (expected == stack[1]).mean() > 0.9


def test_a_session_takes_nodata_from_the_file(
    tmp_path: Path, session: Session, stack: tuple[np.ndarray, np.ndarray]
) -> None:
    data = stack[0].copy()
    data[2, 18:30, 20:30] = 255  # inside the square
    nodata = (42113, "s", 0, "255", True)
    tifffile.imwrite(tmp_path / "stack.tif", data, photometric="minisblack", extratags=[nodata])
    write_session(tmp_path / "a.vrpsam", session, data)
    result = run("--session", tmp_path / "a.vrpsam")
    assert result.exit_code == 0, result.stderr
    labels = labels_of(tmp_path / "a_labels.tif")
    assert not labels[2, 18:30, 20:30].any()
    assert labels[2].sum() > 300


@pytest.mark.parametrize("earlier_version", [False, True])
def test_thresholds_and_clean_up_are_applied(
    tmp_path: Path,
    session: Session,
    stack: tuple[np.ndarray, np.ndarray],
    *,
    earlier_version: bool,
) -> None:
    """Also those of sessions of earlier versions, which stored them with the result only."""
    clean_up = ResultSettings({3: 0.05}, min_size=400, fill_holes=True, smoothing=2.0)
    if earlier_version:
        notes = {"relabelling": clean_up.as_dict()}
        session = replace(session, result=StoredResult(stack[1], "ZYX", {"notes": notes}))
    else:
        settings = replace(session.settings, clean_up=clean_up.as_dict())
        session = replace(session, settings=settings)
    write_session(tmp_path / "a.vrpsam", session, stack[0])
    result = run("--session", tmp_path / "a.vrpsam", "--instances")
    assert result.exit_code == 0, result.stderr
    segmenter = Segmenter(device="cpu", effort=0.2)
    segmenter.fit(stack[0], stack[1][1], reference_frame=1)
    predicted = segmenter.predict(stack[0], probabilities=True)
    expected = predicted.relabel({3: 0.05}, min_size=400, fill_holes=True, smoothing=2.0).labels
    assert (expected != predicted.labels).any()
    np.testing.assert_array_equal(labels_of(tmp_path / "a_labels.tif"), expected)
    objects = labels_of(tmp_path / "a_objects.tif")
    np.testing.assert_array_equal(objects > 0, expected > 0)


def test_accepted_frames_and_the_frame_range_are_applied(
    tmp_path: Path, session: Session, stack: tuple[np.ndarray, np.ndarray]
) -> None:
    data, truth = stack
    accepted = truth[0].copy()
    accepted[0, 0] = 3  # unlike any prediction
    folder, output = tmp_path / "a.vrpsam", tmp_path / "out"
    session = replace(
        session, settings=replace(session.settings, frames=(1, 3)), accepted={0: accepted}
    )
    write_session(folder, session, data)
    result = run("--session", folder, "--output", output, "--instances")
    assert result.exit_code == 0, result.stderr
    assert "2 of 2 frames are in" in result.stderr
    assert sorted(path.name for path in output.iterdir()) == ["0.png", "1.png", "2.png"]
    np.testing.assert_array_equal(labels_of(output / "0.png"), accepted)
    objects = labels_of(tmp_path / "out_objects.tif")
    shown = accepted > 0
    shown[0, 0] = False  # a speck is not an object
    np.testing.assert_array_equal(objects[0] > 0, shown)


def test_the_path_of_a_moved_image_can_be_given(
    tmp_path: Path, session: Session, stack: tuple[np.ndarray, np.ndarray]
) -> None:
    folder, moved = tmp_path / "a.vrpsam", tmp_path / "moved.tif"
    write_session(folder, session, stack[0])
    (tmp_path / "stack.tif").rename(moved)
    result = run("--session", folder)
    assert result.exit_code == 2
    assert "move it back, or give its new path" in result.stderr
    result = run(moved, "--session", folder, "--output", tmp_path / "l.tif")
    assert result.exit_code == 0, result.stderr
    assert labels_of(tmp_path / "l.tif").any()

    result = run(moved, "--session", folder, "--output", moved, "--overwrite")
    assert "is an input" in result.stderr
    tifffile.imwrite(moved, stack[0] + 1, imagej=True, metadata={"axes": "ZYX"})
    result = run(moved, "--session", folder, "--output", tmp_path / "other.tif")
    assert result.exit_code == 2
    assert "is not the image that was annotated" in result.stderr
    assert not (tmp_path / "other.tif").exists()


def test_model_and_device_can_be_overridden(
    tmp_path: Path, session: Session, stack: tuple[np.ndarray, np.ndarray]
) -> None:
    folder = tmp_path / "a.vrpsam"
    settings = Settings(model=str(tmp_path / "gone.safetensors"), device="nowhere")
    write_session(folder, replace(session, settings=settings), stack[0])
    assert run("--session", folder, "--device", "cpu").exit_code == 2
    assert run("--session", folder, "--model", "lite").exit_code == 2
    result = run("--session", folder, "--model", "lite", "--device", "cpu")
    assert result.exit_code == 0, result.stderr


def test_a_session_of_another_version_prints_a_warning(
    tmp_path: Path, session: Session, stack: tuple[np.ndarray, np.ndarray]
) -> None:
    write_session(tmp_path / "a.vrpsam", replace(session, version="0.0.1"), stack[0])
    result = run("--session", tmp_path / "a.vrpsam")
    assert "saved by version 0.0.1" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--session", "a.vrpsam", "--reference", "x.tif"], "omit --reference, or --session"),
        (["--session", "a.vrpsam", "--frames", "1:2"], "omit --frames, or --session"),
        (
            ["--session", "a.vrpsam", "--pseudo-mask", "probe"],
            "--pseudo-mask is stored in",
        ),
        (["--session", "a.vrpsam", "--tile-size", "512"], "omit --tile-size, or --session"),
        (["--session", "a.vrpsam", "--one-class"], "--one-class is stored in the session"),
        (["--session", "nothing.vrpsam"], "is not a session: choose a folder that ends in .vrpsam"),
        (["--session", "empty.vrpsam"], "There is no annotation yet"),
        (["--session", "a.vrpsam", "--output", "a.vrpsam"], "is an input"),
        (["stack.tif"], "give an IMAGE with --reference or --segmenter, or a --session"),
        ([], "give an IMAGE with --reference or --segmenter, or a --session"),
    ],
)
def test_errors_are_one_sentence(
    tmp_path: Path,
    session: Session,
    stack: tuple[np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    write_session(tmp_path / "a.vrpsam", session, stack[0])
    empty = replace(session, references=[], obstacle="There is no annotation yet.")
    write_session(tmp_path / "empty.vrpsam", empty, stack[0])
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


def test_a_missing_user_model_can_be_imported(
    tmp_path: Path, session: Session, stack: tuple[np.ndarray, np.ndarray]
) -> None:
    folder = tmp_path / "a.vrpsam"
    mine = replace(session, settings=Settings(device="cpu", model="mito"))
    write_session(folder, mine, stack[0])
    result = run("--session", folder)
    assert result.exit_code == 2
    assert "The session's model 'mito' does not exist" in result.stderr
    assert run("--session", folder, "--model", "lite").exit_code == 0
    packaged = resources.files("napari_vrp_sam") / "models/weights/lite.safetensors"
    with resources.as_file(packaged) as path:
        store.add(path, "mito")
    assert run("--session", folder, "--output", tmp_path / "with own.tif").exit_code == 0
