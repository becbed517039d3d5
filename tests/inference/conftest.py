"""A model small enough for unit tests: one random convolution and a linear classifier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.events import FrameResult
from napari_vrp_sam.models.base import EncodedReference, FrameFeatures, Model, Prompts

RED, GREEN = 3, 8
"""Class values of the stack below; neither first nor consecutive."""


class TinyModel(nn.Module, Model):
    """Tells classes apart by the nearer of two mean features, in and outside of the annotation."""

    name = "tiny"

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 16, kernel_size=3, padding=1)
        self.passes: list[int] = []  # shared by the copies that predictors work with

    @property
    def encoded(self) -> int:
        """Number of frames that were encoded."""
        return sum(self.passes)

    def encode(self, frames: Tensor) -> FrameFeatures:
        self.passes.append(len(frames))
        features = self.stem(frames)
        return FrameFeatures((frames.shape[-2], frames.shape[-1]), features, (features,))

    def prepare(self, references: Sequence[EncodedReference]) -> dict[int, Tensor]:
        tokens: dict[int, list[Tensor]] = {}
        for reference in references:
            features, mask = reference.features.embedding[0], reference.mask
            inside = (features * mask).sum((1, 2)) / mask.sum()
            outside = (features * (1 - mask)).sum((1, 2)) / (1 - mask).sum()
            tokens.setdefault(reference.class_id, []).append(torch.stack([inside, outside]))
        return {key: torch.stack(tokens[key]).mean(0) for key in sorted(tokens)}

    def prompt(self, features: FrameFeatures, prepared: dict[int, Tensor]) -> Prompts:
        sparse = torch.stack(list(prepared.values()))
        dense = torch.zeros_like(features.embedding).expand(len(sparse), -1, -1, -1)
        return Prompts(tuple(prepared), sparse, dense)

    def decode(self, features: FrameFeatures, prompts: Prompts) -> Tensor:
        pixels = features.embedding.flatten(2).transpose(1, 2)
        near, far = torch.cdist(pixels, prompts.sparse).unbind(-1)
        return ((far - near) * 20).reshape(len(near), *features.size)


def frame_results(job, cache=None):
    """Results of a job that is done in this thread, in their order."""
    return [event for event in job.events(Control(), cache) if isinstance(event, FrameResult)]


@pytest.fixture
def model():
    return TinyModel().eval()


@pytest.fixture
def truth():
    """A red and a green disc that wander over 12 black frames, as labels (T, Z, Y, X)."""
    labels = np.zeros((3, 4, 40, 48), dtype=np.uint8)
    rows, columns = np.indices((40, 48))
    for index, position in enumerate(np.ndindex(3, 4)):
        labels[position][(rows - 10 - index) ** 2 + (columns - 12) ** 2 <= 49] = RED
        labels[position][(rows - 14) ** 2 + (columns - 24 - index) ** 2 <= 25] = GREEN
    return labels


@pytest.fixture
def stack(truth):
    """The picture of the truth, uint8 TZYXS, with a little noise."""
    noise = np.random.default_rng(0).integers(0, 20, (*truth.shape, 3), dtype=np.uint8)
    noise[..., 0] += (truth == RED) * np.uint8(200)
    noise[..., 1] += (truth == GREEN) * np.uint8(200)
    return noise


@pytest.fixture
def frames(stack):
    return Frames(stack)
