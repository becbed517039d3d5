"""Images in files of NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.opening import open_image

STACK = np.random.default_rng(0).integers(0, 255, (3, 20, 30), np.uint8)


def test_the_largest_array_of_several_is_the_image(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, times=np.arange(3), dark=STACK[0], stack=STACK)
    with pytest.warns(UserWarning, match=r"dark.*number 1 is used"):
        np.testing.assert_array_equal(open_image(path).data, STACK)
    np.testing.assert_array_equal(open_image(path, image=0).data, STACK[0])


def test_an_array_in_a_file_is_read_by_frames(tmp_path):
    np.save(tmp_path / "a.npy", STACK)
    data = open_image(tmp_path / "a.npy").data
    assert isinstance(data, np.memmap)
    np.testing.assert_array_equal(open_image(tmp_path / "a.npy", image=0).data, STACK)


def test_files_without_an_image_are_refused(tmp_path):
    objects = np.array([{"a": 1}, None], dtype=object)
    np.save(tmp_path / "objects.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "objects.npz", x=objects)
    np.savez(tmp_path / "times.npz", times=np.arange(3))
    for name in ("objects.npy", "objects.npz"):
        with pytest.raises(InputError, match=r"Python objects|no array with two axes"):
            open_image(tmp_path / name)
    with pytest.raises(InputError, match="it holds no array with two axes or more"):
        open_image(tmp_path / "times.npz")
