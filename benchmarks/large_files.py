"""Peak memory of work on files of 3 GB: a stack as OME-Zarr, a scene as cloud-optimised GeoTIFF.

    python benchmarks/large_files.py --json benchmarks/results/large-files.json

The data are mostly constant, so that the files are written at once. Each task runs in a process of
its own, whose peak memory the operating system reports.
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
from pathlib import Path

import numpy as np
import tifffile
import zarr

from napari_vrp_sam.io.samples import sample_stack

LIMIT = 1500
"""Memory in MB that no task may exceed."""
FRAMES, SIDE = 2930, 1024
SCENE_SIDE = 55_000


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
    parser.add_argument("--task", type=int)
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
    assert max(found.values()) < LIMIT


if __name__ == "__main__":
    main()
