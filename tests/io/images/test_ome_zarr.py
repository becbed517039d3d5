from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.io.images.lazy_stack import LazyZarr
from napari_vrp_sam.io.images.opening import image_names, open_image
from napari_vrp_sam.io.images.stacks import read_labels, read_stack

IMAGE = np.random.default_rng(0).integers(0, 60000, (1, 2, 3, 32, 40), dtype=np.uint16)
NAMES = ["t", "c", "z", "y", "x"]
AXES_04 = [{"name": name} for name in NAMES]
AXES_04[1]["type"] = "channel"


def write_image(path: Path, axes: Any, version: int, image: np.ndarray = IMAGE) -> None:
    """Write an image with two resolution levels, named as other programs do."""
    group = zarr.open_group(str(path), mode="w", zarr_format=version)
    for name, level in (("s0", image), ("s1", image[..., ::2, ::2])):
        chunks = (1,) * (image.ndim - 2) + level.shape[-2:]
        group.create_array(name, data=level, chunks=chunks)
    image_attributes = [{"axes": axes, "datasets": [{"path": "s0"}, {"path": "s1"}]}]
    attributes = {"multiscales": image_attributes}
    group.attrs.update({"ome": attributes} if version == 3 else attributes)


@pytest.mark.parametrize(("version", "axes"), [(3, AXES_04), (2, AXES_04), (2, NAMES)])
def test_the_full_resolution_is_read_lazily(tmp_path: Path, version: int, axes: Any) -> None:
    write_image(tmp_path / "a.ome.zarr", axes, version)
    array, found = read_stack(tmp_path / "a.ome.zarr")
    assert found == "CZYX"  # a time axis of length 1 is dropped
    assert not isinstance(array, np.ndarray)
    sent = pickle.loads(pickle.dumps(array))
    frames = Frames(sent, found)
    assert frames.label_shape == (3, 32, 40)
    np.testing.assert_array_equal(frames[1], IMAGE[0, :, 1].transpose(1, 2, 0))
    np.testing.assert_array_equal(np.asarray(array), IMAGE[0])


def test_axes_without_types_may_have_full_names(tmp_path: Path) -> None:
    names = ("time", "channel", "y", "x")
    image = IMAGE[0].swapaxes(0, 1)
    write_image(tmp_path / "a.ome.zarr", [{"name": name} for name in names], 2, image)
    array, axes = read_stack(tmp_path / "a.ome.zarr")
    assert axes == "TCYX"
    np.testing.assert_array_equal(np.asarray(array), image)


def test_the_first_image_of_a_group_is_read(tmp_path: Path) -> None:
    zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
    write_image(tmp_path / "a.zarr/0", AXES_04, 2)
    assert read_stack(tmp_path / "a.zarr")[0].shape == (2, 3, 32, 40)


def test_arrays_without_metadata_have_no_axes(tmp_path: Path) -> None:
    zarr.save_array(str(tmp_path / "a.zarr"), IMAGE[0, 0])
    array, axes = read_stack(tmp_path / "a.zarr")
    assert axes is None
    assert Frames(array, axes).axes == "ZYX"
    labels = read_labels(tmp_path / "a.zarr")
    np.testing.assert_array_equal(np.asarray(labels), IMAGE[0, 0])


def test_labels_and_image_may_both_be_zarr(tmp_path: Path) -> None:
    write_image(tmp_path / "a.zarr", AXES_04, 3)
    drawn = (IMAGE[0, 0] > 30000).astype(np.uint8)
    zarr.save_array(str(tmp_path / "drawn.zarr"), drawn)
    labels = read_labels(tmp_path / "drawn.zarr", tmp_path / "a.zarr")
    np.testing.assert_array_equal(np.asarray(labels), drawn)


def test_a_group_without_an_image_is_refused(tmp_path: Path) -> None:
    zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    with pytest.raises(InputError, match="holds no image"):
        read_stack(tmp_path / "a.zarr")
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "b.zarr/zarr.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as an image"):
        read_stack(tmp_path / "b.zarr")


