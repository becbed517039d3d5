"""The choice of channels and its effects."""

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtCore import Qt
from tests.plugin.window import press

from napari_vrp_sam.plugin.inputs.channel_box import COLOURS, ChannelBox, channel_names
from napari_vrp_sam.plugin.layers.metadata import get_metadata
from napari_vrp_sam.plugin.layers.outputs.results import is_result_layer


@pytest.fixture
def box(qtbot):
    box = ChannelBox()
    qtbot.addWidget(box)
    box.resize(200, 24)
    box.show()
    return box


def test_all_channels_are_ticked_by_default(box):
    assert box.channels is None
    box.set_names(["0"])
    assert box.channels is None
    box.set_names(["DNA", "actin", "R&D"])
    assert box.channels == (0, 1, 2)
    assert box.text() == "all"
    box.choose([2, 0])
    assert box.channels == (0, 2)
    assert box.text() == "DNA, R&&D"
    assert box.accessibleName() == "Channels: DNA, R&D"


def test_any_number_of_bands_can_be_ticked_but_not_transparency_by_default(box):
    box.set_names([f"c{i}" for i in range(5)])
    assert box.channels == (0, 1, 2, 3, 4)
    assert not box.problem
    box.choose([1, 2, 3, 4])
    assert not box.problem
    box.choose([])
    assert "tick at least one" in box.problem
    box.set_names(COLOURS)
    assert box.channels == (0, 1, 2)


def test_ticks_are_kept_for_the_same_channels(box):
    box.set_names(["0", "1", "2", "3"])
    box.choose([3])
    box.set_names(["0", "1", "2", "3"])
    assert box.channels == (3,)
    box.set_names(["0", "1"])
    assert box.channels == (0, 1)


def test_keys_and_mouse_toggle_channels_in_the_open_list(qtbot, box):
    box.set_names(["0", "1", "2"])
    menu = box.menu()
    # showMenu() would block in its own event loop.
    menu.popup(box.mapToGlobal(box.rect().bottomLeft()))
    qtbot.waitUntil(menu.isVisible)
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Space, Qt.Key.Key_Down, Qt.Key.Key_Space):
        qtbot.keyClick(menu, key)
    assert box.channels == (2,)
    at = menu.actionGeometry(menu.actions()[1]).center()
    qtbot.mouseClick(menu, Qt.MouseButton.LeftButton, pos=at)
    assert box.channels == (1, 2)
    assert menu.isVisible()
    qtbot.keyClick(menu, Qt.Key.Key_Escape)
    assert not menu.isVisible()


@pytest.mark.parametrize(
    ("shape", "axes", "metadata", "names"),
    [
        ((4, 20, 30), "ZYX", {}, []),
        ((4, 2, 20, 30), "ZCYX", {}, ["0", "1"]),
        ((2, 4, 20, 30), "CZYX", {"Channel": {"Name": ["DNA", "actin"]}}, ["DNA", "actin"]),
        ((2, 4, 20, 30), "CZYX", {"channel_names": ("DNA", "actin")}, ["DNA", "actin"]),
        ((2, 4, 20, 30), "CZYX", {"channel_names": ["one", "two", "three"]}, ["0", "1"]),
        ((2, 4, 20, 30), "CZYX", {"Channel": "what"}, ["0", "1"]),
    ],
)
def test_channel_names(shape, axes, metadata, names):
    assert channel_names(Image(np.zeros(shape), metadata=metadata), axes) == names


def test_channel_names_of_rgba_images():
    levels = [np.zeros((4, side, side, 4), dtype=np.uint8) for side in (40, 20)]
    image = Image(levels, rgb=True)
    assert channel_names(image, "ZYXS") == ["red", "green", "blue", "alpha"]


def test_box_is_shown_for_several_channels_only(viewer, dock):
    form = dock.form
    image = viewer.add_image(np.zeros((4, 5, 20, 30)))
    assert not form.channel_box.isVisible()
    form.axes_box.setCurrentText("ZCYX")
    assert form.channel_box.isVisible()
    form.channel_box.choose([])
    assert form.channel_problem.isVisible()
    assert form.channel_problem.text() == form.channel_box.problem
    viewer.layers.remove(image)
    assert not form.channel_box.isVisible()
    assert not form.channel_problem.isVisible()
    viewer.add_image(np.zeros((20, 30, 3), dtype=np.uint8), rgb=True)
    assert form.channel_box.names == ("red", "green", "blue")
    assert form.channel_box.isVisible()


def test_channels_are_used_for_references_job_and_result(qtbot, viewer, dock, engine, stack):
    """Use an image with the objects in channel 3 and noise in the others."""
    data = np.random.default_rng(0).integers(0, 255, (7, 4, 48, 64), dtype=np.uint8)
    data[:, 3] = stack[0]
    viewer.add_image(data, name="stack", axis_labels=("t", "c", "y", "x"))
    drawn = np.zeros(data.shape, dtype=np.uint8)
    drawn[3, 0] = stack[1][3]
    viewer.add_labels(drawn, name="drawn")
    dock.form.channel_box.choose([3])
    engine.let_through()
    for _ in range(2):  # the second time with an accepted frame
        press(qtbot, dock.segment_button)
        qtbot.waitUntil(lambda: not dock.running, timeout=60_000)
        result = [layer for layer in viewer.layers if is_result_layer(layer)][-1]
        viewer.dims.set_current_step(0, 5)
        press(qtbot, dock.accept_button)

        job = engine.jobs[-1]
        assert (job.axes, job.channels) == ("TCYX", (3,))
        assert all(r.image.shape == (48, 64, 1) for r in job.references)
        assert get_metadata(result, "channels") == (3,)
        for channel in range(4):
            np.testing.assert_array_equal(result.data[:, channel], stack[1])
    assert {r.frame for r in job.references} == {3, 5}
    np.testing.assert_array_equal(job.references[-1].image[..., 0], stack[0][5])


def test_no_channel_is_rejected(qtbot, viewer, dock, engine, stack):
    viewer.add_image(np.stack([stack[0]] * 2, axis=1), axis_labels=("t", "c", "y", "x"))
    viewer.add_points([[3, 0, 10, 10]])
    dock.form.channel_box.choose([])
    press(qtbot, dock.segment_button)
    assert "No channel is selected" in dock.status.text()
    assert not engine.jobs
