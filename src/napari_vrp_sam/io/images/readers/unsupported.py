"""Formats that are recognised only to be refused, with the way to convert them."""

from __future__ import annotations

from pathlib import Path

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.images.reader import ImageReader
from napari_vrp_sam.io.metadata import StoredImage

ADVICE = {
    "DICOM": "convert the series to NIfTI with dcm2niix",
    "PDF": "export its pages as PNG or TIFF",
    "PostScript": "export its pages as PNG or TIFF",
    "MATLAB": "save the array as TIFF or HDF5 (-v7.3)",
    "NetCDF 3": "convert it to NetCDF 4 with nccopy -k 4",
    "FITS": "save the array as TIFF",
    "gzip archive": "decompress it first",
}
COMPRESSED_VOLUMES = (".nii.gz", ".img.gz", ".mgz", ".mrc.gz", ".map.gz")


def _format(head: bytes) -> str | None:
    starts = {
        b"%PDF": "PDF",
        b"%!PS": "PostScript",
        b"\xc5\xd0\xd3\xc6": "PostScript",
        b"MATLAB 5": "MATLAB",
        b"CDF\1": "NetCDF 3",
        b"CDF\2": "NetCDF 3",
        b"SIMPLE  =": "FITS",
        b"\x1f\x8b": "gzip archive",
    }
    if head[128:132] == b"DICM":
        return "DICOM"
    return next((name for start, name in starts.items() if head.startswith(start)), None)


def _recognises(path: Path, head: bytes) -> bool:
    known = _format(head)
    # Compressed volumes are known by their suffix.
    volume = path.name.lower().endswith(COMPRESSED_VOLUMES)
    return known is not None and not (known == "gzip archive" and volume)


def _open(path: Path, _image: int | None, *, raw: bool) -> StoredImage:  # noqa: ARG001
    name = _format(path.read_bytes()[:512]) or path.suffix
    raise InputError(f"{path} is a {name} file and cannot be opened: {ADVICE[name]}.")


READER = ImageReader("formats that are refused", "", (), _recognises, _open, priority=4)