def test_an_image_with_channels_is_not_a_label_image(tmp_path: Path) -> None:
    write_image(tmp_path / "a.zarr", AXES_04, 3)
    with pytest.raises(InputError, match="not a label image"):
        read_labels(tmp_path / "a.zarr")


@pytest.mark.parametrize("image", [IMAGE, IMAGE[0]])
def test_damaged_chunks_are_refused_when_read(tmp_path: Path, image: np.ndarray) -> None:
    path = tmp_path / "a.zarr"
    write_image(path, AXES_04[-image.ndim :], 3, image)
    (chunk,) = (path / "s0/c").glob("**/1/2/0/0")
    chunk.write_bytes(chunk.read_bytes()[:-30])
    array, _ = read_stack(path)
    np.testing.assert_array_equal(array[1, 1], IMAGE[0, 1, 1])
    for reader in (array, pickle.loads(pickle.dumps(array))):
        with pytest.raises(InputError, match=r"a\.zarr cannot be read as an image: .*Zstd"):
            reader[1, 2]
    with pytest.raises(IndexError):
        array[7]


@pytest.mark.parametrize("names", ["tcyx", ("time", "channel", "y", "x")])
def test_axes_need_names_but_no_types(tmp_path: Path, names: Any) -> None:
    write_image(tmp_path / "a.zarr", [{"name": name} for name in names], 2, IMAGE[0])
    assert read_stack(tmp_path / "a.zarr")[1] == "TCYX"


@pytest.mark.parametrize("version", [2, 3])
def test_fields_of_a_plate_are_images(tmp_path: Path, version: int) -> None:
    def describe(group: Any, **attributes: Any) -> None:
        group.attrs.update({"ome": attributes} if version == 3 else attributes)

    root = zarr.open_group(str(tmp_path / "p.zarr"), mode="w", zarr_format=version)
    describe(root, plate={"wells": [{"path": "A/1"}, {"path": "B/2"}]})
    for at, well in enumerate(("A/1", "B/2")):
        describe(root.create_group(well), well={"images": [{"path": "0"}, {"path": "1"}]})
        for field in range(2):
            path = tmp_path / "p.zarr" / well / str(field)
            write_image(path, AXES_04, version, IMAGE + 2 * at + field)
            labels = zarr.open_group(str(path / "labels"), mode="w", zarr_format=version)
            describe(labels, labels=["cells"])
            write_image(path / "labels/cells", AXES_04, version, IMAGE[:, :1] // 20000)
    assert image_names(tmp_path / "p.zarr") == ["A/1/0", "A/1/1", "B/2/0", "B/2/1"]
    with pytest.warns(UserWarning, match=r"4 images \(0: A/1/0, .*number 0 is used"):
        np.testing.assert_array_equal(np.asarray(read_stack(tmp_path / "p.zarr")[0]), IMAGE[0])
    array, _ = read_stack(tmp_path / "p.zarr", image="B/2/1")
    np.testing.assert_array_equal(np.asarray(array), IMAGE[0] + 3)
    for path in ("labels", "labels/cells"):
        labels, axes = read_stack(tmp_path / "p.zarr/A/1/0" / path)
        assert axes == "ZYX"
        np.testing.assert_array_equal(np.asarray(labels), IMAGE[0, 0] // 20000)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("name", ["a.ozx", "a.ome.zarr.zip", "a.zip"])
def test_zipped_images(tmp_path: Path, name: str, nested: bool) -> None:
    write_image(tmp_path / "a.zarr", AXES_04, 3)
    with zipfile.ZipFile(tmp_path / name, "w") as file:
        for path in (tmp_path / "a.zarr").rglob("*"):
            file.write(path, path.relative_to(tmp_path if nested else tmp_path / "a.zarr"))
    array, axes = read_stack(tmp_path / name)
    assert axes == "CZYX"
    for opened in (array, pickle.loads(pickle.dumps(array))):
        np.testing.assert_array_equal(np.asarray(opened), IMAGE[0])


def test_calibration_and_channel_names(tmp_path: Path) -> None:
    units = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}
    kinds = {"t": "time", "c": "channel"}
    axes = [{"name": n, "type": kinds.get(n, "space"), "unit": units.get(n)} for n in NAMES]
    write_image(tmp_path / "a.zarr", axes, 3)
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="r+")
    attributes = dict(group.attrs)["ome"]
    attributes["multiscales"][0]["datasets"][0]["coordinateTransformations"] = [
        {"type": "scale", "scale": [2, 1, 1, 0.5, 0.5]},
        {"type": "translation", "translation": [0, 0, 10, 0, 3]},
    ]
    attributes["multiscales"][0]["coordinateTransformations"] = [
        {"type": "scale", "scale": [1, 1, 3, 1, 1]}
    ]
    attributes["omero"] = {"channels": [{"label": "DAPI"}, {"label": "GFP"}]}
    group.attrs["ome"] = attributes
    found = open_image(tmp_path / "a.zarr").metadata
    assert dict(found.pixel_size) == {"T": 2, "Z": 3, "Y": 0.5, "X": 0.5}
    assert dict(found.units) == {axis.upper(): unit for axis, unit in units.items()}
    assert dict(found.origin) == {"Z": 30, "X": 3}
    assert found.channel_names == ("DAPI", "GFP")


