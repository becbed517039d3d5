"""A pipeline that keeps a GPU busy by reading frames ahead and copying results back late.

A thread reads frames and copies them into page-locked memory while the GPU works. A batch is
encoded, prompted and decoded on the GPU; its results are copied back while the next batches run,
and are yielded a few batches later. The host waits for results that should be finished, never for
work that it has just started.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_vrp_sam.annotations.missing import missing_pixels
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction.outputs import (
    FramePrediction,
    confidences,
    frame_prediction,
    labels_from_probabilities,
)

READ_AHEAD = 3
"""Largest number of batches that wait to be computed."""

IN_FLIGHT = 2
"""Number of batches whose results are copied back while others are computed."""

WAIT = 0.1
"""Seconds between two checks of the reading thread whether it was stopped."""


@dataclass(frozen=True, eq=False)
class PipelineSettings:
    """Settings of the pipeline.

    Attributes
    ----------
    logits : callable
        Maps normalised frames (B, 3, Y, X) on the device to logits (B, K, Y, X).
    normalisation : Normalisation
    class_ids : tuple of int
    device : torch.device
    batch : int
        Largest number of frames in a batch.
    fixed : bool
        Whether smaller batches are padded to that number, because compiled code is for one shape.
    probabilities : bool
        Whether to return probabilities too.
    """

    logits: Callable[[Tensor], Tensor]
    normalisation: Normalisation
    class_ids: tuple[int, ...]
    device: torch.device
    batch: int
    fixed: bool = False
    probabilities: bool = True


def run_pipeline(
    frames: Iterable[NDArray[Any]], work: PipelineSettings
) -> Generator[FramePrediction]:
    """Predict frames, in their order; leaving the loop stops the reading.

    If a frame cannot be read, or a batch exceeds the memory, the frames before it are yielded
    before the error is raised.

    Parameters
    ----------
    frames : iterable of ndarray, shape (Y, X, C)
        Read in another thread, a few batches ahead.
    work : PipelineSettings
    """
    reader = _Reader(frames, work)
    awaited: deque[_PendingResults] = deque()
    try:
        try:
            for batch in reader:
                awaited.append(_start(batch, work))
                while len(awaited) > IN_FLIGHT:
                    yield from awaited.popleft().results()
        except Exception:  # the frames before one that fails are finished
            while awaited:
                yield from awaited.popleft().results()
            raise
        while awaited:
            yield from awaited.popleft().results()
    finally:
        reader.stop()


def normalise(frames: Tensor, normalisation: Normalisation) -> Tensor:
    """Apply a normalisation to frames (B, Y, X, C) of 8 or 16 bits; bit-identical to `apply`."""
    if frames.dtype == torch.int16:  # really unsigned, but few operations support uint16
        frames = frames.int() & 0xFFFF
    planes = []
    for channel, (low, high) in enumerate(zip(normalisation.low, normalisation.high, strict=True)):
        plane = frames[..., channel].float()
        if high == low:
            planes.append(torch.zeros_like(plane))
            continue
        # A tensor, because a GPU divides by a number by multiplying with its rounded inverse.
        span = torch.full((), high - low, device=plane.device)
        planes.append(((plane - low) / span).clamp(0, 1))
    if len(planes) == 2:
        planes.append((planes[0] + planes[1]) / 2)
    return torch.stack(planes, dim=1).expand(-1, 3, -1, -1)


@torch.no_grad()
def _start(batch: Tensor, work: PipelineSettings) -> _PendingResults:
    count = len(batch)
    if work.fixed and count < work.batch:
        batch = torch.cat([batch, batch[-1:].expand(work.batch - count, -1, -1, -1)])
    images = batch.to(work.device, non_blocking=True)
    if not images.is_floating_point():
        images = normalise(images, work.normalisation)
    images, valid = images[:, :3], images[:count, 3:]  # see `_transferable`
    probabilities = work.logits(images)[:count].float().sigmoid()
    if valid.shape[1]:
        probabilities *= valid
    labels = _to_host(labels_from_probabilities(probabilities, work.class_ids))
    confidence = _to_host(confidences(probabilities))
    wanted = _to_host(probabilities) if work.probabilities else None
    event = None
    if work.device.type == "cuda":
        event = torch.cuda.current_stream(work.device).record_event()
    return _PendingResults(labels, confidence, wanted, event, work.class_ids)


def _to_host(tensor: Tensor) -> Tensor:
    """Start to copy a tensor to the host."""
    if not tensor.is_cuda:
        return tensor
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return copy.copy_(tensor, non_blocking=True)


@dataclass(frozen=True, eq=False)
class _PendingResults:
    """Results of a batch that are being copied from the GPU."""

    labels: Tensor
    confidence: Tensor
    probabilities: Tensor | None
    event: torch.cuda.Event | None
    class_ids: tuple[int, ...]

    def results(self) -> Iterator[FramePrediction]:
        """Wait for the results and yield copies of them outside of page-locked memory."""
        if self.event is not None:
            self.event.synchronize()
        confidence = self.confidence.tolist()
        for at, labels in enumerate(self.labels.numpy()):
            found = None if self.probabilities is None else self.probabilities[at].numpy().copy()
            yield frame_prediction(labels.copy(), confidence[at], self.class_ids, found)


class _Reader:
    """Batches of frames, read in a thread."""

    def __init__(self, frames: Iterable[NDArray[Any]], work: PipelineSettings) -> None:
        self._frames, self._work = frames, work
        self._queue: queue.Queue[Tensor | BaseException | None] = queue.Queue(READ_AHEAD)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read, name="vrp-sam-reader", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Tensor]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    def stop(self) -> None:
        """Stop the thread after the frame that it is reading."""
        self._stopped.set()
        self._thread.join()

    def _read(self) -> None:
        try:
            for batch in self._batches():
                if not self._put(batch):
                    return
            self._put(None)
        except BaseException as error:
            self._put(error)

    def _put(self, item: Tensor | BaseException | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=WAIT)
            except queue.Full:
                continue
            return True
        return False

    def _batches(self) -> Iterator[Tensor]:
        gathered: list[Tensor] = []
        frames = iter(self._frames)
        # Checked before each frame, because reading one may take a while.
        while not self._stopped.is_set():
            try:
                frame = next(frames)
            except StopIteration:
                break
            except Exception:
                if gathered:
                    yield self._stacked(gathered)
                raise
            given = self._transferable(frame)
            if gathered and (given.shape, given.dtype) != (gathered[0].shape, gathered[0].dtype):
                yield self._stacked(gathered)
                gathered = []
            gathered.append(given)
            if len(gathered) == self._work.batch:
                yield self._stacked(gathered)
                gathered = []
        if gathered:
            yield self._stacked(gathered)

    def _transferable(self, frame: NDArray[Any]) -> Tensor:
        """Frame as it is sent to the GPU: 8 and 16 bit raw, other dtypes normalised.

        A frame with missing pixels has a fourth plane, which is 1 where there are data.
        """
        channels = len(self._work.normalisation.low)
        if frame.dtype not in (np.uint8, np.uint16) or min(frame.shape[2], 3) != channels:
            normalised = self._work.normalisation.apply(frame)
            missing = missing_pixels(frame)
            if missing is not None:
                normalised = np.concatenate([normalised, ~missing[None]], dtype=np.float32)
            return torch.from_numpy(normalised)
        planes = np.ascontiguousarray(frame[..., :channels])
        return torch.from_numpy(planes.view(np.int16) if frame.dtype == np.uint16 else planes)

    def _stacked(self, frames: Sequence[Tensor]) -> Tensor:
        pinned = self._work.device.type == "cuda"
        shape = (len(frames), *frames[0].shape)
        stacked = torch.empty(shape, dtype=frames[0].dtype, pin_memory=pinned)
        for at, frame in enumerate(frames):
            stacked[at] = frame
        return stacked
