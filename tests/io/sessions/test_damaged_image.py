"""Sessions whose description of the image is damaged."""

import json

import numpy as np
import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.sessions.image import SessionImage, open_image
from napari_vrp_sam.io.sessions.session import Session, read_session, write_session


@pytest.mark.parametrize(
    ("field", "value"), [("fingerprints", {"9": "a"}), ("dtype", "/etc/hostname")]
)
def test_a_session_whose_image_cannot_be_compared_is_damaged(tmp_path, field, value):
    stack = np.zeros((3, 20, 20), np.uint8)
    write_session(
        tmp_path / "a.vrpsam", Session(SessionImage("a", stack.shape, "uint8", "ZYX")), stack
    )
    path = tmp_path / "a.vrpsam" / "session.json"
    content = json.loads(path.read_text())
    content["image"][field] = value
    path.write_text(json.dumps(content))
    session = read_session(tmp_path / "a.vrpsam")
    with pytest.raises(InputError, match="damaged"):
        open_image(tmp_path / "a.vrpsam", session.image)


def test_a_copy_with_a_damaged_shape_is_refused_at_once(tmp_path):
    """dask would list thousands of millions of chunks."""
    folder = tmp_path / "a.vrpsam"
    stack = np.zeros((3, 20, 24), np.uint8)
    write_session(folder, Session(SessionImage("a", stack.shape, "uint8", "ZYX")), stack)
    path = folder / "image.zarr/zarr.json"
    content = json.loads(path.read_text())
    content["shape"][-1] = 2**34
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="is not the image that was annotated"):
        open_image(folder, read_session(folder).image)
