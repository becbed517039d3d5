"""NRRD volumes, read with pynrrd; uncompressed ones are mapped into memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_vrp_sam.io.images.reader import ImageReader
from napari_vrp_sam.io.images.units import unit_name
from napari_vrp_sam.io.metadata import ImageMetadata, StoredImage
from napari_vrp_sam.io.optional import require

SPATIAL = ("domain", "space", "???", "none")


def _recognises(_path: Path, head: bytes) -> bool:
    return head.startswith(b"NRRD")


def _open(path: Path, _image: int | None, *, raw: bool) -> StoredImage:  # noqa: ARG001
    require("nrrd", "medical", "NRRD files")
    import nrrd
    from nrrd.reader import _determine_datatype

    with path.open("rb") as file:
        header = nrrd.read_header(file)
        offset = file.tell()
    sizes = tuple(int(size) for size in header["sizes"])[::-1]
    attached = not {"data file", "datafile", "line skip", "byte skip"} & set(header)
    data: Any
    if attached and header["encoding"] == "raw":
        # pynrrd itself reads whole files only.
        data = np.memmap(path, _determine_datatype(header), "r", offset, sizes)
    else:
        data = nrrd.read(str(path), index_order="C")[0]
    kinds = list(header.get("kinds", ["domain"] * len(sizes)))[::-1]
    letters = _letters(kinds)
    return StoredImage(data, letters, _metadata(header, letters) if letters else ImageMetadata())


def _letters(kinds: list[str]) -> str | None:
    """Letters of the axes, last axis of the file first; None if there are too many."""
    space = iter("XYZT")
    letters = ""
    for kind in reversed(kinds):
        name = str(kind).lower()
        if name == "time":
            letters += "T"
        elif name in SPATIAL:
            letters += next(space, "?")
        else:
            letters += "S" if name.startswith("rgb") else "C"
    valid = "?" not in letters and len(set(letters)) == len(letters)
    return letters[::-1] if valid else None


def _metadata(header: Any, letters: str) -> ImageMetadata:
    directions = header.get("space directions")
    if directions is not None:
        vectors = [None if v is None else np.asarray(v, float) for v in directions]
        spacing = [0.0 if v is None else float(np.linalg.norm(v)) for v in vectors]
    else:
        spacing = [float(value) for value in header.get("spacings", ())]
    units = header.get("space units", header.get("units", ()))
    axes = letters[::-1]
    sizes = {axis: size for axis, size in zip(axes, spacing, strict=False) if axis in "TZYX"}
    named = zip([axis for axis in axes if axis in "XYZ"], units, strict=False)
    return ImageMetadata(
        pixel_size={axis: size for axis, size in sizes.items() if size > 0 and np.isfinite(size)},
        units={axis: unit_name(str(unit)) for axis, unit in named if unit},
    )


READER = ImageReader("NRRD", "pynrrd", (".nrrd", ".nhdr"), _recognises, _open)
