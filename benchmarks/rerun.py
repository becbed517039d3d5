"""A second run on frames that were seen, against the first: what the features kept are worth.

    python benchmarks/rerun.py --json benchmarks/results/rerun.json

Both runs segment the same frames of a generated stack; the second learns from another annotated
frame, as after a correction. Models other than `lite` have random weights: time does not depend on
them.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

import torch

from napari_vrp_sam.inference.engine import Job
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.memory import Memory
from napari_vrp_sam.inference.segment import gather_references, iter_segment
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.models.registry import load_model


def runs(name, size, count):
    """Seconds of each frame, and of learning, in the first and the second run."""
    stack, truth = sample_stack(size=size, frames=count)
    model = load_model(name, weights=None if name == "lite" else "random")
    memory, measured = Memory(), {}
    for run, annotated in (("first", 0), ("second", count - 1)):
        references = gather_references(Frames(stack), truth, frame=annotated)
        job = Job(stack, references=references, model=model, device="cpu")
        start = time.perf_counter()
        marks = []
        results = iter_segment(
            job, learned=lambda _, marks=marks: marks.append(time.perf_counter()), memory=memory
        )
        marks.extend(time.perf_counter() for _ in results)
        # The annotated frame is encoded while learning, so frames and learning count together.
        measured[run] = {
            "learning_seconds": round(marks[0] - start, 3),
            "frames_seconds": round(marks[-1] - marks[0], 3),
        }
    first, second = (sum(measured[run].values()) for run in ("first", "second"))
    frames = measured["first"]["frames_seconds"] / measured["second"]["frames_seconds"]
    return {
        "size": size,
        "frames": count,
        **measured,
        "ratio": round(first / second, 2),
        "ratio_frames": round(frames, 2),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = {"lite": runs("lite", 512, 24), "vit_b": runs("vit_b", 512, 4)}
    table["machine"] = {"processor": platform.machine(), "threads": options.threads}
    print(json.dumps(table, indent=2))
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
