"""Batches of few-shot episodes for the training of a VRP encoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.annotations.simulate import simulate_annotation
from napari_vrp_sam.models.sam.square_canvas import (
    frame_cells,
    pad_to_square,
    place_on_square_canvas,
)
from napari_vrp_sam.models.vrp.feature_augmenter import mask_on_grid
from napari_vrp_sam.research.datasets.few_shot_sets import FewShotDataset, FewShotEpisode
from napari_vrp_sam.research.few_shot.embeddings import EmbeddingCache
from napari_vrp_sam.research.few_shot.encoding import image_to_tensor
from napari_vrp_sam.research.few_shot.frozen_sam import Canvas
from napari_vrp_sam.research.few_shot.pairs import EpisodeSampler
from napari_vrp_sam.research.few_shot.recipe import Recipe
from napari_vrp_sam.training.stream import StepStream


class FewShotStream(StepStream):
    """Batches of few-shot episodes that depend only on seed and step.

    Parameters
    ----------
    data : FewShotDataset
    sampler : EpisodeSampler
    embeddings : EmbeddingCache
        SAM's embeddings of the targets.
    canvas : Canvas
        Input of the semantic encoder.
    recipe : Recipe
    steps, start : int
        See `StepStream`.
    rank, world_size : int
        Index of this device, and number of devices, which take consecutive episodes.

    Notes
    -----
    A batch consists of float32 tensors: ``references`` (B, K, 3, S, S) and ``targets``
    (B, 3, S, S) on the canvas, ``reference_masks`` (B, K, h, w) on the semantic encoder's grid,
    ``inside`` (B, 1, h, w; 0 on the target's padding) and ``target_masks`` (B, S, S); a bfloat16
    tensor ``embeddings`` (B, D, h', w'); a bool tensor ``valid`` (B, S, S); and ``step``.
    """

    def __init__(
        self,
        data: FewShotDataset,
        sampler: EpisodeSampler,
        embeddings: EmbeddingCache,
        canvas: Canvas,
        recipe: Recipe,
        steps: int,
        *,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(steps, start)
        self.data = data
        self.sampler = sampler
        self.embeddings = embeddings
        self.canvas = canvas
        self.recipe = recipe
        self.rank = rank
        self.world_size = world_size

    def batch(self, step: int) -> dict[str, Any]:
        """See `StepStream.batch`."""
        size = self.recipe.batch_size
        first = (step * self.world_size + self.rank) * size
        items = [self._load(self.sampler.episode(n)) for n in range(first, first + size)]
        stacked = {name: torch.stack([item[name] for item in items]) for name in items[0]}
        return {**stacked, "step": step}

    def _load(self, episode: FewShotEpisode) -> dict[str, Tensor]:
        shots = [self._reference(episode, shot) for shot in range(len(episode.references))]
        mask = self.data.mask("train", episode.target, episode.class_id)
        labels = labels_on_canvas(mask, self.canvas.side)
        inside = torch.zeros(1, *self.canvas.grid)
        rows, columns = frame_cells((mask.shape[0], mask.shape[1]), inside)
        inside[..., :rows, :columns] = 1
        return {
            "references": torch.stack([frame for frame, _ in shots]),
            "reference_masks": torch.stack([mask for _, mask in shots]),
            "targets": self._frame(episode.target),
            "inside": inside,
            "embeddings": self.embeddings[episode.target],
            "target_masks": (labels == 1).float(),
            "valid": labels != IGNORED,
        }

    def _reference(self, episode: FewShotEpisode, shot: int) -> tuple[Tensor, Tensor]:
        image_id = episode.references[shot]
        mask = self.data.mask("train", image_id, episode.class_id) == 1
        rng = np.random.default_rng([self.recipe.seed, episode.number, shot])
        # A random number of 1 to 20 points or strokes (paper, appendix).
        annotation = torch.from_numpy(
            simulate_annotation(mask, self.recipe.annotation, rng, count=None)
        )
        on_grid = mask_on_grid(pad_to_square(annotation[None, None]), self.canvas.grid)
        return self._frame(image_id), on_grid[0, 0]

    def _frame(self, image_id: str) -> Tensor:
        frame = image_to_tensor(self.data.image("train", image_id))
        return place_on_square_canvas(
            frame, self.canvas.side, frame.new_tensor(self.canvas.fill)[:, None, None]
        )[0]


def labels_on_canvas(labels: NDArray[np.uint8], side: int) -> Tensor:
    """Resize labels, shape (Y, X), and place them at the top left of a square of ignored pixels."""
    size = ResizeLongestSide.get_preprocess_shape(*labels.shape, side)
    resized = F.interpolate(torch.from_numpy(labels)[None, None].float(), size, mode="nearest")
    canvas = torch.full((side, side), IGNORED, dtype=torch.uint8)
    canvas[: size[0], : size[1]] = resized[0, 0].byte()
    return canvas
