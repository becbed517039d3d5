"""Files that cannot be written in the end: what is finished stays."""

from __future__ import annotations

import contextlib
import os
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


def check_kept(store: Path) -> None:
    labels, axes = read_stack(store)
    assert axes == "ZYX"
    expected = FRAMES * np.array([1, 0, 1], np.uint8)[:, None, None]
    np.testing.assert_array_equal(np.asarray(labels), expected)
    np.testing.assert_array_equal(np.asarray(read_labels(store)), expected)


@contextlib.contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """As on a disk that is full."""
    resource = pytest.importorskip("resource")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_disk_that_is_full_in_the_end(tmp_path: Path) -> None:
    writer = written(tmp_path / "a.tif")
    told = r"a\.tif cannot be written: .*; what is finished is kept in .*a_unfinished\.zarr, an"
    with files_no_larger_than(20_000), pytest.raises(InputError, match=told):
        writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a_unfinished.zarr"]
    check_kept(tmp_path / "a_unfinished.zarr")


def test_a_target_that_cannot_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.tif").mkdir()
    (tmp_path / "a_unfinished.zarr").mkdir()
    with pytest.raises(InputError, match=r"a_unfinished_2\.zarr"):
        written(tmp_path / "a.tif").close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["a.tif", "a_unfinished.zarr", "a_unfinished_2.zarr"]
    check_kept(tmp_path / "a_unfinished_2.zarr")


def test_an_interrupt_while_the_file_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_path: Path, pages: Iterator[Any], **_options: Any) -> None:
        next(pages)
        raise KeyboardInterrupt

    monkeypatch.setattr(tifffile, "imwrite", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        written(tmp_path / "a.tif").close()
    (note,) = caught.value.__notes__
    assert note == f"What is finished is kept in {tmp_path / 'a_unfinished.zarr'}, an OME-Zarr."
    check_kept(tmp_path / "a_unfinished.zarr")


WRITE_AND_DIE = """
import os, signal, sys
from tests.io.test_label_writers_rescue import Path, written

written(Path(sys.argv[1]))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_dies_leaves_what_is_finished(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE_AND_DIE, str(tmp_path / "a.tif")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    died = subprocess.run(command, env=environment, check=False, timeout=120)
    assert died.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == ["a_unfinished.zarr"]
    check_kept(tmp_path / "a_unfinished.zarr")
    written(tmp_path / "a.tif").close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "a_unfinished.zarr"]
    check_kept(tmp_path / "a_unfinished.zarr")


def test_two_at_once_do_not_share_a_store(tmp_path: Path) -> None:
    first, second = (written(tmp_path / "a.tif", (index,)) for index in (0, 1))
    second.close()
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif")[0], 0)
    first.close()
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif")[1], 0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_a_single_frame_is_kept_too(tmp_path: Path, name: str) -> None:
    writer = label_writer(tmp_path / name, FRAMES.shape[1:], U8, "YX")
    writer.write(0, FRAMES[0])
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=r"kept in .*a_unfinished\.zarr"):
        writer.close()
    np.testing.assert_array_equal(read_labels(tmp_path / "a_unfinished.zarr"), FRAMES[0])
