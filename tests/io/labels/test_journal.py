from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_vrp_sam.annotations.labels import labels_checksum
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.labels import journal as module
from napari_vrp_sam.io.labels.journal import Journal, journal_path, read_journal
from napari_vrp_sam.io.labels.journal_lines import FinishedFrame
from napari_vrp_sam.io.labels.writers import label_writer

SETTINGS = {"model": "abc", "limits": None, "channels": (0, 1)}
FRAMES = {index: np.full((4, 5), index, np.uint8) for index in range(5)}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "labels.zarr"


def started(output: Path, frames: int = 3) -> Journal:
    journal = Journal(output, SETTINGS)
    journal.facts["normalisation"] = [[0.1], [0.7]]
    journal.begin()
    output.mkdir(exist_ok=True)
    (output / "zarr.json").touch()
    for index in range(frames):
        journal.add(FinishedFrame(index, labels_checksum(FRAMES[index]), 0.5 if index else None))
    return journal


def resumed(output: Path) -> Journal:
    journal = Journal(output, SETTINGS)
    journal.resume(FRAMES.__getitem__)
    return journal


def test_finished_frames_are_resumed(output: Path) -> None:
    first = started(output)
    second = resumed(output)
    assert second.finished == first.finished
    assert second.facts == {"normalisation": [[0.1], [0.7]]}
    second.begin()
    second.add(FinishedFrame(4, labels_checksum(FRAMES[4])))
    assert sorted(resumed(output).finished) == [0, 1, 2, 4]


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_an_incomplete_line_is_ignored(output: Path, cut: int) -> None:
    started(output, frames=1)
    short = journal_path(output).read_bytes()
    started(output, frames=2)
    whole = journal_path(output).read_bytes()
    journal_path(output).write_bytes(whole[: max(len(short), len(whole) - cut)])
    journal = resumed(output)
    assert list(journal.finished) == [0]
    journal.begin()
    journal.add(FinishedFrame(3, labels_checksum(FRAMES[3])))
    assert list(resumed(output).finished) == [0, 3]


def test_frames_with_lost_labels_are_not_finished(output: Path) -> None:
    started(output, frames=4)
    journal = Journal(output, SETTINGS)
    journal.resume(lambda index: FRAMES[index] if index in (0, 2) else np.zeros((4, 5), np.uint8))
    assert list(journal.finished) == [0, 2]


@pytest.mark.parametrize("name", ["labels.zarr", "labels"])
@pytest.mark.parametrize("left", [0, 3, 20])
def test_frames_with_incomplete_labels_are_not_finished(
    tmp_path: Path, name: str, left: int
) -> None:
    """A power failure may leave incomplete files."""
    output = tmp_path / name
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 9, (3, 32, 48), dtype=np.uint8)
    writer = label_writer(output, frames.shape, frames.dtype, "ZYX")
    journal = Journal(output, SETTINGS)
    journal.begin()
    for index, labels in enumerate(frames):
        writer.write(index, labels)
        journal.add(FinishedFrame(index, labels_checksum(labels)))
    torn = output / ("0/c/1/0/0" if output.suffix else "1.png")
    torn.write_bytes(torn.read_bytes()[:left])
    again = Journal(output, SETTINGS)
    again.resume(label_writer(output, frames.shape, frames.dtype, "ZYX", resume=True).read)
    assert sorted(again.finished) == [0, 2]


def test_only_recent_frames_are_verified(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started(output, frames=5)
    monkeypatch.setattr(module, "VERIFIED_FRAMES", 2)
    verified = []
    Journal(output, SETTINGS).resume(lambda index: verified.append(index) or FRAMES[index])
    assert verified == [3, 4]


def test_a_run_with_other_settings_is_not_resumed(output: Path) -> None:
    started(output)
    other = Journal(output, {**SETTINGS, "model": "xyz", "limits": [0, 1]})
    with pytest.raises(InputError, match="started with another model and limits"):
        other.resume(FRAMES.__getitem__)


def test_a_journal_with_fewer_settings_is_refused(output: Path) -> None:
    started(output)
    other = Journal(output, {"version": "2", **SETTINGS, "limits": [0, 1]})
    with pytest.raises(InputError, match="started by another version of napari-vrp-sam"):
        other.resume(FRAMES.__getitem__)


def test_a_new_run_has_no_finished_frames(output: Path) -> None:
    assert not resumed(output).finished
    started(output).begin()
    shutil.rmtree(output)
    assert not resumed(output).finished


def test_an_empty_folder_has_no_finished_frames(output: Path) -> None:
    output.mkdir()
    assert not resumed(output).finished
    started(output)
    (output / "zarr.json").unlink()
    assert not resumed(output).finished


def test_an_output_without_a_journal_is_refused(output: Path) -> None:
    output.mkdir()
    (output / "zarr.json").touch()
    with pytest.raises(InputError, match="the journal of its run is missing"):
        resumed(output)


def test_a_journal_cut_at_any_byte_is_resumed(output: Path) -> None:
    started(output, frames=2)
    whole = journal_path(output).read_bytes()
    ends = [place for place, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole) + 1):
        journal_path(output).write_bytes(whole[:cut])
        journal = resumed(output)
        assert list(journal.finished) == list(range(sum(end < cut for end in ends[1:])))
        journal.facts["normalisation"] = [[0.1], [0.7]]
        journal.begin()
        for index in range(2):
            if index not in journal.finished:
                journal.add(
                    FinishedFrame(index, labels_checksum(FRAMES[index]), 0.5 * index or None)
                )
        assert journal_path(output).read_bytes() == whole


