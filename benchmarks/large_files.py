"""Peak memory of work on files of 3 GB: a stack as OME-Zarr, a scene as GeoTIFF.

    python benchmarks/large_files.py --json benchmarks/results/large-files.json

The data are mostly constant, so that the files are written at once. Each task runs in a process of
its own, whose peak memory the operating system reports. Of the scene of 3.2 GB, only the first
tiles are segmented, after which memory does not grow; a smaller scene is segmented completely.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import rasterio
import tifffile
import zarr

from napari_vrp_sam.io.samples import sample_stack

LIMIT = 1500
"""Memory in MB that no task on a file of 3 GB may exceed."""
FRAMES, SIDE = 2930, 1024
SCENE_SIDE = 55_000
FRAME_SIDE, TILES = 40_000, 150
COMPLETE_SIDE = 10_112
"""Just above the size up to which frames are processed in memory."""


def write_stack(folder: Path) -> list[str]:
    """Write an OME-Zarr image of 3.1 GB and an annotation; return the arguments to segment it."""
    from napari_vrp_sam.io.labels.ome_zarr import create_image

    path = folder / "stack.zarr"
    image = create_image(path, (FRAMES, SIDE, SIDE), np.dtype(np.uint8), "ZYX", labels=False)
    tissue, truth = sample_stack(seed=0, size=256, frames=3)
    border = [(0, SIDE - 256)] * 2
    for index, frame in enumerate(tissue):
        image[index] = np.pad(frame, border, mode="symmetric")
    annotation = np.pad(truth[1].astype(np.uint8), border, mode="symmetric")
    tifffile.imwrite(folder / "annotation.tif", annotation)
    return [
        "segment", str(path), "--reference", str(folder / "annotation.tif"), "--reference-frame",
        "1", "--frames", "0:3", "--effort", "0.25", "--device", "cpu",
    ]  # fmt: skip


def segment_to_zarr(folder: Path) -> None:
    """Segment three frames of the stack, with labels and probabilities as OME-Zarr."""
    from napari_vrp_sam.cli import app

    app(
        [
            *write_stack(folder), "--output", str(folder / "labels.zarr"),
            "--probabilities", str(folder / "probabilities.zarr"),
        ],
        standalone_mode=False,
    )  # fmt: skip


def convert_labels(folder: Path) -> None:
    """Write labels of the whole stack as OME-TIFF, from a lazy OME-Zarr."""
    from napari_vrp_sam.inference.exporting import export_labels
    from napari_vrp_sam.io.images.stacks import read_labels
    from napari_vrp_sam.io.labels.ome_zarr import create_image

    create_image(folder / "labels.zarr", (FRAMES, SIDE, SIDE), np.dtype(np.uint8), "ZYX")
    export_labels(read_labels(folder / "labels.zarr"), folder / "labels.ome.tif", axes="ZYX")


class EnoughTilesError(Exception):
    """Ends a run early."""


def segment_frame(folder: Path, side: int, tiles: int | None = None) -> None:
    """Segment a single frame of 16 bits, or its first tiles."""
    from napari_vrp_sam import segment_stack

    tissue, truth = sample_stack(seed=0, size=1024, frames=3)
    layout = {"height": side, "width": side, "count": 1, "crs": "EPSG:32633", "BIGTIFF": "YES"}
    layout |= {
        "tiled": True,
        "SPARSE_OK": True,
        "transform": rasterio.Affine(1, 0, 500_000, 0, -1, 5_300_000),
    }
    row = np.tile(tissue[1].astype(np.uint16) * 200, (1, side // 1024 + 1))[:, :side]
    for name, pixels in (("scene.tif", row), ("labels.tif", truth[1].astype(np.uint8))):
        window = rasterio.windows.Window(0, 0, pixels.shape[1], len(pixels))
        with rasterio.open(folder / name, "w", dtype=pixels.dtype, **layout) as file:
            file.write(pixels, 1, window=window)

    def stop(_done: int, _total: int, message: str) -> None:
        if f"tile {tiles} of" in message:
            raise EnoughTilesError

    with suppress(EnoughTilesError):
        segment_stack(
            folder / "scene.tif", folder / "labels.tif", output=folder / "result.tif", effort=0.25,
            device="cpu", progress=stop,
        )  # fmt: skip


def write_scene(folder: Path) -> None:
    """Write labels of a scene of 3 GB as cloud-optimised GeoTIFF, with overviews."""
    from napari_vrp_sam.io.labels.files import write_planes
    from napari_vrp_sam.io.metadata import ImageMetadata

    array = zarr.open_array(
        str(folder / "scene.zarr"), mode="w", shape=(SCENE_SIDE, SCENE_SIDE), chunks=(1024, 1024),
        dtype=np.uint8,
    )  # fmt: skip
    array[20_000:21_000, 30_000:33_000] = 1
    place = ImageMetadata(crs="EPSG:32633", transform=(0.1, 0, 500000, 0, -0.1, 5300000))
    write_planes(
        folder / "labels.tif",
        lambda _plane, rows: np.asarray(array[rows]),
        array.shape,
        array.dtype,
        "YX",
        place,
    )


TASKS: dict[str, Callable[[Path], None]] = {
    "segment an OME-Zarr stack of 3.1 GB": segment_to_zarr,
    f"segment {TILES} tiles of a frame of 3.2 GB": partial(
        segment_frame, side=FRAME_SIDE, tiles=TILES
    ),
    "segment a frame of 10,112 x 10,112 pixels": partial(segment_frame, side=COMPLETE_SIDE),
    "export labels of 3.1 GB from OME-Zarr to OME-TIFF": convert_labels,
    "write labels of a scene of 3.0 GB as GeoTIFF": write_scene,
}


def peak_memory(number: int) -> float:
    """Return the peak memory of a task in MB, with Python and all libraries."""
    with tempfile.TemporaryDirectory() as folder:
        code = [sys.executable, __file__, "--task", str(number), "--folder", folder]
        process = subprocess.Popen(code)
        _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, status
    return usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--task", type=int, help="Number of a single task, from 0.")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.task is not None:
        list(TASKS.values())[options.task](options.folder)
        return
    found = {name: peak_memory(number) for number, name in enumerate(TASKS)}
    for name, memory in found.items():
        print(f"{memory:8.0f} MB  {name}")
    result = {
        "limit_mb": LIMIT,
        "peak_mb": {name: round(memory) for name, memory in found.items()},
        "python": platform.python_version(),
        "processors": multiprocessing.cpu_count(),
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    assert max(memory for name, memory in found.items() if "GB" in name) < LIMIT


if __name__ == "__main__":
    main()
