"""Memory use and time per frame of `vrp-sam segment` on a long stack.

    python benchmarks/long_stack.py --frames 5000 --size 512 --json results/long-stack.json

One large frame: `--frames 4 --size 10000 -- --frames 1:2`. Several workers: `-- --workers 2`.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import tifffile
import zarr

from napari_vrp_sam.io.labels.journal import journal_path
from napari_vrp_sam.io.samples import sample_stack

WARM_UP_FRAMES = 100
"""Number of frames after which memory use should be constant."""


def write_stack(folder: Path, frames: int, size: int) -> tuple[Path, Path]:
    """Write synthetic tissue, mirrored to the size, with different noise in each frame."""
    tissue, labels = sample_stack(seed=0, size=256, frames=16)
    pad = [(0, max(0, size - 256))] * 2
    image = zarr.create_array(
        str(folder / "stack.zarr"),
        shape=(frames, size, size),
        chunks=(1, size, size),
        dtype=np.uint8,
        dimension_names=("z", "y", "x"),
    )
    rng = np.random.default_rng(0)
    for index in range(frames):
        plane = np.pad(tissue[index % 16], pad, mode="symmetric")[:size, :size]
        noise = rng.integers(-4, 5, plane.shape, dtype=np.int16)
        image[index] = (plane + noise).clip(0, 255).astype(np.uint8)
    annotation = np.pad(labels[3], pad, mode="symmetric")[:size, :size]
    tifffile.imwrite(folder / "annotation.tif", annotation)
    return folder / "stack.zarr", folder / "annotation.tif"


def measure(folder: Path, frames: int, size: int, options: list[str]) -> dict[str, object]:
    """Run the command and monitor the memory of the process and its children."""
    stack, annotation = write_stack(folder, frames, size)
    output = folder / "labels.zarr"
    arguments = [
        "segment", str(stack), "--reference", str(annotation), "--reference-frame", "3",
        "--output", str(output), "--device", "cpu", *options,
    ]  # fmt: skip
    code = "from napari_vrp_sam.cli import main; main()"
    start = time.perf_counter()
    process = psutil.Popen([sys.executable, "-c", code, *arguments])
    samples: list[tuple[int, float, float]] = []
    while process.poll() is None:
        try:
            family = [process, *process.children(recursive=True)]
            memory = sum(one.memory_info().rss for one in family) / 1e6
        except psutil.NoSuchProcess:
            continue
        samples.append((count_frames(journal_path(output)), time.perf_counter() - start, memory))
        time.sleep(0.25)
    assert process.returncode == 0
    steady = [s for s in samples if s[0] >= min(WARM_UP_FRAMES, samples[-1][0] // 2)]
    first, last = steady[0], steady[-1]
    selected = steady[:: max(1, len(steady) // 12)]
    stored = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    return {
        "frames": frames,
        "size": size,
        "options": options,
        "seconds": samples[-1][1],
        "seconds_per_frame": (last[1] - first[1]) / max(1, last[0] - first[0]),
        "megabytes_by_frame": {str(done): round(mb) for done, _, mb in selected},
        "megabytes_settled": first[2],
        "megabytes_peak_after": max(s[2] for s in steady),
        "megabytes_peak": max(s[2] for s in samples),
        "bytes_of_labels_per_frame": stored / frames,
        "machine": {"cpus": psutil.cpu_count(), "python": platform.python_version()},
    }


def count_frames(journal: Path) -> int:
    """Count the frames in a journal."""
    return max(0, journal.read_bytes().count(b"\n") - 1) if journal.exists() else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=5000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--json", type=Path)
    parser.add_argument("options", nargs="*", help="after --: options of `vrp-sam segment`")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), given.frames, given.size, given.options)
    text = json.dumps(result, indent=2)
    print(text)
    if given.json:
        given.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
