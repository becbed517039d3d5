from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_vrp_sam.annotations.labels import labels_checksum
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.labels import journal as module
from napari_vrp_sam.io.labels.journal import Finished, Journal, journal_of, noted
from napari_vrp_sam.io.labels.writers import label_writer

SETTINGS = {"model": "abc", "limits": None, "channels": (0, 1)}
FRAMES = {index: np.full((4, 5), index, np.uint8) for index in range(5)}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "labels.zarr"


def begun(output: Path, frames: int = 3) -> Journal:
    journal = Journal(output, SETTINGS)
    journal.facts["normalisation"] = [[0.1], [0.7]]
    journal.begin()
    output.mkdir(exist_ok=True)
    (output / "zarr.json").touch()
    for index in range(frames):
        journal.add(Finished(index, labels_checksum(FRAMES[index]), 0.5 if index else None))
    return journal


def resumed(output: Path) -> Journal:
    journal = Journal(output, SETTINGS)
    journal.resume(FRAMES.__getitem__)
    return journal


def test_what_is_finished_is_known_again(output: Path) -> None:
    first = begun(output)
    second = resumed(output)
    assert second.finished == first.finished
    assert second.facts == {"normalisation": [[0.1], [0.7]]}
    second.begin()
    second.add(Finished(4, labels_checksum(FRAMES[4])))
    assert sorted(resumed(output).finished) == [0, 1, 2, 4]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_that_was_cut_off_does_not_count(output: Path, cut: int) -> None:
    begun(output, frames=1)
    short = journal_of(output).read_bytes()
    begun(output, frames=2)
    whole = journal_of(output).read_bytes()
    journal_of(output).write_bytes(whole[: max(len(short), len(whole) - cut)])
    journal = resumed(output)
    assert list(journal.finished) == [0]
    journal.begin()
    journal.add(Finished(3, labels_checksum(FRAMES[3])))
    assert list(resumed(output).finished) == [0, 3]


def test_labels_that_are_lost_are_done_again(output: Path) -> None:
    begun(output, frames=4)
    journal = Journal(output, SETTINGS)
    journal.resume(lambda index: FRAMES[index] if index in (0, 2) else np.zeros((4, 5), np.uint8))
    assert list(journal.finished) == [0, 2]


@pytest.mark.parametrize("name", ["labels.zarr", "labels"])
@pytest.mark.parametrize("left", [0, 3, 20])
def test_labels_that_were_not_written_to_their_end_are_done_again(
    tmp_path: Path, name: str, left: int
) -> None:
    """As a machine that loses its power leaves them."""
    output = tmp_path / name
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 9, (3, 32, 48), dtype=np.uint8)
    writer = label_writer(output, frames.shape, frames.dtype, "ZYX")
    journal = Journal(output, SETTINGS)
    journal.begin()
    for index, labels in enumerate(frames):
        writer.write(index, labels)
        journal.add(Finished(index, labels_checksum(labels)))
    torn = output / ("0/c/1/0/0" if output.suffix else "1.png")
    torn.write_bytes(torn.read_bytes()[:left])
    again = Journal(output, SETTINGS)
    again.resume(label_writer(output, frames.shape, frames.dtype, "ZYX", resume=True).read)
    assert sorted(again.finished) == [0, 2]


def test_old_frames_are_taken_for_granted(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(output, frames=5)
    monkeypatch.setattr(module, "RECENT", 2)
    looked_at = []
    Journal(output, SETTINGS).resume(lambda index: looked_at.append(index) or FRAMES[index])
    assert looked_at == [3, 4]


def test_another_run_is_not_continued(output: Path) -> None:
    begun(output)
    other = Journal(output, {**SETTINGS, "model": "xyz", "limits": [0, 1]})
    with pytest.raises(InputError, match="begun with another model and limits"):
        other.resume(FRAMES.__getitem__)


def test_a_journal_of_an_older_version_is_told(output: Path) -> None:
    begun(output)
    other = Journal(output, {"version": "2", **SETTINGS, "limits": [0, 1]})
    with pytest.raises(InputError, match="begun by another version of this program"):
        other.resume(FRAMES.__getitem__)


def test_where_nothing_was_begun_everything_is_to_do(output: Path) -> None:
    assert not resumed(output).finished
    begun(output).begin()
    shutil.rmtree(output)
    assert not resumed(output).finished


def test_an_empty_folder_is_an_output_to_come(output: Path) -> None:
    output.mkdir()
    assert not resumed(output).finished
    begun(output)
    (output / "zarr.json").unlink()
    assert not resumed(output).finished


def test_an_output_without_a_journal_is_not_ours(output: Path) -> None:
    output.mkdir()
    (output / "zarr.json").touch()
    with pytest.raises(InputError, match="no journal of its run"):
        resumed(output)


@pytest.mark.parametrize("content", [b"", b"nonsense\n", b'{"facts": {}}\n', b"[]\n"])
def test_a_damaged_journal_is_told(output: Path, content: bytes) -> None:
    begun(output)
    journal_of(output).write_bytes(content)
    with pytest.raises(InputError, match="cannot be read: delete it"):
        resumed(output)


def test_a_journal_that_cannot_be_written_is_told(output: Path) -> None:
    journal = begun(output)
    journal_of(output).unlink()
    journal_of(output).mkdir()
    with pytest.raises(InputError, match=r"labels\.zarr\.journal cannot be written: .*--resume"):
        journal.add(Finished(3, labels_checksum(FRAMES[3])))
    assert sorted(journal.finished) == [0, 1, 2]
    with pytest.raises(InputError, match=r"labels\.zarr\.journal cannot be read \(.*\): delete it"):
        resumed(output)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no files")
def test_a_disk_that_is_full_in_the_middle_of_a_line(output: Path) -> None:
    import resource

    journal = begun(output)
    size = journal_of(output).stat().st_size
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5, old[1]))
    try:
        with pytest.raises(InputError, match="cannot be written: No space left"):
            journal.add(Finished(3, labels_checksum(FRAMES[3])))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert journal_of(output).stat().st_size == size + 5
    assert sorted(resumed(output).finished) == [0, 1, 2]


def test_what_another_run_has_noted_is_known(output: Path) -> None:
    assert noted(output) == ({}, [])
    journal = begun(output)
    assert noted(output) == (journal.facts, list(journal.finished.values()))
    journal_of(output).write_bytes(b"nonsense\n")
    assert noted(output) == ({}, [])
