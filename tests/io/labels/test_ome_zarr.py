"""OME-Zarr labels, judged by the readers of ome-zarr and of napari-ome-zarr."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from napari.layers import Labels, Layer
from napari_ome_zarr import napari_get_reader
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.out_of_core.scratch import ScratchArray
from napari_vrp_sam.io.images.stacks import read_labels
from napari_vrp_sam.io.labels.ome_zarr import create_image
from napari_vrp_sam.io.labels.probabilities import ProbabilityWriter
from napari_vrp_sam.io.labels.writers import is_folder_output, label_writer, write_label_frames
from napari_vrp_sam.io.labels.zarr_writer import ZarrWriter
from napari_vrp_sam.io.metadata import ImageMetadata
from napari_vrp_sam.io.references.annotations import AnnotatedStack
from napari_vrp_sam.io.references.reading import read_annotations

CALIBRATION = ImageMetadata(
    pixel_size={"T": 2.0, "Z": 0.5, "Y": 0.1, "X": 0.2},
    units={"T": "second", "Z": "micrometer", "Y": "micrometer", "X": "micrometer"},
    origin={"Y": 7.0, "X": 9.0},
)


def stack() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 5, (3, 20, 30), dtype=np.uint8)


def write(path: Path, labels: np.ndarray, metadata: ImageMetadata = CALIBRATION) -> None:
    pages = labels.reshape(-1, *labels.shape[-2:])
    write_label_frames(
        path, pages, labels.shape, labels.dtype, "TZYX"[-labels.ndim :], metadata=metadata
    )


def nodes(path: Path) -> list[Any]:
    location = parse_url(str(path))
    assert location is not None
    return list(Reader(location)())


def test_scale_units_and_place(tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", stack())
    (node,) = nodes(tmp_path / "a.zarr")
    units = ["micrometer"] * 3
    assert [axis["name"] for axis in node.metadata["axes"]] == ["z", "y", "x"]
    assert [axis["unit"] for axis in node.metadata["axes"]] == units
    assert node.metadata["coordinateTransformations"] == [
        [
            {"type": "scale", "scale": [0.5, 0.1, 0.2]},
            {"type": "translation", "translation": [0.0, 7.0, 9.0]},
        ]
    ]
    np.testing.assert_array_equal(np.asarray(node.data[0]), stack())


def test_napari_opens_labels(tmp_path: Path) -> None:
    """napari-ome-zarr 0.10 ignores the translation, of images and of labels alike."""
    path = tmp_path / "results/today/a.zarr"  # it looks for an image two folders above
    write(path, np.stack([stack(), stack()]))
    read = napari_get_reader(str(path))
    assert read is not None
    (data,) = read(str(path))
    layer = Layer.create(*data)
    assert isinstance(layer, Labels)
    np.testing.assert_allclose(layer.scale, (2, 0.5, 0.1, 0.2))
    assert [str(unit) for unit in layer.units] == ["second", *["micrometer"] * 3]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_labels_inside_an_image(tmp_path: Path, zarr_format: int) -> None:
    """They are in the version of OME-Zarr of their image, and it lists them."""
    image = tmp_path / "cells.zarr"
    group = zarr.open_group(str(image), mode="w", zarr_format=zarr_format)  # type: ignore[arg-type]
    group.create_array("0", shape=(3, 20, 30), dtype="uint8")
    multiscale = {
        "axes": [{"name": name, "type": "space"} for name in "zyx"],
        "datasets": [
            {
                "path": "0",
                "coordinateTransformations": [{"type": "scale", "scale": [0.5, 0.1, 0.2]}],
            }
        ],
    }
    if zarr_format == 2:
        group.attrs["multiscales"] = [{"version": "0.4", **multiscale}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    for name in ("nuclei", "debris"):
        path = image / "labels" / name
        assert not is_folder_output(path)
        write(path, stack())
    _, labels, *found = nodes(image)
    assert labels.zarr.basename() == "labels"
    assert sorted(node.metadata["name"] for node in found) == ["debris", "nuclei"]
    np.testing.assert_array_equal(np.asarray(found[0].data[0]), stack())
    read = napari_get_reader(str(image))
    assert read is not None
    layers = read(str(image))
    assert [kind for *_, kind in layers] == ["image", "labels", "labels"]
    for data, _options, _kind in layers[1:]:
        np.testing.assert_array_equal(
            np.asarray(data[0] if isinstance(data, list) else data), stack()
        )


@pytest.mark.parametrize("inside", [False, True])
def test_stack_in_another_order_of_axes(tmp_path: Path, inside: bool) -> None:
    """OME-Zarr requires T before Z; frames are still counted in the order of the stack."""
    labels = np.random.default_rng(0).integers(0, 5, (3, 2, 20, 30), dtype=np.uint8)  # ZTYX
    path = tmp_path / "labels.zarr"
    if inside:
        image = tmp_path / "cells.zarr"
        create_image(image, (2, 3, 20, 30), np.dtype("u1"), "TZYX", CALIBRATION, labels=False)
        path = image / "labels/cells"
    pages = labels.reshape(-1, 20, 30)
    write_label_frames(path, pages, labels.shape, labels.dtype, "ZTYX", metadata=CALIBRATION)
    node = nodes(tmp_path / "cells.zarr")[-1] if inside else nodes(path)[0]
    assert [axis["name"] for axis in node.metadata["axes"]] == ["t", "z", "y", "x"]
    assert [axis["type"] for axis in node.metadata["axes"]] == ["time", *["space"] * 3]
    assert node.metadata["coordinateTransformations"][0][0]["scale"] == [2.0, 0.5, 0.1, 0.2]
    np.testing.assert_array_equal(np.asarray(node.data[0]), labels.swapaxes(0, 1))
    read = napari_get_reader(str(tmp_path / "cells.zarr" if inside else path))
    assert read is not None
    layers = [Layer.create(*data) for data in read(str(path))]
    np.testing.assert_array_equal(layers[-1].extent.world, layers[0].extent.world)
    np.testing.assert_array_equal(np.asarray(layers[-1].data), labels.swapaxes(0, 1))
    np.testing.assert_array_equal(read_labels(path, axes="ZTYX"), labels)
    writer = label_writer(path, labels.shape, labels.dtype, "ZTYX", resume=True)
    np.testing.assert_array_equal(writer.read(3), labels[1, 1])
    with pytest.raises(InputError, match="another shape, type or order"):
        label_writer(path, (2, 3, 20, 30), labels.dtype, "ZTYX", resume=True).read(0)


def test_labels_of_another_order_as_annotation(tmp_path: Path) -> None:
    """Labels of a TZYX file annotate the frames of a ZTYX stack at the same T and Z."""
    labels = np.zeros((2, 3, 20, 30), np.uint8)
    labels[1, 0, 4:9] = 1  # T 1, Z 0
    write(tmp_path / "a.zarr", labels)
    stack = AnnotatedStack((20, 30), "ZT", (3, 2))
    found = read_annotations(tmp_path / "a.zarr", stack).labels
    assert found.shape == (3, 2, 20, 30)
    np.testing.assert_array_equal(found[0, 1], labels[1, 0])
    np.testing.assert_array_equal(np.asarray(found), labels.swapaxes(0, 1))
    np.testing.assert_array_equal(found[..., 5, :], labels.swapaxes(0, 1)[..., 5, :])


def test_large_frames_get_lower_resolutions(tmp_path: Path) -> None:
    labels = np.zeros((2, 2100, 1500), np.uint16)
    labels[1, 1000:, 700:] = 300
    write(tmp_path / "a.zarr", labels)
    (node,) = nodes(tmp_path / "a.zarr")
    assert [level.shape for level in node.data] == [(2, 2100, 1500), (2, 1050, 750), (2, 525, 375)]
    for at, level in enumerate(node.data):
        step = 2**at
        np.testing.assert_array_equal(np.asarray(level), labels[:, ::step, ::step])
        scale, place = node.metadata["coordinateTransformations"][at]
        assert scale["scale"] == pytest.approx([0.5, 0.1 * step, 0.2 * step])
        assert place["translation"] == [0, 7, 9]


def test_a_resumed_run_keeps_the_frames_and_adds_the_levels(tmp_path: Path) -> None:
    given = (tmp_path / "a.zarr", (2, 1100, 20), np.dtype(np.uint8), "ZYX")
    label_writer(*given, metadata=CALIBRATION).write(0, np.ones((1100, 20), np.uint8))
    assert len(nodes(given[0])[0].data) == 1
    resumed = label_writer(*given, metadata=CALIBRATION, resume=True)
    resumed.write(1, np.full((1100, 20), 2, np.uint8))
    resumed.close()
    (node,) = nodes(given[0])
    assert [np.unique(frame).tolist() for frame in np.asarray(node.data[1])] == [[1], [2]]
    assert node.metadata["axes"][1]["unit"] == "micrometer"


@pytest.mark.parametrize("axes", ["ZCYX", "ZTCYX"])
def test_probabilities_have_valid_axes(tmp_path: Path, axes: str) -> None:
    shape = tuple({"T": 2, "Z": 3, "C": 2, "Y": 20, "X": 30}[axis] for axis in axes)
    writer = ProbabilityWriter(tmp_path / "p.zarr", shape, axes, (1, 2), CALIBRATION)
    writer.write(1, np.full((2, 20, 30), 9, np.uint8))
    writer.close()
    (node,) = nodes(tmp_path / "p.zarr")
    names = "".join(axis["name"] for axis in node.metadata["axes"])
    assert names == ("czyx" if axes == "ZCYX" else "tczyx")
    assert int(np.asarray(node.data[0]).astype(int).sum()) == 9 * 2 * 20 * 30


def test_an_image_is_replaced(tmp_path: Path) -> None:
    create_image(tmp_path / "a.zarr", (4, 20, 30), np.dtype(np.uint8), "ZYX")
    write(tmp_path / "a.zarr", stack())
    assert nodes(tmp_path / "a.zarr")[0].data[0].shape == (3, 20, 30)


def test_labels_of_a_large_frame_are_copied_by_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_vrp_sam.io.labels.zarr_writer.ROWS", 7)
    labels = stack()
    large = ScratchArray(labels.shape[1:], labels.dtype)
    large[:] = labels[0]
    writer = ZarrWriter(tmp_path / "a.zarr", labels.shape, labels.dtype, "ZYX")
    writer.write(2, large)
    writer.close()
    found = np.asarray(read_labels(tmp_path / "a.zarr"))
    np.testing.assert_array_equal(found[2], labels[0])
    assert not found[:2].any()
