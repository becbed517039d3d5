"""Batches of few-shot episodes as the frozen parts of a full-size model want them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.annotations.simulate import simulate
from napari_vrp_sam.models.sam.square_canvas import frame_cells, on_square_canvas, pad_to_square
from napari_vrp_sam.models.vrp.feature_augmenter import mask_on_grid
from napari_vrp_sam.research.datasets.few_shot_sets import FewShotSet
from napari_vrp_sam.research.few_shot.embeddings import EmbeddingCache
from napari_vrp_sam.research.few_shot.encoding import as_frame
from napari_vrp_sam.research.few_shot.frozen_sam import Canvas
from napari_vrp_sam.research.few_shot.pairs import TrainingPair, TrainingPairs
from napari_vrp_sam.research.few_shot.recipe import Recipe
from napari_vrp_sam.training.stream import StepStream


class PairStream(StepStream):
    """Batches of training pairs, a function of seed and step alone.

    Parameters
    ----------
    data : FewShotSet
    pairs : TrainingPairs
    embeddings : EmbeddingCache
        Of the targets.
    canvas : Canvas
        What the semantic encoder sees.
    recipe : Recipe
    steps, start : int
        See `StepStream`.
    rank, world : int
        Number of this device, and how many there are: their episodes follow each other.

    Notes
    -----
    A batch holds, of float32: ``references`` (B, K, 3, S, S) and ``targets`` (B, 3, S, S) on the
    canvas; ``reference_masks`` (B, K, h, w) on the semantic encoder's grid; ``inside`` (B, 1, h,
    w), 0 on the target's padding; ``target_masks`` (B, S, S). Of bfloat16: ``embeddings``
    (B, D, h', w'). Of bool: ``valid`` (B, S, S). And ``step``.
    """

    def __init__(
        self,
        data: FewShotSet,
        pairs: TrainingPairs,
        embeddings: EmbeddingCache,
        canvas: Canvas,
        recipe: Recipe,
        steps: int,
        *,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(steps, start)
        self.data = data
        self.pairs = pairs
        self.embeddings = embeddings
        self.canvas = canvas
        self.recipe = recipe
        self.rank = rank
        self.world = world

    def batch(self, step: int) -> dict[str, Any]:
        """See `StepStream.batch`."""
        size = self.recipe.batch_size
        first = (step * self.world + self.rank) * size
        items = [self._episode(self.pairs.pair(number)) for number in range(first, first + size)]
        stacked = {name: torch.stack([item[name] for item in items]) for name in items[0]}
        return {**stacked, "step": step}

    def _episode(self, pair: TrainingPair) -> dict[str, Tensor]:
        shown = [self._reference(pair, shot) for shot in range(len(pair.references))]
        truth = self.data.mask("train", pair.target, pair.class_id)
        labels = labels_on_canvas(truth, self.canvas.side)
        inside = torch.zeros(1, *self.canvas.grid)
        rows, columns = frame_cells((truth.shape[0], truth.shape[1]), inside)
        inside[..., :rows, :columns] = 1
        return {
            "references": torch.stack([frame for frame, _ in shown]),
            "reference_masks": torch.stack([mask for _, mask in shown]),
            "targets": self._frame(pair.target),
            "inside": inside,
            "embeddings": self.embeddings[pair.target],
            "target_masks": (labels == 1).float(),
            "valid": labels != IGNORED,
        }

    def _reference(self, pair: TrainingPair, shot: int) -> tuple[Tensor, Tensor]:
        image_id = pair.references[shot]
        truth = self.data.mask("train", image_id, pair.class_id) == 1
        rng = np.random.default_rng([self.recipe.seed, pair.number, shot])
        # In training of 1 to 20 points or strokes (paper, appendix).
        drawn = torch.from_numpy(simulate(truth, self.recipe.annotation, rng, count=None))
        mask = mask_on_grid(pad_to_square(drawn[None, None]), self.canvas.grid)
        return self._frame(image_id), mask[0, 0]

    def _frame(self, image_id: str) -> Tensor:
        frame = as_frame(self.data.image("train", image_id))
        return on_square_canvas(
            frame, self.canvas.side, frame.new_tensor(self.canvas.fill)[:, None, None]
        )[0]


def labels_on_canvas(labels: NDArray[np.uint8], side: int) -> Tensor:
    """Labels (Y, X) at the top left of a square, resized by nearest neighbour; the rest ignored."""
    size = ResizeLongestSide.get_preprocess_shape(*labels.shape, side)
    small = F.interpolate(torch.from_numpy(labels)[None, None].float(), size, mode="nearest")
    canvas = torch.full((side, side), IGNORED, dtype=torch.uint8)
    canvas[: size[0], : size[1]] = small[0, 0].byte()
    return canvas
