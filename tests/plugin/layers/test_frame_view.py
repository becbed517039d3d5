import numpy as np
import pytest
from napari.components import ViewerModel

from napari_vrp_sam.plugin.layers.frame_view import frame_in_view, show_frame
from napari_vrp_sam.plugin.layers.stacks import frames_of


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.mark.parametrize("axes", ["TZYX", "TCYX", "CTYX"])
def test_show_frame_and_frame_in_view(viewer, axes):
    shape = {"T": 3, "Z": 4, "C": 2, "Y": 20, "X": 30}
    data = np.zeros([shape[axis] for axis in axes])
    image = viewer.add_image(data, name="stack", scale=(5, 2, 0.5, 0.5), translate=(1, 1, 0, 0))
    frames = frames_of(image, axes)
    for index in range(len(frames)):
        position = dict(
            zip([a for a in frames.axes if a in "TZ"], frames.position(index), strict=True)
        )
        viewer.dims.current_step = [position.get(axis, 0) for axis in axes]
        assert frame_in_view(image, frames, viewer.dims) == index
        viewer.dims.current_step = [min(1, shape[axis] - 1) for axis in axes]
        show_frame(image, frames, viewer.dims, index)
        assert frame_in_view(image, frames, viewer.dims) == index
        assert all(viewer.dims.current_step[i] == 1 for i, a in enumerate(axes) if a == "C")


def test_show_frame_converts_units(viewer):
    viewer.add_image(np.zeros((2, 9, 20, 30)), units=("s", "nm", "nm", "nm"))
    image = viewer.add_image(
        np.zeros((4, 20, 30)), name="stack", scale=(0.002, 1, 1), units=("um",) * 3
    )
    frames = frames_of(image, "ZYX")
    viewer.dims.set_current_step(0, 1)
    for index in (3, 0):
        show_frame(image, frames, viewer.dims, index)
        assert frame_in_view(image, frames, viewer.dims) == index
        assert viewer.dims.current_step[0] == 1
