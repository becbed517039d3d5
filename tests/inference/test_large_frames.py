"""Frames that are too large for the memory are read, predicted and written by windows."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_vrp_sam import Segmenter
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.out_of_core import scratch
from napari_vrp_sam.inference.out_of_core.scratch import ScratchArray
from napari_vrp_sam.inference.relabelling.levels import quantise, quantise_frame
from napari_vrp_sam.inference.relabelling.relabel import RelabelSettings, relabel_frame
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
from napari_vrp_sam.io.labels.files import write_planes
from napari_vrp_sam.io.samples import sample_stack

HEIGHT, WIDTH, TILE = 400, 616, 256


class ByWindows:
    """Array that refuses to be read as a whole."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.shape, self.dtype = data, data.shape, data.dtype

    def __getitem__(self, selection: Any) -> np.ndarray:
        part: np.ndarray = self.data[selection]
        assert part.size < self.data.size
        return part


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray]:
    """A frame of six tiles with missing pixels, and the labels of two classes."""
    image, truth = sample_stack(seed=0, size=400, frames=3)
    wide = ((0, 0), (0, WIDTH - 400))
    frame = np.pad(image[1], wide, mode="symmetric")
    frame[150:200, 300:350] = 0
    labels = np.pad(truth[1], wide, mode="symmetric").astype(np.uint8)
    labels[:, 400:] *= 2
    return frame, labels


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat frames as too large, and read them in windows of 128 x 128 pixels."""
    monkeypatch.setattr(scratch, "LARGEST_FRAME", 1000)
    monkeypatch.setattr(scratch, "WINDOW", 128)
    monkeypatch.setattr("napari_vrp_sam.inference.references.large.WINDOW", 128)
    monkeypatch.setattr(scratch, "ROW_BYTES", 20_000)
    windows = scratch.windows
    for module in ("references.large", "prediction.frame_logits"):
        monkeypatch.setattr(
            f"napari_vrp_sam.inference.{module}.windows", lambda size, side=128: windows(size, side)
        )


def segment(frame: Any, labels: Any, **options: Any) -> Any:
    segmenter = Segmenter("lite", device="cpu", tile_size=TILE, effort=0.1)
    segmenter.fit(frame, labels, axes="YX", nodata=0, one_class=False, annotation_kind="mask")
    return segmenter, segmenter.predict(frame, **options)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [None, 1])
def test_large_frame_gets_the_same_labels(
    scene: tuple[np.ndarray, np.ndarray],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    workers: int | None,
) -> None:
    frame, labels = scene
    expected_segmenter, expected = segment(frame, labels, probabilities=True)
    request.getfixturevalue("small_windows")
    path = str(tmp_path / "frame.zarr")
    stored = zarr.create_array(path, shape=frame.shape, chunks=(64, 64), dtype=frame.dtype)
    stored[:] = frame
    given = stored if workers else ByWindows(frame)
    segmenter, found = segment(
        given, expected_segmenter.references_, output=tmp_path / "labels.zarr", workers=workers
    )

    assert segmenter.normalisation_ == expected_segmenter.normalisation_
    assert np.array_equal(found.labels, expected.labels)
    assert not np.asarray(found.labels)[150:200, 300:350].any()
    np.testing.assert_allclose(found.confidence, expected.confidence, rtol=1e-5)
    assert set(np.unique(expected.labels)) == {0, 1, 2}


def test_references_of_a_large_frame_are_its_crops(
    scene: tuple[np.ndarray, np.ndarray], request: pytest.FixtureRequest
) -> None:
    from napari_vrp_sam.inference.prediction import reference_crops
    from napari_vrp_sam.inference.references.gather import gather_references

    frame, labels = scene
    whole = gather_references(Frames(frame, "YX"), labels, one_class=False, annotation_kind="mask")
    expected = reference_crops.crop_references(whole, 300, 256)
    request.getfixturevalue("small_windows")
    monkeypatch = request.getfixturevalue("monkeypatch")
    monkeypatch.setattr("napari_vrp_sam.inference.references.large.CROP", 256)
    found = gather_references(
        Frames(ByWindows(frame), "YX"), ByWindows(labels), one_class=False, annotation_kind="mask"
    )

    assert len(found) == len(expected) > 2
    for one, other in zip(found, expected, strict=True):
        assert one.class_id == other.class_id
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.mask, other.mask)
    assert len({r.frame for r in found}) == len({r.frame for r in expected})


def test_default_tiles_of_a_large_frame_need_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    job = SegmentationJob(np.zeros((HEIGHT, WIDTH), np.uint8), references=[], axes="YX")
    assert job.tile_side == 2048
    monkeypatch.setattr(scratch, "LARGEST_FRAME", 1000)
    assert job.tile_side == 576
    assert replace(job, tile_size=1024).tile_side == 1024


@pytest.mark.usefixtures("small_windows")
def test_normalisation_reads_a_large_frame_by_windows() -> None:
    frame = np.random.default_rng(0).integers(0, 60000, (HEIGHT, WIDTH), np.uint16)
    assert Normalisation.fit(Frames(ByWindows(frame), "YX")) == Normalisation.fit(
        [frame[..., None]]
    )


@pytest.mark.usefixtures("small_windows")
def test_view_thins_like_an_array() -> None:
    from napari_vrp_sam.inference.out_of_core.frame_view import every

    frame = np.arange(HEIGHT * WIDTH, dtype=np.int32).reshape(HEIGHT, WIDTH)
    view = Frames(ByWindows(frame), "YX").view(0)
    for step in (1, 3, 130):
        assert np.array_equal(every(view, step)[..., 0], frame[::step, ::step])


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("options", [{}, {"min_size": 30, "fill_holes": True, "smoothing": 1.5}])
def test_levels_of_a_large_frame_give_the_same_labels(options: dict[str, Any]) -> None:
    probabilities = np.random.default_rng(0).random((2, 200, 150), dtype=np.float32)
    large = ScratchArray(probabilities.shape, probabilities.dtype)
    large[:] = probabilities
    settings = RelabelSettings({1: 0.4, 2: 0.6}, **options)
    levels = quantise_frame(large)

    assert np.array_equal(levels, quantise(probabilities))
    expected = relabel_frame(quantise(probabilities), [1, 2], settings)
    assert np.array_equal(relabel_frame(levels, [1, 2], settings), expected)


def test_scratch_file_is_closed_with_its_array() -> None:
    array = ScratchArray((20, 30), np.dtype(np.uint8))
    array[3:4, 4:5] = np.full((1, 1), 7, np.uint8)
    assert np.asarray(array).sum() == 7
    file = array._file
    del array
    assert file.closed


@pytest.mark.skipif(sys.platform == "win32", reason="an open file keeps its name")
def test_scratch_file_of_a_killed_process_is_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = ScratchArray((20, 30), np.dtype(np.uint8))
    assert not any(tmp_path.iterdir())
    assert np.asarray(array).shape == (20, 30)


def test_large_page_is_written_in_tiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("napari_vrp_sam.io.labels.files.LARGEST_PAGE", 1000)
    monkeypatch.setattr("napari_vrp_sam.io.labels.files.TILE", 64)
    pages = np.random.default_rng(0).integers(0, 9, (2, 100, 150), np.uint8)
    read: list[int] = []

    def read_rows(plane: int, rows: slice) -> np.ndarray:
        read.append(rows.stop - rows.start)
        return pages[plane, rows]

    write_planes(tmp_path / "labels.tif", read_rows, pages.shape, pages.dtype, "ZYX")
    assert np.array_equal(tifffile.imread(tmp_path / "labels.tif"), pages)
    assert max(read) == 64
