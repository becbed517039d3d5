"""CZI, ND2, LIF and other formats of microscopes, read with the readers of bioio."""

from __future__ import annotations

import importlib
import math
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.lazy_stack import LazyArray, full_selection
from napari_vrp_sam.io.images.read_errors import explain_read_errors
from napari_vrp_sam.io.images.reader import ImageReader, report_others
from napari_vrp_sam.io.metadata import ImageMetadata, StoredImage
from napari_vrp_sam.io.optional import require

PLUGINS = {".czi": "bioio_czi", ".nd2": "bioio_nd2", ".lif": "bioio_lif"}
"""Packages that read the formats for which the extra installs a reader."""
SUFFIXES = (*PLUGINS, ".dv", ".r3d", ".oib", ".oif", ".oir", ".sldy", ".vsi", ".zvi", ".lof")
MAX_COMPARED = 20
"""Number of scenes up to which the largest is searched."""


class LazyScene(LazyArray):
    """Scene of a microscope's file; chunks are read when it is indexed.

    Parameters
    ----------
    path : Path
    scene : int
    shape : tuple of int
        Without axes of length 1.
    dtype : dtype
    """

    def __init__(
        self, path: Path, scene: int, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self._path = path
        self._scene = scene
        self._array: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_array": None}

    def __getitem__(self, selection: Any) -> NDArray[Any]:
        if self._array is None:
            self._array = _open_array(self._path, self._scene).reshape(self.shape)
        part = self._array[full_selection(selection, self.ndim)]
        return np.asarray(_compute(self._path, part))


def _recognises(path: Path, head: bytes) -> bool:
    is_lif = head.startswith(b"\x70\0\0\0") and head[8:9] == b"\x2a"
    is_legacy_nd2 = head[4:8] == b"jP  " and path.suffix.lower() == ".nd2"
    return head.startswith((b"ZISRAWFILE", b"\xda\xce\xbe\x0a")) or is_lif or is_legacy_nd2


def _open(path: Path, number: int | None, *, raw: bool) -> StoredImage:  # noqa: ARG001
    image = _bio_image(path)
    names = list(image.scenes)
    if number is None:
        number = _main_scene(image, len(names))
        report_others(path, names, number, "scenes")
    image.set_scene(number)
    order, sizes = str(image.dims.order), tuple(image.shape)
    kept = [size > 1 or axis in "YX" for axis, size in zip(order, sizes, strict=True)]
    axes = "".join(axis for axis, keep in zip(order, kept, strict=True) if keep)
    shape = tuple(size for size, keep in zip(sizes, kept, strict=True) if keep)
    data = LazyScene(path, number, shape, np.dtype(image.dtype))
    return StoredImage(data, axes, _metadata(image))


def _image_names(path: Path) -> list[str]:
    return [str(name) for name in _bio_image(path).scenes]


def _bio_image(path: Path) -> Any:
    require("bioio", "bioio", f"{path.suffix.lstrip('.').upper()} files")
    from bioio import BioImage
    from bioio_base.exceptions import UnsupportedFileFormatError

    plugin = PLUGINS.get(path.suffix.lower()) or _plugin_of(path)
    options: dict[str, Any] = {}
    if plugin is not None:
        require(plugin, "bioio", f"{path.suffix.lstrip('.').upper()} files")
        options["reader"] = importlib.import_module(plugin).Reader
        if plugin != "bioio_nd2":  # which always reads plane by plane
            options["chunk_dims"] = ["Y", "X", "S"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata that do not matter here
            image = BioImage(path, **options)
    except UnsupportedFileFormatError as error:
        raise InputError(
            f"{path} cannot be read: install the reader of bioio for {path.suffix} files, or "
            "convert the file to OME-TIFF."
        ) from error
    if plugin == "bioio_czi":
        _check_scenes(path, len(image.scenes))
    return image


def _check_scenes(path: Path, named: int) -> None:
    """Raise `InputError` for a CZI file with scenes that its metadata do not name."""
    from aicspylibczi import CziFile

    with path.open("rb") as file:
        ranges = [dims.get("S", (0, 1)) for dims in CziFile(file).get_dims_shape()]
    count = sum(stop - start for start, stop in ranges)
    if count > named:  # the reader would read the first one only
        raise InputError(
            f"{path} has {count} scenes, but no metadata on them: write the metadata, too, or save "
            "each scene as OME-TIFF."
        )


def _plugin_of(path: Path) -> str | None:
    """Return the reader of a file whose suffix does not tell its format."""
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(b"ZISRAWFILE"):
        return "bioio_czi"
    if head.startswith(b"\xda\xce\xbe\x0a"):
        return "bioio_nd2"
    return "bioio_lif" if head.startswith(b"\x70\0\0\0") else None


def _main_scene(image: Any, count: int) -> int:
    """Return the scene with most pixels, of several the first."""
    sizes = []
    for number in range(min(count, MAX_COMPARED)):
        image.set_scene(number)
        sizes.append(math.prod(image.shape))
    return sizes.index(max(sizes))


def _metadata(image: Any) -> ImageMetadata:
    pixel = image.physical_pixel_sizes
    sizes = {axis: getattr(pixel, axis, None) for axis in "ZYX"}
    known = {axis: float(size) for axis, size in sizes.items() if size}
    units = dict.fromkeys(known, "micrometer")
    interval = getattr(image, "time_interval", None)
    seconds = interval.total_seconds() if isinstance(interval, timedelta) else interval
    if seconds:
        known["T"], units["T"] = float(seconds), "second"
    names = tuple(str(name) for name in image.channel_names or ())
    return ImageMetadata(pixel_size=known, units=units, channel_names=names)


@explain_read_errors
def _open_array(path: Path, scene: int) -> Any:
    image = _bio_image(path)
    image.set_scene(scene)
    return image.dask_data


@explain_read_errors
def _compute(path: Path, part: Any) -> Any:  # noqa: ARG001 - named by the decorator
    return part.compute(scheduler="synchronous")


READER = ImageReader(
    "CZI, ND2, LIF and others", "bioio", SUFFIXES, _recognises, _open, _image_names
)
