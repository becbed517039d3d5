"""Predictions of the frames of a stack that take their neighbours into account."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.inference.prediction.neighbours import (
    Motion,
    agreement,
    average,
    motion,
    reduced_image,
)
from napari_vrp_sam.inference.prediction.outputs import FramePrediction, predict_from_probabilities

if TYPE_CHECKING:
    from napari_vrp_sam.inference.prediction.predictor import Predictor

ROUNDS = 2
"""Number of averages with the direct neighbours, so that a frame sees two on each side."""

CERTAIN = 0.8
"""Expected IoU of a class on a frame from which on its mask is not averaged."""

LEAST_AGREEMENT = 0.9
"""Least IoU of a class's mask on an annotated frame with the mask that its neighbours give.
Below it, the frames are too far apart, or unrelated, and averages would blur them."""

KNOWN_LOGIT = 4.0
"""Logit of the pixels of a complete annotated mask, where its frame is a neighbour."""

MOST_FRAMES = 3
"""Largest number of annotated frames whose agreement is measured."""

NeighboursOf = Callable[[int], Sequence[int]]


@dataclass(frozen=True, eq=False)
class _Frame:
    """What is kept of a frame while it has neighbours to come."""

    logits: Tensor
    """float16, to halve the memory; shape (K, Y, X)."""
    image: Tensor
    confidence: tuple[float, ...]
    """Expected IoU of each class without its neighbours."""
    known: Tensor | None
    """Mask of the pixels whose class is annotated; shape (K, Y, X)."""


def measured_frames(annotated: Iterable[int], neighbours: NeighboursOf) -> list[int]:
    """Return the annotated frames that tell whether a stack is smoothed, at most `MOST_FRAMES`."""
    shown = [index for index in sorted(annotated) if neighbours(index)]
    steps = np.linspace(0, len(shown) - 1, min(MOST_FRAMES, len(shown)))
    return [shown[round(step)] for step in steps]


def frames_around(index: int, neighbours: NeighboursOf) -> list[int]:
    """Return a frame and all frames that its smoothed result depends on."""
    found = reached = [index]
    for _ in range(ROUNDS):
        reached = [j for i in reached for j in neighbours(i) if j not in found]
        found = [*found, *dict.fromkeys(reached)]
    return found


class StackSmoother:
    """Predict the frames of one stack; uncertain ones are averaged with their neighbours.

    Neighbours are moved onto a frame by the optical flow of the images. The logits of a class are
    averaged only if its masks on annotated frames agree with those of their neighbours, and only on
    frames where its expected IoU is low. Results do not depend on the order or range of frames.

    Parameters
    ----------
    predictor : Predictor
        Its references are learned.
    read : callable
        Returns a frame, shape (Y, X, C), by its index; no frame is larger than a tile.
    neighbours : callable
        Returns the indices of the one or two direct neighbours of a frame.
    references : sequence of Reference
        The learned ones. Those that show other images than the stack are ignored.
    """

    def __init__(
        self,
        predictor: Predictor,
        read: Callable[[int], NDArray[Any]],
        neighbours: NeighboursOf,
        references: Sequence[Reference],
    ) -> None:
        self._predictor, self._read, self._neighbours = predictor, read, neighbours
        self._annotated: dict[int, list[Reference]] = {}
        for reference in references:
            if reference.frame is not None:
                self._annotated.setdefault(reference.frame, []).append(reference)
        self._frames: dict[int, _Frame] = {}
        self._averaged: dict[tuple[int, int], Tensor] = {}
        self._motions: dict[tuple[int, int], Motion | None] = {}

    @cached_property
    def smoothed(self) -> tuple[bool, ...]:
        """For each class, True if its masks are averaged; computed from the annotated frames."""
        found: list[list[float]] = [[] for _ in self._predictor.class_ids]
        indices = self._measured_frames()
        self._load(sorted({j for i in indices for j in (i, *self._neighbours(i))}))
        for index in indices:
            frame = self._frames[index]
            moved = [
                way.move(self._frames[j].logits.float())
                for j in self._neighbours(index)
                if (way := self._motion(index, j)) is not None
            ]
            if not moved:
                continue
            own = self._probabilities(frame.logits.float()) > 0.5
            others = self._probabilities(torch.stack(moved).mean(dim=0)) > 0.5
            for scores, mask, other in zip(found, own, others, strict=True):
                scores.append(agreement(mask, other))
        means = [np.nanmean(s) if np.isfinite(s).any() else math.nan for s in found]
        return tuple(bool(mean >= LEAST_AGREEMENT) for mean in means)

    def measure(self) -> bool:
        """Compute `smoothed` now, and return True if any class is smoothed."""
        return any(self.smoothed)

    def stream(
        self, indices: Sequence[int], *, probabilities: bool = True
    ) -> Generator[FramePrediction]:
        """Predict frames, in the order of their indices.

        Parameters
        ----------
        indices : sequence of int
        probabilities : bool
            Whether to return them too.
        """
        if not self.measure():
            yield from self._unsmoothed(indices, probabilities=probabilities)
            return
        last_use: dict[int, int] = {}
        for position, index in enumerate(indices):
            last_use.update(dict.fromkeys(frames_around(index, self._neighbours), position))
        self._forget(set(self._frames) - set(last_use))
        raw = self._raw([index for index in last_use if index not in self._frames])
        for position, index in enumerate(indices):
            for needed in frames_around(index, self._neighbours):
                while needed not in self._frames:
                    at, frame = next(raw)
                    self._frames[at] = frame
            found = self._probabilities(self._result(index))
            prediction = predict_from_probabilities(found, self._predictor.class_ids)
            yield prediction if probabilities else replace(prediction, probabilities=None)
            self._forget({at for at in self._frames if last_use[at] <= position})

    def _unsmoothed(
        self, indices: Sequence[int], *, probabilities: bool
    ) -> Generator[FramePrediction]:
        """Predict frames one by one; those that were measured are not computed again."""
        start = 0
        for index in indices:
            if index not in self._frames:
                break
            found = self._probabilities(self._frames.pop(index).logits.float())
            prediction = predict_from_probabilities(found, self._predictor.class_ids)
            yield prediction if probabilities else replace(prediction, probabilities=None)
            start += 1
        self._forget(set(self._frames))
        rest = (self._read(index) for index in indices[start:])
        yield from self._predictor.predict_stream(rest, probabilities=probabilities)

    def _result(self, index: int) -> Tensor:
        """Return the final logits of a frame; annotated masks stay as they are predicted."""
        frame = self._frames[index]
        logits = self._average(index, ROUNDS)
        return logits if frame.known is None else torch.where(frame.known, frame.logits, logits)

    def _average(self, index: int, rounds: int) -> Tensor:
        """Return the logits of a frame after some rounds, as float32."""
        frame = self._frames[index]
        if rounds == 0:
            return frame.logits.float() if frame.known is None else self._known_logits(index)
        if (index, rounds) not in self._averaged:
            before = self._average(index, rounds - 1)
            uncertain = [
                at
                for at, confidence in enumerate(frame.confidence)
                if self.smoothed[at] and confidence < CERTAIN
            ]
            ways = [(j, self._motion(index, j)) for j in self._neighbours(index) if uncertain]
            neighbours = [
                (way, self._average(j, rounds - 1)[uncertain]) for j, way in ways if way is not None
            ]
            after = before.clone()
            if neighbours:
                after[uncertain] = average(before[uncertain], neighbours)
            if frame.known is not None:
                after = torch.where(frame.known, before, after)
            self._averaged[index, rounds] = after.half()
        return self._averaged[index, rounds].float()

    def _known_logits(self, index: int) -> Tensor:
        logits = self._frames[index].logits.float()
        for reference in self._complete(index):
            at = self._predictor.class_ids.index(reference.class_id)
            mask = torch.from_numpy(reference.mask > 0.5)
            known = torch.where(mask, KNOWN_LOGIT, -KNOWN_LOGIT)
            annotated = self._frames[index].known
            assert annotated is not None
            logits[at] = torch.where(annotated[at], known, logits[at])
        return logits

    def _motion(self, index: int, neighbour: int) -> Motion | None:
        """Return the way to a neighbour; None if frames are of different shapes."""
        key = index, neighbour
        if key not in self._motions:
            one, other = self._frames[index], self._frames[neighbour]
            alike = one.logits.shape == other.logits.shape
            self._motions[key] = motion(one.image, other.image) if alike else None
        return self._motions[key]

    def _measured_frames(self) -> list[int]:
        """Return annotated frames whose images are those of the stack, at most `MOST_FRAMES`."""
        chosen = measured_frames(self._annotated, self._neighbours)
        return [index for index in chosen if self._shows(index, self._read(index))]

    def _shows(self, index: int, pixels: NDArray[Any]) -> bool:
        image = self._annotated[index][0].image
        image = image[..., None] if image.ndim == 2 else image
        return image.shape == pixels.shape and np.array_equal(
            image, pixels, equal_nan=pixels.dtype.kind == "f"
        )

    def _complete(self, index: int) -> list[Reference]:
        return [r for r in self._annotated.get(index, ()) if r.kind == "mask"]

    def _load(self, indices: Sequence[int]) -> None:
        self._frames.update(self._raw([index for index in indices if index not in self._frames]))

    def _raw(self, indices: Sequence[int]) -> Iterator[tuple[int, _Frame]]:
        """Compute the logits of frames, in batches."""
        pixels: dict[int, NDArray[Any]] = {}

        def reading() -> Iterator[NDArray[Any]]:
            for index in indices:
                pixels[index] = self._read(index)
                yield pixels[index]

        for index, found in zip(indices, self._predictor.logits_stream(reading()), strict=False):
            frame = pixels.pop(index)
            logits = torch.from_numpy(found)
            prediction = predict_from_probabilities(
                self._probabilities(logits.clone()), self._predictor.class_ids
            )
            confidence = [prediction.confidence.get(c, 0.0) for c in self._predictor.class_ids]
            image = reduced_image(self._predictor.planes(frame))
            known = self._known(index, frame, logits)
            yield index, _Frame(logits.half(), image, tuple(confidence), known)

    def _known(self, index: int, pixels: NDArray[Any], logits: Tensor) -> Tensor | None:
        """Return where the class of a frame's pixels is annotated; None if nowhere."""
        complete = self._complete(index)
        if not complete or not self._shows(index, pixels):
            return None
        known = torch.zeros(logits.shape, dtype=torch.bool)
        for reference in complete:
            at = self._predictor.class_ids.index(reference.class_id)
            known[at] = True
            if reference.ignored is not None:
                known[at] = ~torch.from_numpy(reference.ignored > 0)
        return known

    def _probabilities(self, logits: Tensor) -> NDArray[np.float32]:
        return self._predictor.probabilities(logits.numpy())

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
