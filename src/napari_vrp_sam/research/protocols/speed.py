"""Benchmark of the speed and memory of models."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from numpy.typing import NDArray

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.inference.comparison.peak_memory import PeakMemory
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.research.protocols.plain_flow import UnoptimisedPipeline

if TYPE_CHECKING:
    from napari_vrp_sam.inference.prediction.predictor import Predictor
    from napari_vrp_sam.models.base import Model
    from napari_vrp_sam.models.precision import Precision


STREAM_FRAMES = 32
"""Length of the stack that is timed on a GPU, which processes several frames concurrently."""


def measure_speed(
    models: Mapping[str, Callable[[], Model]],
    *,
    size: int = 1024,
    device: str = "cpu",
    repeats: int = 3,
    precision: Precision = "auto",
    compile: bool = False,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Measure models on the same frames in turn, so that other load affects all alike.

    Parameters
    ----------
    models : mapping of str to callable
        Functions that load the models, by name.
    size : int
        Height and width of the frames in pixels.
    device : str
    repeats : int
        Timed frames per model, after one to warm up.
    precision : {"auto", "float32", "bfloat16", "float16"}
        Precision of full-size models; see `Predictor`.
    compile : bool
        Compile full-size models; see `Predictor`.
    progress : callable, optional
        Called with a message for each step.

    Returns
    -------
    dict
        `models`: for each, the medians `seconds_per_frame` (encoders, prompts and mask decoder; on
        a GPU for a stack, see `Predictor.predict_stream`), `cached_seconds_per_frame` (prompts and
        mask decoder for known features) and `plain_seconds_per_frame` (`UnoptimisedPipeline`; None
        if not applicable); `seconds_to_learn` (from the annotated frame) and `peak_memory_bytes`
        (allocated by torch on a GPU; on a CPU the growth of the process from before loading to its
        maximum during learning and the first frame). `machine`: see `describe_machine`.
    """
    from napari_vrp_sam.inference.prediction.predictor import Predictor
    from napari_vrp_sam.models.devices import resolve_device
    from napari_vrp_sam.models.sam.full_size_model import FullSizeModel

    device = str(resolve_device(device))
    report = progress or (lambda _: None)
    frames, labels = tiled_samples(size)
    normalisation = Normalisation.fit(list(frames))
    reference = Reference(frames[0], labels[0], frame=0)
    predictors: dict[str, Predictor] = {}
    pipelines: dict[str, UnoptimisedPipeline] = {}
    results: dict[str, dict[str, float | None]] = {}
    for name, load in models.items():
        report(f"{name}: loading and warming up")
        with PeakMemory(device) as memory:
            model = load()
            predictors[name] = Predictor(model, device=device, precision=precision, compile=compile)
            start = time.perf_counter()
            predictors[name].set_references([reference], normalisation)
            learning = time.perf_counter() - start
            _time_frame(predictors[name], frames[1], device)
        if isinstance(model, FullSizeModel) and model.vrp_encoder is not None:
            pipelines[name] = UnoptimisedPipeline(model)
        results[name] = {"seconds_to_learn": learning, "peak_memory_bytes": memory.peak}
    times: dict[str, list[tuple[float, float, float]]] = {name: [] for name in models}
    for turn in range(repeats):
        for name, predictor in predictors.items():
            report(f"{name}: frame {turn + 1} of {repeats}")
            seconds = _time_frame(predictor, frames[1], device)
            unoptimised = np.nan
            if name in pipelines:
                unoptimised = _time_unoptimised(pipelines[name], frames, labels)
            times[name].append((*seconds, unoptimised))
    for name, values in times.items():
        whole, cached, unoptimised = (float(value) for value in np.median(values, axis=0))
        results[name]["seconds_per_frame"] = whole
        results[name]["cached_seconds_per_frame"] = cached
        results[name]["plain_seconds_per_frame"] = unoptimised if name in pipelines else None
    return {
        "models": results,
        "machine": describe_machine(device),
        "size": size,
        "repeats": repeats,
    }


def _time_frame(predictor: Predictor, frame: NDArray[Any], device: str) -> tuple[float, float]:
    """Return the seconds for a frame, and for its prompts and decoding alone."""
    start = time.perf_counter()
    features = predictor.encode(frame)
    _synchronise(device)
    middle = time.perf_counter()
    predictor.decode(features)  # returns NumPy arrays, which synchronises
    end = time.perf_counter()
    if not device.startswith("cuda"):
        return end - start, end - middle
    for _ in predictor.predict_stream([frame] * STREAM_FRAMES, probabilities=False):
        pass
    return (time.perf_counter() - end) / STREAM_FRAMES, end - middle


def _time_unoptimised(
    pipeline: UnoptimisedPipeline, frames: NDArray[Any], labels: NDArray[Any]
) -> float:
    reference, target = (frame.repeat(3, axis=-1) for frame in frames)
    start = time.perf_counter()
    pipeline.predict(target, reference, labels[0])
    return time.perf_counter() - start


def tiled_samples(
    size: int, count: int = 2, *, first: int = 1
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Tile synthetic tissue to frames (N, size, size, 1), and its labels to (N, size, size).

    Parameters
    ----------
    size, count : int
        Side of the frames in pixels, and their number.
    first : int
        Index of the first frame in the sample stack.
    """
    stack, labels = sample_stack(size=256, frames=first + count)
    times = -(-size // 256)
    frames, labels = (
        np.tile(array[first:], (1, times, times))[:, :size, :size] for array in (stack, labels)
    )
    return frames[..., None], labels


def _synchronise(device: str) -> None:
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize()
    elif device.startswith("mps"):
        torch.mps.synchronize()


def describe_machine(device: str) -> dict[str, Any]:
    """Return device, CPU cores, memory and versions, to document a benchmark."""
    import torch

    name = torch.cuda.get_device_name() if device.startswith("cuda") else _cpu_name()
    # A container may be limited to some of the cores.
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "device": device,
        "device_name": name,
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _cpu_name() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor()
