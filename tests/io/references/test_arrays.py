"""NumPy arrays, cellpose, HDF5 of ilastik and tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import h5py
import numpy as np
import pytest
from tests.io.references.conftest import STACK, only, references

from napari_vrp_sam.annotations.label_questions import LabelQuestion
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.metadata import ImageMetadata
from napari_vrp_sam.io.references.pickled_arrays import read_pickled_arrays

SQUARES = np.zeros((60, 80), np.uint16)
for number in range(6):
    SQUARES[5 + 20 * (number // 3) :, :][:8, 5 + 25 * (number % 3) :][:, :9] = number + 1


def test_npy_and_npz(tmp_path):
    labels = (SQUARES > 0).astype(np.uint8)
    np.save(tmp_path / "a.npy", labels)
    np.savez_compressed(tmp_path / "a.npz", labels)
    np.savez(tmp_path / "b.npz", image=STACK[0], masks=labels)
    for name in ("a.npy", "a.npz", "b.npz"):
        what, mask = only(tmp_path / name, reference_frame=2)
        assert what == (2, 1, "mask")
        np.testing.assert_array_equal(mask, labels > 0)
    np.savez(tmp_path / "c.npz", first=labels, second=labels)
    with pytest.raises(InputError, match=r"the arrays first, second: name the labels 'labels'"):
        references(tmp_path / "c.npz", reference_frame=0)


def test_cellpose_numbers_objects(tmp_path):
    content = {
        "masks": SQUARES,
        "outlines": SQUARES * 0,
        "filename": "x.tif",
        "est_diam": np.float64(8.5),
        "flows": [STACK[:1], None],
        "ismanual": np.zeros(6, bool),
    }
    np.save(tmp_path / "x_seg.npy", content, allow_pickle=True)
    what, mask = only(tmp_path / "x_seg.npy", reference_frame=0)
    assert what == (0, 1, "mask")
    np.testing.assert_array_equal(mask, SQUARES > 0)
    np.save(tmp_path / "ids.npy", SQUARES)
    with pytest.raises(LabelQuestion, match="numbered objects"):
        references(tmp_path / "ids.npy", reference_frame=0)


class Malicious:
    def __reduce__(self) -> Any:
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("content", [Malicious(), {"masks": Malicious()}, print])
def test_nothing_in_a_file_is_executed(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "x_seg.npy", np.array(content, dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="nothing in a file is executed: save the labels"):
        references(tmp_path / "x_seg.npy", reference_frame=0)
    assert not (tmp_path / "executed").exists()


class Forged:
    """An array of objects whose bytes would become their addresses."""

    def __reduce__(self):
        array = np.empty(0).__reduce__()[0]
        return array, (np.ndarray, (0,), b"b"), (1, (16, 16), ForgedType(), False, b"A" * 2048)


class ForgedType:
    """The type of objects, with the claim that it is plain memory."""

    def __reduce__(self):
        return np.dtype, ("O8", False, True), (3, "|", None, None, None, -1, -1, 0)


class TooLarge:
    def __reduce__(self):
        array = np.empty(0).__reduce__()[0]
        state = 1, (1 << 20, 1 << 20), np.dtype(np.uint8), False, b"A"
        return array, (np.ndarray, (0,), b"b"), state


def test_names_in_a_file_cannot_break_the_sentence() -> None:
    with pytest.raises(InputError, match=r"contains 'numpy\.nda\\nray', not only arrays"):
        read_pickled_arrays(b"\x80\x04\x8c\x05numpy\x8c\x07nda\nray\x93.")


@pytest.mark.parametrize("content", [Forged, TooLarge])
def test_pickled_arrays_cannot_describe_memory(tmp_path, content):
    """In a process of its own, which NumPy's unpickling would crash."""
    holder = np.array({"masks": content()}, dtype=object)
    np.save(tmp_path / "x_seg.npy", holder, allow_pickle=True)
    code = f"""
from pathlib import Path
from napari_vrp_sam.io.references.readers.numpy_array import read_arrays
try:
    print(read_arrays(Path({str(tmp_path / "x_seg.npy")!r})).labels.tolist())
except Exception as error:
    print(type(error).__name__)
"""
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "InputError\n"), run.stderr


def tags(axes: str) -> str:
    return json.dumps({"axes": [{"key": axis, "typeFlags": 2, "resolution": 0} for axis in axes]})


