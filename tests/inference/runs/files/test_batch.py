"""One annotation for many files, in Python and in a worker process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile

from napari_vrp_sam import InputError, Segmenter
from napari_vrp_sam.inference.runs.control import Control, StopRunError
from napari_vrp_sam.inference.runs.events import Done, Failed, Progress
from napari_vrp_sam.inference.runs.files.batch import incomplete_path, segment_files
from napari_vrp_sam.inference.runs.files.batch_job import BatchJob
from napari_vrp_sam.inference.runs.files.file_result import SUMMARY, FileFinished, FileStarted
from napari_vrp_sam.inference.runs.process.engine import ProcessEngine

# Worker processes learn as those of users.
pytestmark = pytest.mark.full_learning


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    """A segmenter of bright squares."""
    stack, truth = scene(0)
    fitted = Segmenter("lite", device="cpu", effort=0.2)
    return fitted.fit(stack, truth[0], axes="ZYX", reference_frame=0)


def scene(number: int) -> tuple[Any, Any]:
    truth = np.zeros((3, 64, 64), np.uint8)
    truth[:, 8 + 6 * number : 28 + 6 * number, 20:44] = 1
    noise = np.random.default_rng(number).integers(0, 40, truth.shape, dtype=np.uint8)
    return noise + (150 - 20 * number) * truth, truth


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """A stack, a file that is no image, and another stack."""
    paths = [tmp_path / name for name in ("a.tif", "bad.tif", "b.tif")]
    for number in (0, 2):
        stack = scene(number)[0]
        tifffile.imwrite(paths[number], stack, imagej=True, metadata={"axes": "ZYX"})
    paths[1].write_bytes(b"no image")
    return paths


def job_of(segmenter: Segmenter) -> Any:
    return replace(segmenter._job(None), axes="ZYX")


def test_files_have_the_labels_of_arrays(
    segmenter: Segmenter, images: list[Path], tmp_path: Path
) -> None:
    messages: list[str] = []
    results = segmenter.predict_files(
        images, tmp_path / "out", progress=lambda _done, _total, text: messages.append(text)
    )
    assert [result.state for result in results] == ["segmented", "failed", "segmented"]
    assert [result.frames for result in results] == [3, 0, 3]
    assert "bad.tif" in results[1].message
    for result in (results[0], results[2]):
        expected = segmenter.predict(tifffile.imread(result.image)).labels
        np.testing.assert_array_equal(tifffile.imread(result.labels), expected)
        assert result.confidence is not None
    assert pd.read_csv(tmp_path / "out" / SUMMARY).state.tolist() == [r.state for r in results]
    assert "1 of 3: a.tif: Frame 2 of 3" in messages

    with pytest.raises(InputError, match="already exists: resume to skip"):
        segmenter.predict_files(images, tmp_path / "out")
    again = segmenter.predict_files(images, tmp_path / "out", resume=True)
    assert [result.state for result in again] == ["skipped", "failed", "skipped"]


@pytest.mark.parametrize(("paths", "reason"), [([], "no image"), ("a.tif", "give a list")])
def test_paths_that_are_no_list(segmenter: Segmenter, paths: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        segmenter.predict_files(paths)


def test_a_worker_process_writes_the_same_files(
    segmenter: Segmenter, images: list[Path], tmp_path: Path
) -> None:
    segmenter.predict_files(images, tmp_path / "python")
    labels = [tmp_path / "window" / f"{image.stem}_labels.tif" for image in images]
    engine = ProcessEngine()
    try:
        run = engine.submit(BatchJob(job=job_of(segmenter), images=images, labels=labels))
        events = list(run.events())
    finally:
        engine.close()
    assert isinstance(events[-1], Done), events[-1]
    assert not any(isinstance(event, Failed) for event in events)
    started = [event for event in events if isinstance(event, FileStarted)]
    assert [(event.number, event.total) for event in started] == [(1, 3), (2, 3), (3, 3)]
    finished = [event.result.state for event in events if isinstance(event, FileFinished)]
    assert finished == ["segmented", "failed", "segmented"]
    for name in ("a_labels.tif", "b_labels.tif"):
        np.testing.assert_array_equal(
            tifffile.imread(tmp_path / "window" / name), tifffile.imread(tmp_path / "python" / name)
        )


def test_an_interrupted_file_is_not_taken_for_finished(
    segmenter: Segmenter, images: list[Path], tmp_path: Path
) -> None:
    labels = [tmp_path / f"{image.stem}_labels.tif" for image in images]
    control = Control()
    events = segment_files(job_of(segmenter), images, labels, control=control)
    next(e for e in events if isinstance(e, Progress) and e.stage == "segmenting" and e.done == 1)
    control.cancel()
    with pytest.raises(StopRunError):
        list(events)
    assert not labels[0].exists()
    kept = tifffile.imread(incomplete_path(labels[0]))
    assert kept[0].any()
    assert not kept[2].any()

    results = segmenter.predict_files(images, resume=True)
    assert [result.state for result in results] == ["segmented", "failed", "segmented"]
    assert tifffile.imread(labels[0])[2].any()
    assert not incomplete_path(labels[0]).exists()


def test_a_finished_store_is_skipped(
    segmenter: Segmenter, images: list[Path], tmp_path: Path
) -> None:
    target = [tmp_path / "a.zarr"]
    states: list[str] = []
    for _ in range(2):
        events = segment_files(job_of(segmenter), images[:1], target, resume=True)
        states += [event.result.state for event in events if isinstance(event, FileFinished)]
    assert states == ["segmented", "skipped"]


def test_an_unexpected_error_does_not_stop_the_others(
    segmenter: Segmenter, images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_vrp_sam.io.images import opening

    open_image = opening.open_image

    def broken(path: Path, **options: Any) -> Any:
        if path.name == "bad.tif":
            raise ZeroDivisionError("a reader")
        return open_image(path, **options)

    monkeypatch.setattr(opening, "open_image", broken)
    results = segmenter.predict_files(images, tmp_path / "out")
    assert [result.state for result in results] == ["segmented", "failed", "segmented"]
    assert "ZeroDivisionError" in results[1].message
