"""Predictions of the frames of a stack that take their neighbours into account."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_vrp_sam.inference.prediction.outputs import FramePrediction, predict_from_probabilities
from napari_vrp_sam.inference.prediction.smoothing.annotated_frames import AnnotatedFrames
from napari_vrp_sam.inference.prediction.smoothing.neighbours import (
    ROUNDS,
    Motion,
    NeighboursOf,
    agreement,
    average,
    frames_around,
    motion,
    reduced_image,
)
from napari_vrp_sam.inference.prediction.tiles.steps import finish
from napari_vrp_sam.inference.prediction.tiles.tiling import TileProgress

if TYPE_CHECKING:
    from napari_vrp_sam.annotations.reference import Reference
    from napari_vrp_sam.inference.prediction.smoothing.logit_source import LogitSource

CERTAIN = 0.8
"""Expected IoU of a class on a frame from which on its mask is not averaged."""

LEAST_AGREEMENT = 0.9
"""Smallest IoU of a class's mask on an annotated frame with the mask that its neighbours give.
Below it, the frames are too far apart, or unrelated, and averages would blur them."""

EXACT_PIXELS = 1 << 22
"""Logits of larger frames are kept as float16, to halve the memory."""


@dataclass(frozen=True, eq=False)
class _Frame:
    """Logits and image of a frame, kept until the last frame that needs them."""

    logits: Tensor
    """Shape (K, Y, X)."""
    image: Tensor
    confidence: tuple[float, ...]
    """Expected IoU of each class without its neighbours."""
    known: Tensor | None
    """Logits of annotated pixels, see `AnnotatedFrames.known`."""


class StackSmoother:
    """Predict the frames of a stack, and average uncertain ones with their neighbours.

    Neighbours are moved onto a frame by the optical flow of the images. The logits of a class are
    averaged only if its masks on annotated frames agree with those of their neighbours, and only on
    frames where its expected IoU is low. Results do not depend on the order or range of frames.
    A frame that cannot be read raises at its own turn, and is no neighbour of any other.

    Parameters
    ----------
    source : LogitSource
        A predictor that has learned the references, for example.
    read : callable
        Returns a frame, shape (Y, X, C), by its index.
    neighbours : callable
        Returns the indices of the one or two direct neighbours of a frame.
    references : sequence of Reference
        The learned ones. Those that show other images than the stack are ignored.
    """

    def __init__(
        self,
        source: LogitSource,
        read: Callable[[int], NDArray[Any]],
        neighbours: NeighboursOf,
        references: Sequence[Reference],
    ) -> None:
        self._source, self._read, self._neighbours = source, read, neighbours
        self._annotated = AnnotatedFrames(references, source.class_ids)
        self._smoothed: tuple[bool, ...] | None = None
        self._frames: dict[int, _Frame] = {}
        self._averaged: dict[tuple[int, int], Tensor] = {}
        self._motions: dict[tuple[int, int], Motion | None] = {}
        self._unreadable: dict[int, Exception] = {}

    def measure(self) -> bool:
        """Find out which classes are smoothed, and return True if any is."""
        return any(finish(self._measure()))

    def stream(
        self, indices: Sequence[int], *, probabilities: bool = True
    ) -> Generator[FramePrediction | TileProgress]:
        """Predict frames, in the order of their indices.

        Parameters
        ----------
        indices : sequence of int
        probabilities : bool
            Whether to return them too.

        Yields
        ------
        FramePrediction
        TileProgress
            Before each tile of a large frame.
        """
        if not any((yield from self._measure())):
            yield from self._unsmoothed(indices, probabilities=probabilities)
            return
        last_use: dict[int, int] = {}
        for position, index in enumerate(indices):
            last_use.update(dict.fromkeys(frames_around(index, self._neighbours), position))
        self._forget(set(self._frames) - set(last_use))
        missing = self._compute([index for index in last_use if index not in self._frames])
        for position, index in enumerate(indices):
            around = set(frames_around(index, self._neighbours))
            while not self._frames.keys() | self._unreadable.keys() >= around:
                yield from next(missing, ())
            if index in self._unreadable:
                raise self._unreadable[index]
            yield self._prediction(self._result(index), probabilities=probabilities)
            self._forget({at for at in self._frames if last_use[at] <= position})

    def _unsmoothed(
        self, indices: Sequence[int], *, probabilities: bool
    ) -> Generator[FramePrediction | TileProgress]:
        """Predict frames one by one; those that were measured are not computed again."""
        exact = {at: f.logits for at, f in self._frames.items() if f.logits.dtype == torch.float32}
        self._forget(set(self._frames))
        rest = self._source.predict_stream(
            (self._read(index) for index in indices if index not in exact),
            probabilities=probabilities,
            tiles=True,
        )
        for index in indices:
            if index in exact:
                yield self._prediction(exact[index], probabilities=probabilities)
                continue
            while isinstance(item := next(rest), TileProgress):
                yield item
            yield item

    def _measure(self) -> Generator[TileProgress, None, tuple[bool, ...]]:
        """Return for each class whether it is smoothed, by its masks on annotated frames."""
        if self._smoothed is not None:
            return self._smoothed
        indices = self._annotated.measured(self._neighbours, self._try_to_read)
        needed = sorted({j for index in indices for j in (index, *self._neighbours(index))})
        for steps in self._compute(needed):
            yield from steps
        found: list[list[float]] = [[] for _ in self._source.class_ids]
        for index in indices:
            moved = [
                way.move(self._frames[j].logits.float())
                for j in self._readable(index)
                if (way := self._motion(index, j)) is not None
            ]
            if not moved:
                continue
            own = self._probabilities(self._frames[index].logits) > 0.5
            others = self._probabilities(torch.stack(moved).mean(dim=0)) > 0.5
            for scores, mask, other in zip(found, own, others, strict=True):
                scores.append(agreement(mask, other))
        means = [np.nanmean(s) if np.isfinite(s).any() else math.nan for s in found]
        self._smoothed = tuple(bool(mean >= LEAST_AGREEMENT) for mean in means)
        return self._smoothed

    def _result(self, index: int) -> Tensor:
        """Return the final logits of a frame; annotated masks stay as they are predicted."""
        frame, logits = self._frames[index], self._average(index, ROUNDS)
        if frame.known is None:
            return logits
        return torch.where(frame.known.isnan(), logits, frame.logits.float())

    def _average(self, index: int, rounds: int) -> Tensor:
        """Return the logits of a frame after some rounds, as float32."""
        frame = self._frames[index]
        if rounds == 0:
            raw = frame.logits.float()
            return (
                raw if frame.known is None else torch.where(frame.known.isnan(), raw, frame.known)
            )
        if (index, rounds) not in self._averaged:
            before = self._average(index, rounds - 1)
            assert self._smoothed is not None
            uncertain = [
                at
                for at, confidence in enumerate(frame.confidence)
                if self._smoothed[at] and confidence < CERTAIN
            ]
            ways = [(j, self._motion(index, j)) for j in self._readable(index) if uncertain]
            neighbours = [
                (way, self._average(j, rounds - 1)[uncertain]) for j, way in ways if way is not None
            ]
            after = before.clone()
            if neighbours:
                after[uncertain] = average(before[uncertain], neighbours)
            if frame.known is not None:
                after = torch.where(frame.known.isnan(), after, before)
            self._averaged[index, rounds] = after.to(frame.logits.dtype)
        return self._averaged[index, rounds].float()

    def _motion(self, index: int, neighbour: int) -> Motion | None:
        """Return the way to a neighbour; None if frames are of different shapes."""
        key = index, neighbour
        if key not in self._motions:
            one, other = self._frames[index], self._frames[neighbour]
            alike = one.logits.shape == other.logits.shape
            self._motions[key] = motion(one.image, other.image) if alike else None
        return self._motions[key]

    def _compute(self, indices: Sequence[int]) -> Iterator[Generator[TileProgress]]:
        """Compute frames, in batches; yield the steps after which each is in `_frames`."""
        pixels: dict[int, NDArray[Any]] = {}
        order: deque[int] = deque()

        def reading() -> Iterator[NDArray[Any]]:
            for index in indices:
                frame = self._try_to_read(index)
                if frame is not None:
                    pixels[index] = frame
                    order.append(index)
                    yield frame

        def added(index: int, steps: Generator[TileProgress, None, Any]) -> Generator[TileProgress]:
            found = torch.from_numpy(np.asarray((yield from steps)))
            frame = pixels.pop(index)
            confidence = self._prediction(found, probabilities=False).confidence
            self._frames[index] = _Frame(
                found if found[0].numel() <= EXACT_PIXELS else found.half(),
                reduced_image(self._source.planes(frame)),
                tuple(confidence.get(class_id, 0.0) for class_id in self._source.class_ids),
                self._annotated.known(index, frame),
            )

        for steps in self._source.logits_stream(reading()):
            yield added(order.popleft(), steps)

    def _try_to_read(self, index: int) -> NDArray[Any] | None:
        """Return a frame; None if it cannot be read, which is an error at its own turn only."""
        try:
            return self._read(index)
        except Exception as error:  # codecs raise exceptions of any type for damaged files
            self._unreadable[index] = error
            return None

    def _readable(self, index: int) -> list[int]:
        return [j for j in self._neighbours(index) if j not in self._unreadable]

    def _probabilities(self, logits: Tensor) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._source.probabilities(logits.float().clone().numpy())
        return found

    def _prediction(self, logits: Tensor, *, probabilities: bool) -> FramePrediction:
        prediction = predict_from_probabilities(self._probabilities(logits), self._source.class_ids)
        return prediction if probabilities else replace(prediction, probabilities=None)

    def _forget(self, indices: set[int]) -> None:
        for index in indices:
            self._frames.pop(index, None)
            for rounds in range(1, ROUNDS + 1):
                self._averaged.pop((index, rounds), None)
        self._motions = {
            key: way
            for key, way in self._motions.items()
            if key[0] in self._frames and key[1] in self._frames
        }