def test_hdf5_of_ilastik(tmp_path):
    labels = np.zeros((4, 60, 80), np.uint8)
    labels[1] = SQUARES > 0
    layouts = {"zyxc": labels[..., None], "tzcyx": labels[None, :, None], "yxz": labels}
    layouts["yxz"] = labels.transpose(1, 2, 0)
    for axes, data in layouts.items():
        with h5py.File(tmp_path / "a.h5", "w") as file:
            dataset = file.create_dataset("exported_data", data=data)
            dataset.attrs["axistags"] = tags(axes)
        what, mask = only(tmp_path / "a.h5")
        assert what == (1, 1, "mask")
        np.testing.assert_array_equal(mask, SQUARES > 0)
    with h5py.File(tmp_path / "b.h5", "w") as file:  # without tags, as other programs write it
        file.create_dataset("t00000/s00/0/cells", data=labels[None])
        file.create_dataset("t00000/s00/0/image", data=STACK)
    assert only(tmp_path / "b.h5")[0] == (1, 1, "mask")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file.create_dataset("exported_data", data=labels.astype(np.float32))
    with pytest.raises(InputError, match="no dataset of labels of integers: export labels"):
        references(tmp_path / "c.h5")
    (tmp_path / "d.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(InputError, match=r"d\.h5 cannot be read as HDF5"):
        references(tmp_path / "d.h5")


def test_strokes_of_an_ilastik_project(tmp_path):
    with h5py.File(tmp_path / "a.ilp", "w") as file:
        group = file.create_group("PixelClassification/LabelSets/labels000")
        block = np.zeros((1, 4, 30, 1), np.uint8)
        block[0, 1, :, 0] = 1
        dataset = group.create_dataset("block0000", data=block)
        dataset.attrs["blockSlice"] = "[2:3,10:14,20:50,0:1]"
        file["Input Data/infos/lane0000/Raw Data/axisorder"] = "zyxc"
    what, mask = only(tmp_path / "a.ilp", annotation_kind="scribble")
    assert what == (2, 1, "scribble")
    assert np.argwhere(mask).tolist() == [[11, column] for column in range(20, 50)]


@pytest.mark.parametrize(
    "text",
    [
        "index,axis-0,axis-1,axis-2\n0,1,30,40\n1,1,20,10\n",
        "y,x,z\n30,40,1\n20,10,1\n",
        "X;Y;Slice\n40;30;2\n10;20;2\n",
        "X;Y;Slice;Area\n40,0;30,0;2;1,5\n10;20,0;2;2\n",
        "ID\tPOSITION_X\tPOSITION_Y\tFRAME\n0\t40\t30\t1\n0\t10\t20\t1\n",
        "x, y, frame, class\n40, 30, 1, 1\n10, 20, 1, 1\n",
    ],
)
def test_points(tmp_path, text):
    (tmp_path / "points.csv").write_text(text)
    what, mask = only(tmp_path / "points.csv")
    assert what == (1, 1, "point")
    assert mask[30, 40]
    assert mask[20, 10]
    assert mask.sum() == 10  # crosses of five pixels


def test_points_with_classes_and_background(tmp_path):
    rows = ["y,x,z,class", "30,40,1,cell", "10,40,1,vessel", "50,70,1,background"]
    (tmp_path / "points.csv").write_text("\n".join(rows))
    found = references(tmp_path / "points.csv")
    assert [what for what, _, _ in found] == [(1, 1, "point"), (1, 2, "point")]
    assert all(reference.negative[50, 70] for _, _, reference in found)


def test_shapes_that_napari_saved(tmp_path, box):
    corners = [(10, 20), (10, 49), (24, 49), (24, 20)]
    rows = [f"0,polygon,{n},1.0,{row},{column}" for n, (row, column) in enumerate(corners)]
    header = "index,shape-type,vertex-index,axis-0,axis-1,axis-2"
    (tmp_path / "shapes.csv").write_text("\n".join([header, *rows]))
    what, mask = only(tmp_path / "shapes.csv")
    assert what == (1, 1, "mask")
    np.testing.assert_array_equal(mask, box)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "no columns of coordinates: name them y and x"),
        ("y,x\n", "has no rows"),
        ("index,axis-0,axis-1\n0,30,40\n", "reference_frame"),
        ("index,axis-0,axis-1,axis-2,axis-3\n0,1,1,30,40\n", "has 4 coordinates"),
        ("y,x,z\n30,40,9\n", "Z = 9, but the stack has 4"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, text, message):
    (tmp_path / "points.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        references(tmp_path / "points.csv")


def test_spots_of_trackmate_are_read_in_pixels(tmp_path: Any) -> None:
    lines = [
        "LABEL,ID,POSITION_X,POSITION_Y,POSITION_Z,FRAME",
        "Label,Spot ID,X,Y,Z,Frame",
        "Label,Spot ID,X,Y,Z,Frame",
        ",,(micron),(micron),(micron),",
        "ID7,7,20.0,10.0,0.0,1",
        "ID9,9,5.0,10.0,0.0,3",
    ]
    (tmp_path / "spots.csv").write_text("\n".join(lines))
    calibrated = ImageMetadata(pixel_size={"Y": 0.5, "X": 0.5}, units={"X": "micrometer"})
    found = references(tmp_path / "spots.csv", axes="TYX", metadata=calibrated)
    assert [what for what, _, _ in found] == [(1, 1, "point"), (3, 1, "point")]
    assert [np.argwhere(mask).mean(axis=0).tolist() for _, mask, _ in found] == [
        [20.0, 40.0],
        [20.0, 10.0],
    ]


def test_outlines_alone_are_no_labels(tmp_path: Any) -> None:
    content = {"outlines": np.ones((60, 80), np.uint16), "masks": None}
    np.save(tmp_path / "a_seg.npy", content, allow_pickle=True)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="has no labels: name the labels"):
        references(tmp_path / "a_seg.npy", stack=STACK[:1])