def test_variables_of_xarray_are_images(tmp_path: Path) -> None:
    import xarray

    dims = ("time", "band", "y", "x")
    data = xarray.DataArray(IMAGE[0], dims=dims, coords={"band": [10, 20, 30]})
    small = xarray.DataArray(IMAGE[0, 0, 0, ::2], dims=("row", "x"))
    for version in (2, 3):
        path = tmp_path / f"{version}.zarr"
        xarray.Dataset({"scene": data, "small": small}).to_zarr(
            path, zarr_format=version, consolidated=False
        )
        assert image_names(path) == ["scene", "small"]
        with pytest.warns(UserWarning, match="number 0 is used"):
            array, axes = read_stack(path)
        assert axes == "TCYX"
        np.testing.assert_array_equal(np.asarray(array), IMAGE[0])


def test_an_empty_axis_is_not_dropped(tmp_path: Path) -> None:
    """Frames would be read where there are none."""
    array = zarr.create_array(
        str(tmp_path), shape=(1, 0, 32, 40), chunks=(1, 1, 32, 40), dtype="u1"
    )
    data = LazyZarr(array, tmp_path, squeeze=True)
    assert data.shape == (0, 32, 40)
    with pytest.raises(InputError, match="The image is empty"):
        Frames(data)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("left", [10, 100])
def test_a_truncated_chunk_is_refused(tmp_path: Path, zarr_format: int, left: int) -> None:
    stack = np.random.default_rng(0).integers(0, 250, (3, 32, 48), dtype=np.uint8)
    blosc: Any = (
        numcodecs.Blosc("lz4")
        if zarr_format == 2
        else zarr.codecs.BloscCodec(cname="lz4", typesize=1)
    )
    array = zarr.create_array(
        tmp_path / "a.zarr",
        shape=stack.shape,
        chunks=(1, 32, 48),
        dtype="u1",
        compressors=blosc,
        zarr_format=zarr_format,
    )
    array[:] = stack
    name = "2.0.0" if zarr_format == 2 else "c/2/0/0"
    chunk = tmp_path / "a.zarr" / name
    chunk.write_bytes(chunk.read_bytes()[:left])
    stored = open_image(tmp_path / "a.zarr")
    again = pickle.loads(pickle.dumps(stored.data))  # as dask sends it to its workers
    for data in (stored.data, again):
        np.testing.assert_array_equal(data[:2], stack[:2])
        with pytest.raises(InputError, match="is damaged: its end is missing"):
            data[2]
