"""How long models take for a frame, and how much memory: side by side in one run."""

from __future__ import annotations

import gc
import os
import platform
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from numpy.typing import NDArray

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.research.protocols.plain_flow import PlainFlow

if TYPE_CHECKING:
    from napari_vrp_sam.inference.prediction.predictor import Predictor
    from napari_vrp_sam.models.base import Model
    from napari_vrp_sam.models.precision import Precision


STREAM = 32
"""Frames of a stack that a GPU is timed with: it works on several at once."""


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
    """Time models on the same frames, in turns, so that whatever else runs slows all alike.

    Parameters
    ----------
    models : mapping of str to callable
        What loads each model.
    size : int
        Height and width of the frames in pixels.
    device : str
    repeats : int
        Timed frames of each model, after one to warm up.
    precision : {"auto", "float32", "bfloat16", "float16"}
        Of full-size models; see `Predictor`.
    compile : bool
        Whether they are compiled; see `Predictor`.
    progress : callable, optional
        Told what is being measured.

    Returns
    -------
    dict
        `models`: for each, `seconds_per_frame` (encoders, prompts and mask decoder; the median; on
        a GPU of a stack, see `Predictor.predict_stream`), `cached_seconds_per_frame` (prompts and
        mask decoder, features known), `plain_seconds_per_frame` (see `plain_flow`; None where there
        is no such way), `seconds_to_learn` (from the annotated frame) and `peak_memory_bytes` (on a
        GPU what torch allocated there, else the growth of the process from before loading to the
        highest point of learning and the first frame). `machine`: what it ran on.
    """
    from napari_vrp_sam.inference.prediction.predictor import Predictor
    from napari_vrp_sam.models.devices import resolve_device
    from napari_vrp_sam.models.sam.full_size_model import FullSizeModel

    where = resolve_device(device)
    report = progress or (lambda _: None)
    frames, truth = _frames(size)
    normalisation = Normalisation.fit(list(frames))
    reference = Reference(frames[0], truth[0], frame=0)
    predictors: dict[str, Predictor] = {}
    plain: dict[str, PlainFlow] = {}
    results: dict[str, dict[str, float | None]] = {}
    for name, load in models.items():
        report(f"{name}: loading, one frame to warm up")
        with _PeakMemory(str(where)) as memory:
            model = load()
            predictors[name] = Predictor(model, device=where, precision=precision, compile=compile)
            start = time.perf_counter()
            predictors[name].set_references([reference], normalisation)
            learning = time.perf_counter() - start
            _time_frame(predictors[name], frames[1], str(where))
        if isinstance(model, FullSizeModel) and model.vrp_encoder is not None:
            plain[name] = PlainFlow(model)
        results[name] = {"seconds_to_learn": learning, "peak_memory_bytes": memory.peak}
    times: dict[str, list[tuple[float, float, float]]] = {name: [] for name in models}
    for turn in range(repeats):
        for name, predictor in predictors.items():
            report(f"{name}: frame {turn + 1} of {repeats}")
            own = _time_frame(predictor, frames[1], str(where))
            other = _time_plain(plain[name], frames, truth) if name in plain else np.nan
            times[name].append((*own, other))
    for name, values in times.items():
        whole, cached, other = (float(value) for value in np.median(values, axis=0))
        results[name]["seconds_per_frame"] = whole
        results[name]["cached_seconds_per_frame"] = cached
        results[name]["plain_seconds_per_frame"] = other if name in plain else None
    return {"models": results, "machine": machine(str(where)), "size": size, "repeats": repeats}


def _time_frame(predictor: Predictor, frame: NDArray[Any], device: str) -> tuple[float, float]:
    """Seconds for a frame, and for its second half: what a change of annotation costs."""
    start = time.perf_counter()
    features = predictor.encode(frame)
    _synchronise(device)
    middle = time.perf_counter()
    predictor.decode(features)  # ends on the CPU, and so with the work on the GPU
    end = time.perf_counter()
    if not device.startswith("cuda"):
        return end - start, end - middle
    for _ in predictor.predict_stream([frame] * STREAM, probabilities=False):
        pass
    return (time.perf_counter() - end) / STREAM, end - middle


def _time_plain(flow: PlainFlow, frames: NDArray[Any], truth: NDArray[Any]) -> float:
    reference, target = (frame.repeat(3, axis=-1) for frame in frames)
    start = time.perf_counter()
    flow.predict(target, reference, truth[0])
    return time.perf_counter() - start


def _frames(size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two frames of generated tissue, repeated to the size."""
    stack, truth = sample_stack(size=256, frames=3)
    times = -(-size // 256)
    return (
        np.tile(stack[1:], (1, times, times))[:, :size, :size, None],
        np.tile(truth[1:], (1, times, times))[:, :size, :size],
    )


class _PeakMemory:
    """Highest memory in use during a block, less what was in use before; in bytes."""

    def __init__(self, device: str) -> None:
        self._cuda = device.startswith("cuda")
        self._process = psutil.Process()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak = 0

    def __enter__(self) -> _PeakMemory:
        gc.collect()
        if self._cuda:
            import torch

            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
        else:
            self._before = self._process.memory_info().rss
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._cuda:
            import torch

            self.peak = torch.cuda.max_memory_allocated() - self._before
        else:
            self._end.set()
            self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.01):
            self.peak = max(self.peak, self._process.memory_info().rss - self._before)


def _synchronise(device: str) -> None:
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize()
    elif device.startswith("mps"):
        torch.mps.synchronize()


def machine(device: str) -> dict[str, Any]:
    """What there is to compute with."""
    import torch

    name = torch.cuda.get_device_name() if device.startswith("cuda") else _processor()
    # A container may use fewer cores than the machine has.
    usable = getattr(os, "sched_getaffinity", None)
    return {
        "device": device,
        "device_name": name,
        "cores": len(usable(0)) if usable else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor()
