"""Arrays in pickles, as cellpose stores its masks, read without NumPy's unpickling."""

from __future__ import annotations

import io
import math
import pickle
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError


class _StoredType:
    """Type of an array; unlike that of NumPy, it takes no state that could describe memory."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = str(code)
        self.order: Literal["<", ">", "="] = "="

    def __setstate__(self, state: Any) -> None:
        self.order = state[1] if state[1] in ("<", ">") else "="

    def dtype(self) -> np.dtype[Any] | None:
        """Return the dtype; None for objects."""
        dtype = np.dtype(self.code)
        if dtype.kind == "O":
            return None
        if dtype.kind not in "biufcSU":
            raise InputError(f"The file contains arrays of type {self.code}: save numbers.")
        return dtype.newbyteorder(self.order)


class _StoredArray:
    """Array whose pixels are taken from its state without trust in the sizes that it names."""

    def __init__(self, *_: Any) -> None:
        self.value: Any = None

    def __setstate__(self, state: Any) -> None:
        _, shape, stored, fortran, data = state
        shape = tuple(int(size) for size in shape)
        dtype = stored.dtype()
        if dtype is None:
            self.value = list(data)
            return
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(data):
            raise InputError("The file is damaged: its arrays are not as large as they should be.")
        flat: NDArray[Any] = np.frombuffer(data, dtype)
        self.value = flat.reshape(shape, order="F" if fortran else "C")


def _scalar(stored: _StoredType, data: Any = None) -> Any:
    dtype = stored.dtype()
    return None if dtype is None else np.frombuffer(data, dtype, 1)[0]


_NAMES: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): _StoredType,
    ("multiarray", "_reconstruct"): _StoredArray,
    ("multiarray", "scalar"): _scalar,
}
"""Stand-ins for all that pickled arrays and numbers of NumPy name."""


# In Python, because the unpickler in C allocates as much memory as a damaged file asks for.
class _ArrayUnpickler(pickle._Unpickler):  # noqa: SLF001
    """Unpickler of arrays, numbers, strings and containers, which calls nothing of NumPy."""

    def find_class(self, module: str, name: str) -> Any:
        place = "multiarray" if module.startswith("numpy") and "multiarray" in module else module
        if (place, name) in _NAMES:
            return _NAMES[place, name]
        raise InputError(
            f"The file contains {f'{module}.{name}'!r}, not only arrays, and nothing in a file is "
            "executed: save the labels as an array."
        )


def read_pickled_arrays(content: bytes) -> Any:
    """Return what is pickled: dictionaries and lists of arrays, numbers and texts.

    Raises
    ------
    InputError
        If it refers to anything else, or an array is not as large as it should be.
    """
    return _plain(_ArrayUnpickler(io.BytesIO(content)).load())


def _plain(value: Any) -> Any:
    """Replace the stand-ins for arrays in containers."""
    if isinstance(value, _StoredArray):
        return _plain(value.value)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value
