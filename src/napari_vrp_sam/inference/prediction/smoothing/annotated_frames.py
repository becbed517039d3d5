"""Annotated frames of a stack: those that show its images, and the classes of their pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.inference.prediction.smoothing.neighbours import NeighboursOf

KNOWN_LOGIT = 4.0
"""Logit of the pixels of a complete annotated mask, where its frame is a neighbour."""

MOST_FRAMES = 3
"""Largest number of annotated frames that are compared with their neighbours."""


class AnnotatedFrames:
    """Annotated frames of a stack.

    Parameters
    ----------
    references : sequence of Reference
        Those that show other images than the frames of the stack are ignored.
    class_ids : sequence of int
        Classes of the logits.
    """

    def __init__(self, references: Sequence[Reference], class_ids: Sequence[int]) -> None:
        self._class_ids = tuple(class_ids)
        self._references: dict[int, list[Reference]] = {}
        for reference in references:
            if reference.frame is not None:
                self._references.setdefault(reference.frame, []).append(reference)

    def measured(
        self, neighbours: NeighboursOf, read: Callable[[int], NDArray[Any] | None]
    ) -> list[int]:
        """Return the frames that tell whether a stack is smoothed, at most `MOST_FRAMES`.

        `read` returns None for a frame that cannot be read.
        """
        chosen = measured_frames(self._references, neighbours)
        return [
            index
            for index in chosen
            if (pixels := read(index)) is not None and self._shows(index, pixels)
        ]

    def known(self, index: int, pixels: NDArray[Any]) -> Tensor | None:
        """Return the logits (K, Y, X) that complete masks of a frame state.

        They are NaN where a class is not annotated; None if it is nowhere.
        """
        complete = [r for r in self._references.get(index, ()) if r.kind == "mask"]
        if not complete or not self._shows(index, pixels):
            return None
        logits = torch.full((len(self._class_ids), *pixels.shape[:2]), torch.nan)
        for reference in complete:
            mask = torch.from_numpy(reference.mask > 0.5)
            values = torch.where(mask, KNOWN_LOGIT, -KNOWN_LOGIT)
            if reference.ignored is not None:
                values[torch.from_numpy(reference.ignored > 0)] = torch.nan
            logits[self._class_ids.index(reference.class_id)] = values
        return logits

    def _shows(self, index: int, pixels: NDArray[Any]) -> bool:
        image = self._references[index][0].image
        image = image[..., None] if image.ndim == 2 else image
        return image.shape == pixels.shape and np.array_equal(
            image, pixels, equal_nan=pixels.dtype.kind == "f"
        )


def measured_frames(annotated: Iterable[int], neighbours: NeighboursOf) -> list[int]:
    """Return the annotated frames that tell whether a stack is smoothed, at most `MOST_FRAMES`."""
    shown = [index for index in sorted(annotated) if neighbours(index)]
    steps = np.linspace(0, len(shown) - 1, min(MOST_FRAMES, len(shown)))
    return [shown[round(step)] for step in steps]