@pytest.mark.parametrize("zeros", [1, 40, None])
def test_frames_after_a_damaged_first_line_are_proven(
    output: Path, caplog: pytest.LogCaptureFixture, zeros: int | None
) -> None:
    started(output, frames=4)
    whole = journal_path(output).read_bytes()
    zeros = whole.index(b"\n") if zeros is None else zeros
    journal_path(output).write_bytes(bytes(zeros) + whole[zeros:])
    journal = Journal(output, SETTINGS)
    with caplog.at_level(logging.WARNING):
        journal.resume(lambda index: FRAMES[0 if index == 2 else index])
    assert list(journal.finished) == [0, 1, 3]
    (record,) = caplog.records
    assert "is resumed after 3 frames, whose labels match their checksums" in record.message
    journal.begin()
    assert list(resumed(output).finished) == [0, 1, 3]


def test_a_run_without_proven_frames_starts_from_the_beginning(
    output: Path, caplog: pytest.LogCaptureFixture
) -> None:
    started(output)
    journal_path(output).write_bytes(journal_path(output).read_bytes()[:30])
    with caplog.at_level(logging.WARNING):
        assert not resumed(output).finished
    (record,) = caplog.records
    assert record.message.endswith("is damaged: the run starts from the beginning.")


@pytest.mark.parametrize("damage", ["lost", "cut"])
def test_labels_of_another_run_are_not_resumed_after_damage(output: Path, damage: str) -> None:
    started(output)
    whole = journal_path(output).read_bytes()
    left = whole[whole.index(b"\n") :] if damage == "lost" else whole[:30]
    journal_path(output).write_bytes(left)
    other = Journal(output, {**SETTINGS, "model": "xyz"})
    with pytest.raises(InputError, match="may be the output of a run with other settings"):
        other.resume(FRAMES.__getitem__)
    assert journal_path(output).read_bytes() == left


@pytest.mark.parametrize(
    "line",
    [b"", b"nonsense", b"[]", b'{"index":1}', b'{"index":"1","checksum":2}', b'{"a":1,"index":1}'],
)
def test_a_damaged_line_costs_only_its_frame(
    output: Path, line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(output, frames=4)
    lines = journal_path(output).read_bytes().split(b"\n")
    journal_path(output).write_bytes(b"\n".join([*lines[:2], line, *lines[3:]]))
    monkeypatch.setattr(module, "VERIFIED_FRAMES", 1)
    journal = Journal(output, SETTINGS)
    journal.resume(lambda index: FRAMES[4 if index == 0 else index])
    assert list(journal.finished) == [2, 3]  # all are verified


@pytest.mark.parametrize("content", [b"nonsense\n", b'{"facts": {}}\n', b"[]\n"])
def test_a_file_that_is_no_journal_is_refused(output: Path, content: bytes) -> None:
    started(output)
    journal_path(output).write_bytes(content)
    with pytest.raises(InputError, match=r"damaged, and .* may be the output of a run with other"):
        resumed(output)
    assert journal_path(output).read_bytes() == content


def test_a_journal_that_cannot_be_written(output: Path) -> None:
    journal = started(output)
    journal_path(output).unlink()
    journal_path(output).mkdir()
    with pytest.raises(InputError, match=r"labels\.zarr\.journal cannot be written: .*resume"):
        journal.add(FinishedFrame(3, labels_checksum(FRAMES[3])))
    assert sorted(journal.finished) == [0, 1, 2]
    with pytest.raises(InputError, match=r"labels\.zarr\.journal cannot be read \(.*\): delete it"):
        resumed(output)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot limit the size of files")
def test_a_full_disk_in_the_middle_of_a_line(output: Path) -> None:
    import resource

    journal = started(output)
    size = journal_path(output).stat().st_size
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5, old[1]))
    try:
        with pytest.raises(InputError, match="cannot be written: No space left"):
            journal.add(FinishedFrame(3, labels_checksum(FRAMES[3])))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert journal_path(output).stat().st_size == size + 5
    assert sorted(resumed(output).finished) == [0, 1, 2]


def test_a_journal_that_cannot_be_read_is_empty(output: Path) -> None:
    assert read_journal(output) == ({}, [])
    journal = started(output)
    assert read_journal(output) == (journal.facts, list(journal.finished.values()))
    journal_path(output).write_bytes(b"nonsense\n")
    assert read_journal(output) == ({}, [])
