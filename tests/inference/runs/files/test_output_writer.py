"""Output of a run without the run: files, journal, resumption, and what is left if nothing came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_vrp_sam.annotations.labels import labels_checksum
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.inference.runs.events import FrameResult, FrameWritten
from napari_vrp_sam.inference.runs.files.output import OutputWriter, RunOutput
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
from napari_vrp_sam.io.images.stacks import read_stack
from napari_vrp_sam.io.labels.journal import journal_path
from napari_vrp_sam.testing import PixelModel

STACK = np.random.default_rng(0).integers(0, 40, (12, 32, 40), np.uint8)
DRAWN = np.zeros((32, 40), np.uint8)
DRAWN[4:20, 6:30] = 1
NORMALISATION = Normalisation((0.0,), (40.0,))

WriterOf = Callable[..., OutputWriter]


@pytest.fixture
def writer_of(tmp_path: Path) -> WriterOf:
    """Make a writer of labels of some frames of the stack."""

    def make(name: str, frames: int = 12, model: Any = "lite", **options: Any) -> OutputWriter:
        stack = Frames(STACK[:frames])
        references = gather_references(stack, DRAWN, reference_frame=0)
        job = SegmentationJob(STACK[:frames], references=references, model=model, device="cpu")
        return OutputWriter(job, stack, RunOutput(tmp_path / name, **options))

    return make


def result(index: int, **options: Any) -> FrameResult:
    return FrameResult(index, np.roll(DRAWN, index, axis=1), {1: 0.9}, **options)


def write(writer: OutputWriter, *indices: int, close: bool = True) -> None:
    writer.begin(NORMALISATION)
    for index in indices:
        writer.add(result(index))
    if close:
        writer.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["labels.zarr", "labels"])
def test_an_interrupted_run_is_resumed(writer_of: WriterOf, tmp_path: Path, name: str) -> None:
    write(writer_of(name), 0, 2, 1, close=False)  # killed
    writer = writer_of(name, resume=True)
    assert writer.finished == {0: 0.9, 1: 0.9, 2: 0.9}
    assert [(frame.index, frame.confidence) for frame in writer.resumed] == [
        (index, {1: 0.9}) for index in (0, 2, 1)
    ]
    assert writer.normalisation == NORMALISATION
    write(writer, *range(3, 12))
    labels = np.asarray(read_stack(tmp_path / name)[0])
    for index in range(12):
        np.testing.assert_array_equal(labels[index], result(index).labels)

    with pytest.raises(InputError, match="already exists: choose another output"):
        writer_of(name, overwrite=False)


def test_labels_that_were_changed_are_not_taken_for_finished(
    writer_of: WriterOf, tmp_path: Path
) -> None:
    write(writer_of("labels"), 0, 1, close=False)
    Image.fromarray(DRAWN + np.uint8(1)).save(tmp_path / "labels" / "01.png")
    assert writer_of("labels", resume=True).finished == {0: 0.9}


def test_a_run_that_kept_nothing_is_started_again(writer_of: WriterOf, tmp_path: Path) -> None:
    write(writer_of("labels.zarr"), 0, close=False)
    lines = journal_path(tmp_path / "labels.zarr").read_bytes().splitlines(keepends=True)
    journal_path(tmp_path / "labels.zarr").write_bytes(lines[0])
    writer = writer_of("labels.zarr", resume=True)
    assert (writer.finished, writer.normalisation) == ({}, None)
    write(writer, 3)
    assert not np.asarray(read_stack(tmp_path / "labels.zarr")[0])[0].any()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("labels.tif", {}, "A run that writes labels.tif cannot be resumed: choose an output that"),
        ("labels.zarr", {"model": PixelModel()}, "give the model by its name or file"),
        ("labels.zarr", {"probabilities": "p.zarr"}, "The probabilities of an interrupted run are"),
        ("labels.zarr", {"frames": 11}, "was started with another image: use the same"),
    ],
)
def test_runs_that_cannot_be_resumed(
    writer_of: WriterOf, tmp_path: Path, name: str, options: dict[str, Any], message: str
) -> None:
    write(writer_of("labels.zarr"), 0, close=False)
    if "probabilities" in options:
        options = {"probabilities": tmp_path / "p.zarr"}
    with pytest.raises(InputError, match=message):
        writer_of(name, resume=True, **options)


def test_files_of_an_earlier_run_are_removed_with_the_first_frame(
    writer_of: WriterOf, tmp_path: Path
) -> None:
    folder = tmp_path / "labels"
    write(writer_of("labels"), *range(12))
    Image.fromarray(DRAWN).save(folder / "05.png")  # edited by the user
    Image.fromarray(DRAWN).save(folder / "mine.png")
    (folder / "07.png").unlink()
    writer = writer_of("labels", frames=3)
    writer.begin(NORMALISATION)
    assert len(names(folder)) == 12
    writer.add(result(1))
    assert names(folder) == ["05.png", "1.png", "mine.png"]
    writer.close()


def test_a_journal_from_elsewhere_leads_to_no_other_folder(
    writer_of: WriterOf, tmp_path: Path
) -> None:
    other = tmp_path / "0.png"
    Image.fromarray(result(0).labels).save(other)
    write(writer_of("labels", frames=3), 0)
    journal = journal_path(tmp_path / "labels")
    journal.write_bytes(journal.read_bytes().replace(b'"0.png"', b'"../0.png"'))
    write(writer_of("labels", frames=3), 1)
    assert other.exists()


@pytest.mark.parametrize("name", ["labels.zarr", "labels.tif", "labels"])
def test_without_a_frame_nothing_is_left(writer_of: WriterOf, tmp_path: Path, name: str) -> None:
    writer = writer_of(name, probabilities=tmp_path / "p.tif")
    write(writer)
    left = {path.name for path in tmp_path.iterdir()} - {"labels"}
    assert left == set()


def test_accepted_labels_and_probabilities_are_written(writer_of: WriterOf, tmp_path: Path) -> None:
    writer = writer_of(
        "labels.tif", frames=3, accepted={2: DRAWN}, probabilities=tmp_path / "p.tif"
    )
    writer.begin(NORMALISATION)
    found = np.full((1, 32, 40), 0.75, np.float32)
    writer.add(result(0, probabilities=found))
    writer.add(replace(result(1), confidence={}))
    writer.close()
    assert writer.confidence == {0: 0.9}  # nothing was found on frame 1
    labels = tifffile.imread(tmp_path / "labels.tif")
    for index, expected in enumerate((DRAWN, np.roll(DRAWN, 1, axis=1), DRAWN)):
        np.testing.assert_array_equal(labels[index], expected)
    assert np.unique(tifffile.imread(tmp_path / "p.tif")[0]) == 191  # of 255


def test_frames_that_a_worker_wrote_are_recorded(writer_of: WriterOf) -> None:
    assert writer_of("labels.tif").shared_writer() is None
    writer = writer_of("labels.zarr")
    writer.begin(NORMALISATION)
    shared = writer.shared_writer()
    assert shared is not None
    shared.open()
    shared.write(4, DRAWN)
    writer.add(FrameWritten(4, labels_checksum(DRAWN), {1: 0.8}))
    assert writer_of("labels.zarr", resume=True).finished == {4: 0.8}
