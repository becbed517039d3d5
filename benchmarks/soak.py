"""Memory and handles of one worker process, and of its caller, after many mixed jobs.

    python benchmarks/soak.py --jobs 2000 --json results/soak.json

Jobs are segmentations of generated stacks of several sizes, previews, jobs that are cancelled and
jobs that fail, with `lite` and little effort. The same for the panel, with real windows:
`VRP_SAM_CYCLES=200 pytest -m slow tests/plugin/segment/test_leaks.py`.
"""

from __future__ import annotations

import argparse
import collections
import json
import platform
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from napari_vrp_sam.annotations.labels import references_from_labels
from napari_vrp_sam.inference.runs.events import Cancelled, Done, Failed, FrameResult
from napari_vrp_sam.inference.runs.preview_job import PreviewJob
from napari_vrp_sam.inference.runs.process.engine import ProcessEngine
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob

EXPECTED = {"segment": Done, "preview": Done, "cancel": Cancelled, "fail": Failed}
KINDS = ("segment", "preview", "segment", "cancel", "segment", "preview", "fail")

VARIETY = 35
"""Number of different stacks: more would fill the cache of features, up to its limit."""


class Failing:
    """A stack whose third frame cannot be read."""

    def __init__(self, stack: np.ndarray) -> None:
        self.stack, self.shape, self.dtype = stack, stack.shape, stack.dtype

    def __getitem__(self, selection: Any) -> np.ndarray:
        if selection[0] == 2:
            raise OSError("The frame is damaged.")
        part: np.ndarray = self.stack[selection]
        return part


def job_of(kind: str, number: int) -> SegmentationJob:
    """Return a job whose stack, class and size vary with its number."""
    number %= VARIETY
    rng = np.random.default_rng(number)
    height, width = 64 + 16 * (number % 3), 64 + 16 * (number % 4)
    rows, columns = np.indices((height, width))
    drawn = (np.hypot(rows - 30, columns - 30) < 8 + number % 9).astype(np.uint8)
    stack = rng.integers(0, 50, (4, height, width), dtype=np.uint8) + 150 * drawn
    references = references_from_labels(drawn, stack[0][..., None], frame=0)
    data: Any = Failing(stack) if kind == "fail" else stack
    job_class = PreviewJob if kind == "preview" else SegmentationJob
    return job_class(
        data, references=references, axes="ZYX", model="lite", device="cpu", effort=0.05
    )


def run(engine: ProcessEngine, kind: str, number: int) -> None:
    """Do a job to its end, which has to be that of its kind."""
    running = engine.submit(job_of(kind, number))
    for event in running.events():
        if kind == "cancel" and not isinstance(event, FrameResult):
            running.cancel()
    assert isinstance(event, EXPECTED[kind]), event


def state(process: psutil.Process, folder: Path) -> dict[str, float]:
    """Return the memory and the handles of a process and of its folder of temporary files."""
    return {
        "megabytes": round(process.memory_info().rss / 2**20, 1),
        "files": process.num_fds() if hasattr(process, "num_fds") else process.num_handles(),
        "threads": process.num_threads(),
        "temporary files": sum(1 for _ in folder.rglob("*")),
    }


def slope(samples: list[dict[str, Any]], key: str) -> float:
    """Return the growth per 100 jobs, after the first third of them."""
    rest = samples[len(samples) // 3 :]
    return round(
        100 * float(np.polyfit([s["jobs"] for s in rest], [s[key] for s in rest], 1)[0]), 3
    )


def main() -> None:
    """Run the jobs, and print or write the samples and slopes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after this time")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    tempfile.tempdir = str(folder)
    engine, begin, kinds = ProcessEngine(), time.monotonic(), collections.Counter[str]()
    worker = psutil.Process(engine.warm_up().process.pid)
    caller = psutil.Process()
    samples: list[dict[str, Any]] = []
    every = max(1, min(options.jobs // 40, 25))
    for number in range(1, options.jobs + 1):
        kind = KINDS[number % len(KINDS)]
        run(engine, kind, number)
        kinds[kind] += 1
        if number % every == 0:
            sample = {"jobs": number, "worker": state(worker, folder)}
            samples.append({**sample, "caller": state(caller, folder)})
            print(json.dumps(samples[-1]), flush=True)
        if time.monotonic() - begin > 60 * options.minutes:
            break
    assert engine.warm_up().process.pid == worker.pid, "the worker was replaced"
    sides = ("worker", "caller")
    slopes = {
        side: {
            key: slope([{"jobs": s["jobs"], **s[side]} for s in samples], key)
            for key in samples[0][side]
        }
        for side in sides
    }
    engine.close()
    result = {
        "command": " ".join(["python", *sys.argv]),
        "machine": f"{platform.system()}, Python {platform.python_version()}",
        "jobs": dict(kinds),
        "minutes": round((time.monotonic() - begin) / 60, 1),
        "growth per 100 jobs after the first third": slopes,
        "threads of the caller at the end": threading.active_count(),
        "samples": samples,
    }
    print(json.dumps(slopes, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    folder.rmdir()


if __name__ == "__main__":
    main()
