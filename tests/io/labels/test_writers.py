from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.stacks import read_labels, read_stack
from napari_vrp_sam.io.labels.writers import is_incremental, label_writer, write_frames
from napari_vrp_sam.io.labels.zarr_writer import ZarrWriter

U8 = np.dtype(np.uint8)


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_frames_of_a_file_in_any_order(tmp_path: Path) -> None:
    writer = label_writer(tmp_path / "a.tif", (2, 3, 20, 30), U8, "TZYX")
    for index in (5, 0):
        writer.write(index, np.full((20, 30), index + 1, np.uint8))
    assert visible(tmp_path) == ["a_unfinished.zarr"]
    assert (writer.read(5) == 6).all()
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]
    labels, axes = read_stack(tmp_path / "a.tif")
    assert axes == "TZYX"
    assert np.asarray(labels)[..., 0, 0].tolist() == [[1, 0, 0], [0, 0, 6]]


def test_a_discarded_file_leaves_nothing(tmp_path: Path) -> None:
    writer = label_writer(tmp_path / "new/a.tif", (3, 20, 30), U8, "ZYX")
    writer.write(1, np.ones((20, 30), np.uint8))
    writer.discard()
    assert not list((tmp_path / "new").iterdir())


def test_a_folder_gets_a_file_for_each_frame(tmp_path: Path) -> None:
    writer = label_writer(tmp_path / "out", (3, 20, 30), U8, "ZYX", names=["a", "b", "c"])
    writer.write(1, np.full((20, 30), 4, np.uint8))
    (file,) = (tmp_path / "out").iterdir()
    assert file.name == "b.png"
    assert read_labels(file).max() == 4
    assert writer.read(1).max() == 4
    large = label_writer(tmp_path / "out", (3, 20, 30), np.dtype(np.uint32), "ZYX")
    large.write(2, np.full((20, 30), 70000, np.uint32))
    assert tifffile.imread(tmp_path / "out/2.tif").max() == 70000


def test_processes_share_an_ome_zarr(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    writer = ZarrWriter(path, (2, 3, 20, 30), U8, "TZYX")
    assert not path.exists()
    writer.write(4, np.full((20, 30), 7, np.uint8))
    other = pickle.loads(pickle.dumps(writer))  # as sent to another process
    other.write(2, np.full((5, 30), 9, np.uint8), slice(5, 10))
    array, axes = read_stack(path)
    assert axes == "TZYX"
    assert array.dtype == U8
    assert array[:, :, 7, 0].tolist() == [[0, 0, 9], [0, 7, 0]]
    assert array[0, 2, :, 3].tolist() == [0] * 5 + [9] * 5 + [0] * 10


def test_ome_zarr_metadata(tmp_path: Path) -> None:
    """Version 0.5 of OME-Zarr requires these fields of a multiscale image."""
    path = tmp_path / "a.zarr"
    label_writer(path, (4, 20, 30), U8, "ZYX").write(0, np.ones((20, 30), np.uint8))
    ome = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]
    assert ome["version"] == "0.5"
    (image,) = ome["multiscales"]
    assert [axis["name"] for axis in image["axes"]] == ["z", "y", "x"]
    assert {axis["type"] for axis in image["axes"]} == {"space"}
    (level,) = image["datasets"]
    assert level["coordinateTransformations"] == [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]
    array = zarr.open_array(str(path / level["path"]))
    assert array.metadata.dimension_names == ("z", "y", "x")
    assert array.chunks == (1, 20, 30)


def test_an_ome_zarr_is_replaced_or_resumed(tmp_path: Path) -> None:
    given = (tmp_path / "a.zarr", (3, 20, 30), U8, "ZYX")
    frame = np.ones((20, 30), np.uint8)
    label_writer(*given).write(0, frame)
    resumed = label_writer(*given, resume=True)
    resumed.write(1, frame)
    assert resumed.read(0).all()
    replaced = label_writer(*given)
    replaced.write(2, frame)
    assert not replaced.read(0).any()
    other = label_writer(given[0], (4, 20, 30), U8, "ZYX", resume=True)
    with pytest.raises(InputError, match="holds labels of another shape"):
        other.write(0, frame)


def test_paths_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    frame = np.ones((20, 30), np.uint8)
    for name in ("a.zarr", "a.tif"):
        writer = label_writer(tmp_path / "file" / name, (3, 20, 30), U8, "ZYX")
        with pytest.raises(InputError, match="cannot be written: "):
            writer.write(0, frame)


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.csv", "a.npy", "a.vrpsam"])
def test_other_formats_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"choose a \.tif file, \.zarr, or a folder"):
        label_writer(tmp_path / name, (3, 20, 30), U8, "ZYX")


def test_names_of_folders_may_contain_dots(tmp_path: Path) -> None:
    label_writer(tmp_path / "2024.05.01_cells", (3, 20, 30), U8, "ZYX").write(
        1, np.ones((20, 30), np.uint8)
    )
    assert (tmp_path / "2024.05.01_cells/1.png").exists()


def test_folders_and_zarr_are_incremental() -> None:
    names = ("a.zarr", "a", "a.tif", "a.TIFF", "a.png")
    assert [is_incremental(Path(name)) for name in names] == [True, True, False, False, False]


def test_an_error_while_frames_are_written_leaves_no_file(tmp_path: Path) -> None:
    def frames():
        yield 0, np.ones((20, 30), np.uint8)
        raise InputError("The second frame is damaged.")

    writer = label_writer(tmp_path / "a.tif", (2, 20, 30), U8, "ZYX")
    with pytest.raises(InputError, match="The second frame is damaged"):
        write_frames(writer, frames())
    assert list(tmp_path.iterdir()) == []
