"""Where `vrp-sam segment` writes, unless the user says."""

from __future__ import annotations

from pathlib import Path


def stem(path: Path) -> str:
    """Name without what tells its format: exp.1 of exp.1.ome.tif."""
    from napari_vrp_sam.io.images.frame_files import SUFFIXES
    from napari_vrp_sam.io.images.ome_zarr import SUFFIX

    name = path.name
    while True:
        base, _, last = name.rpartition(".")
        if not base or f".{last.lower()}" not in (*SUFFIXES, SUFFIX, ".ome"):
            return name
        name = base


def beside(image: Path) -> Path:
    """Where the labels of an image go."""
    from napari_vrp_sam.io.images.frame_files import PICTURE_SUFFIXES
    from napari_vrp_sam.io.images.ome_zarr import is_zarr

    if is_zarr(image):
        return image.with_name(f"{stem(image)}_labels.zarr")
    if image.is_dir():
        return image.resolve().with_name(image.resolve().name + "_labels")
    single = image.suffix.lower() in PICTURE_SUFFIXES
    return image.with_name(stem(image) + ("_labels.png" if single else "_labels.tif"))


def objects_beside(output: Path) -> Path:
    """Where the objects go that belong to class labels."""
    return output.with_name(stem(output).removesuffix("_labels") + "_objects.tif")
