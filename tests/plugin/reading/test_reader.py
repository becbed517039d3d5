from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from napari.utils.notifications import notification_manager
from npe2 import PluginManager
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QDialogButtonBox, QFileDialog
from skimage.io import imsave

from napari_vrp_sam.io.images.opening import readers
from napari_vrp_sam.plugin.layers.calibration import image_source
from napari_vrp_sam.plugin.layers.stacks import axes_are_obvious, frames_of
from napari_vrp_sam.plugin.reading.chooser import ImageChooser
from napari_vrp_sam.plugin.reading.reader import image_reader, open_image_files

STACK = np.random.default_rng(0).integers(0, 60000, (2, 3, 32, 40), dtype=np.uint16)


def write_nifti(path: Path) -> None:
    import nibabel

    image = nibabel.Nifti1Image(STACK.T, np.diag([0.2, 0.2, 0.5, 1]))
    image.header.set_xyzt_units("micron", "sec")
    nibabel.save(image, path)


def test_a_calibrated_stack_opens_lazily(
    make_napari_viewer_proxy: Callable, tmp_path: Path
) -> None:
    write_nifti(tmp_path / "a.nii")
    viewer = make_napari_viewer_proxy()
    (layer,) = viewer.open(tmp_path / "a.nii", plugin="napari-vrp-sam")
    assert layer.axis_labels == ("t", "z", "y", "x")
    np.testing.assert_allclose(layer.scale, [1, 0.5, 0.2, 0.2])
    assert [str(unit) for unit in layer.units] == ["second", *["micrometer"] * 3]
    assert not isinstance(layer.data, np.ndarray)
    assert axes_are_obvious(layer)
    np.testing.assert_array_equal(frames_of(layer)[4][..., 0], STACK[1, 1])


def test_the_images_of_a_file_are_chosen(
    make_napari_viewer_proxy: Callable, tmp_path: Path, qtbot: object
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["mask"], file["raw"], file["small"] = STACK[0] > 9, STACK, STACK[0, 0]
    viewer = make_napari_viewer_proxy()
    seen: list[str] = []

    def answer() -> None:
        dialog = QApplication.activeModalWidget()
        if not isinstance(dialog, ImageChooser):
            return  # it does not exist yet
        assert dialog.chosen == [1]  # the largest
        seen.extend(dialog.list.item(row).text() for row in range(dialog.list.count()))
        dialog.list.clearSelection()
        for row in rows:
            dialog.list.item(row).setSelected(True)
        dialog.findChild(QDialogButtonBox).buttons()[0 if rows else 1].click()

    rows = [1, 2]
    timer = QTimer()
    timer.timeout.connect(answer)
    timer.start(20)
    layers = viewer.open(tmp_path / "a.h5", plugin="napari-vrp-sam")
    assert seen[1] == "1: raw  (2 x 3 x 32 x 40, uint16, 0.0154 MB)"
    assert [layer.name for layer in layers] == ["a [raw]", "a [small]"]
    np.testing.assert_array_equal(np.asarray(layers[1].data), STACK[0, 0])
    rows = []
    viewer.layers.clear()  # beside an image, HDF5 files are read as its annotations
    assert viewer.open(tmp_path / "a.h5", plugin="napari-vrp-sam") == []
    timer.stop()
    assert not viewer.layers


def test_the_patterns_of_the_manifest_are_formats_of_a_reader() -> None:
    manifest = PluginManager.instance().get_manifest("napari-vrp-sam")
    (patterns,) = [
        reader.filename_patterns
        for reader in manifest.contributions.readers or []
        if reader.command == "napari-vrp-sam.read_image"
    ]
    known = {f"*{suffix}" for reader in readers() for suffix in reader.suffixes}
    assert set(patterns) <= known
    assert {"*.czi", "*.nd2", "*.lif", "*.nii.gz", "*.mrc", "*.ozx", "*.mp4"} <= set(patterns)
    # napari reads these itself, as users are used to.
    assert not {"*.tif", "*.png", "*.zarr"} & set(patterns)


@pytest.mark.parametrize("name", ["a.txt", "missing.czi"])
def test_other_files_are_left_to_other_plugins(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.txt").write_text("text")
    assert image_reader(str(tmp_path / name)) is None or name == "missing.czi"


def test_any_format_opens_through_the_menu(
    make_napari_viewer_proxy: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata={"axes": "TZYX", "PhysicalSizeX": 2})
    (tmp_path / "b.tif").write_bytes(b"nothing of the kind")
    viewer = make_napari_viewer_proxy()
    files = [str(tmp_path / name) for name in ("b.tif", "a.ome.tif")]
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: (files, ""))
    shown: list[str] = []
    monkeypatch.setattr("napari_vrp_sam.plugin.reading.reader.show_error", shown.append)
    open_image_files(viewer)
    assert len(shown) == 1
    assert "b.tif cannot be read as an image" in shown[0]
    (layer,) = viewer.layers
    assert (layer.name, layer.axis_labels) == ("a.ome", ("t", "z", "y", "x"))
    assert layer.scale[3] == 2
    assert image_source(layer) == tmp_path / "a.ome.tif"


def test_a_folder_of_pictures_opens_as_frames(
    make_napari_viewer_proxy: Callable, tmp_path: Path
) -> None:
    for number, frame in enumerate(STACK[0]):
        imsave(tmp_path / f"frame{number:02}.png", (frame >> 8).astype(np.uint8))
    viewer = make_napari_viewer_proxy()
    (layer,) = viewer.open(tmp_path, plugin="napari-vrp-sam")
    np.testing.assert_array_equal(np.asarray(layer.data), STACK[0] >> 8)
    assert len(frames_of(layer)) == len(STACK[0])


def test_a_folder_without_pictures_gets_a_sentence(
    make_napari_viewer_proxy: Callable, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").touch()
    viewer = make_napari_viewer_proxy()
    shown: list[str] = []
    with notification_manager:
        notification_manager.notification_ready.connect(lambda note: shown.append(note.message))
        assert viewer.open(tmp_path, plugin="napari-vrp-sam") == []
    assert len(shown) == 1
    assert str(tmp_path) in shown[0]
    assert not viewer.layers
