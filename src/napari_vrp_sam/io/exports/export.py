"""Exports of labels to the formats of other programs: one registry, by suffix."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.exports.labelled_stack import LabelledStack
from napari_vrp_sam.io.exports.options import ExportOptions

Write = Callable[[Path, LabelledStack, ExportOptions], None]


@dataclass(frozen=True)
class ExportFormat:
    """Format that labels can be exported to.

    Attributes
    ----------
    name : str
        Name of the format as users know it.
    suffixes : tuple of str
        Suffixes in lower case, the usual one first.
    library : str
        Library that writes it.
    function : str
        MODULE:FUNCTION within `napari_vrp_sam.io.exports`, which writes it; see `Write`.
    needs : {"labels", "image", "table"}
        What is written: the labels alone, the labels on their image, or the table of objects.
    """

    name: str
    suffixes: tuple[str, ...]
    library: str
    function: str
    needs: str = "labels"

    def write(self, path: Path, stack: LabelledStack, options: ExportOptions) -> None:
        """Write a file of this format."""
        module, name = self.function.split(":")
        loaded = importlib.import_module(f"napari_vrp_sam.io.exports.{module}")
        write: Write = getattr(loaded, name)
        write(path, stack, options)


FORMATS = (
    ExportFormat("TIFF", (".tif", ".tiff"), "tifffile, rasterio", "images:write_label_image"),
    ExportFormat("OME-TIFF", (".ome.tif", ".ome.tiff"), "tifffile", "images:write_label_image"),
    ExportFormat("OME-Zarr", (".zarr",), "zarr", "images:write_label_image"),
    ExportFormat("GeoPackage", (".gpkg",), "geopandas", "polygons:write_polygons"),
    ExportFormat("GeoJSON", (".geojson",), "geopandas", "polygons:write_polygons"),
    ExportFormat("COCO", (".json",), "pycocotools", "coco:write_coco"),
    ExportFormat("ImageJ ROIs", (".zip",), "roifile", "rois:write_rois"),
    ExportFormat("PNG overlays", (".png",), "Pillow", "pictures:write_overlays", "image"),
    ExportFormat("MP4 video", (".mp4",), "imageio, PyAV", "pictures:write_video", "image"),
    ExportFormat("GIF animation", (".gif",), "Pillow", "pictures:write_video", "image"),
    ExportFormat("CSV table", (".csv",), "pandas", "images:write_object_table", "table"),
    ExportFormat("Parquet table", (".parquet",), "pyarrow", "images:write_object_table", "table"),
)


def export_format(path: Path) -> ExportFormat:
    """Return the export format that the suffix of a path selects.

    Labels in the group `labels` of an OME-Zarr image need none.

    Raises
    ------
    InputError
        If there is no such format; the message lists all.
    """
    from napari_vrp_sam.io.labels.ome_zarr import image_of_labels

    name = path.name.lower()
    for known in sorted(FORMATS, key=lambda one: -len(one.suffixes[0])):  # .ome.tif before .tif
        if name.endswith(known.suffixes) or (
            known.name == "OME-Zarr" and image_of_labels(path) is not None
        ):
            return known
    suffixes = ", ".join(known.suffixes[0] for known in FORMATS)
    raise InputError(f"Labels cannot be exported to {path.name}: use one of {suffixes}.")


def export_stack(path: Path, stack: LabelledStack, options: ExportOptions | None = None) -> None:
    """Export a labelled stack; the suffix of the file selects the format.

    Raises
    ------
    InputError
        If there is no such format, something that it needs is missing, or the file cannot be
        written.
    """
    export_format(path).write(path, stack, options or ExportOptions())
