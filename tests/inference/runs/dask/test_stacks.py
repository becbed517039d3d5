import pickle

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr

from napari_vrp_sam.inference.runs.dask.stacks import MappedFile, sendable_stack
from napari_vrp_sam.io.images.stacks import read_stack


@pytest.fixture
def stack():
    return np.random.default_rng(0).integers(0, 60000, (6, 300, 400), dtype=np.uint16)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_file_is_sent_by_its_name(tmp_path, stack, compression):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "ZYX"}, compression=compression)
    sent = pickle.dumps(sendable_stack(read_stack(path)[0]))
    assert len(sent) < 5000
    opened = pickle.loads(sent)
    assert (opened.shape, opened.dtype) == (stack.shape, stack.dtype)
    np.testing.assert_array_equal(opened[3], stack[3])


def test_a_part_of_a_mapped_file(tmp_path, stack):
    stack.tofile(tmp_path / "a.raw")
    mapped = np.memmap(tmp_path / "a.raw", stack.dtype, "r", shape=stack.shape)
    part = sendable_stack(mapped[2:5])
    assert isinstance(part, MappedFile)
    np.testing.assert_array_equal(part[1, 10:20], stack[3, 10:20])
    assert sendable_stack(mapped[:, ::2]) is None


def test_zarr_is_sent_by_its_name(tmp_path, stack):
    zarr.save_array(str(tmp_path / "a.zarr"), stack)
    array, _ = read_stack(tmp_path / "a.zarr")
    opened = pickle.loads(pickle.dumps(sendable_stack(array)))
    np.testing.assert_array_equal(opened[4], stack[4])


def test_pixels_are_not_described(stack):
    assert sendable_stack(stack) is None
    assert sendable_stack(da.from_array(stack, chunks=(1, 300, 400))) is None
    assert sendable_stack(zarr.array(stack)) is None

    class Torn:
        shape, dtype = stack.shape, stack.dtype

        def __reduce__(self):
            raise TypeError("cannot be pickled")

    assert sendable_stack(Torn()) is None
