"""Label files that cannot be written: the finished labels are kept."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.stacks import read_labels, read_stack
from napari_vrp_sam.io.labels.writers import LabelWriter, label_writer

U8 = np.dtype(np.uint8)
FRAMES = np.random.default_rng(0).integers(0, 200, (3, 200, 300), np.uint8)


def written(path: Path, frames: tuple[int, ...] = (0, 2)) -> LabelWriter:
    writer = label_writer(path, FRAMES.shape, U8, "ZYX")
    for index in frames:
        writer.write(index, FRAMES[index])
    return writer


def check_labels(folder: Path) -> None:
    labels, axes = read_stack(folder)
    assert axes == "ZYX"
    expected = FRAMES * np.array([1, 0, 1], np.uint8)[:, None, None]
    np.testing.assert_array_equal(np.asarray(labels), expected)
    np.testing.assert_array_equal(np.asarray(read_labels(folder)), expected)


@contextlib.contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Limit the size of files, as on a full disk."""
    resource = pytest.importorskip("resource")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_full_disk_when_the_file_is_completed(tmp_path: Path) -> None:
    writer = written(tmp_path / "a.tif")
    message = r"a\.tif cannot be written: .*; the finished labels are kept in .*a_unfinished\.zarr"
    with files_no_larger_than(20_000), pytest.raises(InputError, match=message):
        writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a_unfinished.zarr"]
    check_labels(tmp_path / "a_unfinished.zarr")


def test_a_target_that_cannot_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.tif").mkdir()
    (tmp_path / "a_unfinished.zarr").mkdir()
    with pytest.raises(InputError, match=r"a_unfinished_2\.zarr"):
        written(tmp_path / "a.tif").close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["a.tif", "a_unfinished.zarr", "a_unfinished_2.zarr"]
    check_labels(tmp_path / "a_unfinished_2.zarr")


def test_an_interrupt_when_the_file_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_path: Path, pages: Iterator[Any], **_options: Any) -> None:
        next(pages)
        raise KeyboardInterrupt

    monkeypatch.setattr(tifffile, "imwrite", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        written(tmp_path / "a.tif").close()
    (note,) = caught.value.__notes__
    assert note == f"The finished labels are kept in {tmp_path / 'a_unfinished.zarr'}, an OME-Zarr."
    check_labels(tmp_path / "a_unfinished.zarr")


WRITE_AND_DIE = """
import os, signal, sys
from pathlib import Path
import numpy as np
from napari_vrp_sam.io.labels.writers import label_writer

frames = np.load(sys.argv[2])
writer = label_writer(Path(sys.argv[1]), frames.shape, frames.dtype, "ZYX")
for index in (0, 2):
    writer.write(index, frames[index])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_the_finished_labels(tmp_path: Path) -> None:
    frames = tmp_path / "frames.npy"
    np.save(frames, FRAMES)
    command = [sys.executable, "-c", WRITE_AND_DIE, str(tmp_path / "a.tif"), str(frames)]
    killed = subprocess.run(command, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    frames.unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["a_unfinished.zarr"]
    check_labels(tmp_path / "a_unfinished.zarr")
    written(tmp_path / "a.tif").close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "a_unfinished.zarr"]
    check_labels(tmp_path / "a_unfinished.zarr")


def test_two_writers_of_one_file_do_not_interfere(tmp_path: Path) -> None:
    first, second = (written(tmp_path / "a.tif", (index,)) for index in (0, 1))
    second.close()
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif")[0], 0)
    first.close()
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif")[1], 0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_a_single_frame_is_kept(tmp_path: Path, name: str) -> None:
    writer = label_writer(tmp_path / name, FRAMES.shape[1:], U8, "YX")
    writer.write(0, FRAMES[0])
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=r"kept in .*a_unfinished\.zarr"):
        writer.close()
    np.testing.assert_array_equal(read_labels(tmp_path / "a_unfinished.zarr"), FRAMES[0])
