"""MRC and CCP4 volumes of electron microscopy, mapped into memory by mrcfile."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from napari_vrp_sam.io.images.reader import ImageReader
from napari_vrp_sam.io.metadata import ImageMetadata, StoredImage
from napari_vrp_sam.io.optional import require

SUFFIXES = (".mrc", ".mrcs", ".map", ".rec", ".st", ".ali", ".ccp4", ".mrc.gz", ".mrc.bz2")


def _recognises(_path: Path, head: bytes) -> bool:
    return head[208:211] == b"MAP"


def _open(path: Path, _image: int | None, *, raw: bool) -> StoredImage:  # noqa: ARG001
    require("mrcfile", "medical", "MRC files")
    import mrcfile

    compressed = path.suffix.lower() in (".gz", ".bz2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # many programs write imperfect headers
        opened: Any = (mrcfile.open if compressed else mrcfile.mmap)(path, "r", permissive=True)
        data, voxel = opened.data, opened.voxel_size
    if data is None:
        raise ValueError("it holds no data that can be understood")
    # Stacks of micrographs or movies have no size along Z.
    spatial = "YX" if opened.is_image_stack() else "ZYX"
    sizes = {axis: float(voxel[axis.lower()]) for axis in spatial}
    known = {axis: size for axis, size in sizes.items() if size > 0}
    return StoredImage(
        data,
        {2: "YX", 3: "ZYX", 4: "TZYX"}[data.ndim],
        ImageMetadata(pixel_size=known, units=dict.fromkeys(known, "angstrom")),
    )


READER = ImageReader("MRC", "mrcfile", SUFFIXES, _recognises, _open)
