import numpy as np
import pytest
import tifffile


def write(path, axes, shape, ome=True):
    stack = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    metadata = {"axes": axes, "Channel": {"Name": ["DAPI", "GFP", "red"]}} if ome else {}
    tifffile.imwrite(path, stack, ome=ome, metadata=metadata, photometric="minisblack")
    return path


def test_axes_of_the_file_replace_a_guess(qtbot, viewer, dock, tmp_path):
    path = write(tmp_path / "cells.ome.tif", "ZCYX", (6, 3, 32, 32))
    (image,) = viewer.open(path, plugin="napari")
    form = dock.form
    qtbot.waitUntil(lambda: form.axes == "ZCYX", timeout=30_000)
    assert form.channel_box.names == ("DAPI", "GFP", "red")
    assert form._axes_label.text() == "Axes"
    assert form._advanced_form.indexOf(form.axes_box) >= 0
    assert form.frame_range.value() is None
    assert form.frame_range.last.value() == 5

    # What the user has set meanwhile stays.
    form.frame_range.choose((1, 4))
    form.axes_reader.found.emit(form.axes_reader._viewer.layers[0])
    assert form.frame_range.value() == (1, 4)

    # Axes that the user chooses are kept with the image.
    form.choose_axes("TCYX")
    viewer.add_image(np.zeros((4, 32, 32)), name="other")
    assert form.axes == "ZYX"
    form.image_box.choose(image)
    assert form.axes == "TCYX"


@pytest.mark.parametrize("stored", [True, False])
def test_axes_that_no_file_names_are_marked_as_a_guess(qtbot, viewer, dock, tmp_path, stored):
    shape = 4, 3, 32, 32
    if stored:
        path = write(tmp_path / "plain.tif", "", shape, ome=False)
        viewer.open(path, plugin="napari")
    else:
        viewer.add_image(np.zeros(shape, np.uint8))
    form = dock.form
    form.axes_reader._thread.submit(int).result()
    qtbot.wait(50)
    assert form._axes_label.text() == "Axes (guess)"
    assert form._form.indexOf(form.axes_box) >= 0
    form.axes_box.setCurrentText("TCYX")
    form.axes_box.activated.emit(form.axes_box.currentIndex())
    assert form._axes_label.text() == "Axes"
    assert form.axes == "TCYX"
