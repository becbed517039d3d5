"""Computation of SAM's embeddings of the training images."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam
from torch import Tensor
from torch.multiprocessing.spawn import ProcessRaisedException, spawn

from napari_vrp_sam.models.sam.square_canvas import resize_longest_side
from napari_vrp_sam.research.datasets.few_shot_sets import FewShotDataset, Progress
from napari_vrp_sam.research.few_shot.embeddings import EmbeddingCache

POLL_SECONDS = 5.0
"""Interval of progress messages while other processes encode."""


def encode_images(
    embeddings: EmbeddingCache,
    sam: Sam,
    data: FewShotDataset,
    device: torch.device,
    devices: int = 1,
    progress: Progress | None = None,
) -> None:
    """Encode the images that the cache lacks.

    Parameters
    ----------
    embeddings : EmbeddingCache
    sam : Sam
        A model on the CPU, to which it is returned.
    data : FewShotDataset
    device : torch.device
    devices : int, default: 1
        Number of devices of that type, each driven by its own process.
    progress : callable, optional
        Called with a message now and then.

    Raises
    ------
    InputError
        See `EmbeddingCache.fill`.
    """
    if devices > 1 and embeddings.missing():
        inputs = (embeddings, sam, data, device.type)
        others: Any = spawn(_encode_on, inputs, devices, join=False)
        try:
            while not others.join(POLL_SECONDS):
                if progress:
                    progress(f"Encoding images with SAM: {len(embeddings.missing())} files left")
        except ProcessRaisedException:
            pass  # the same error occurs below, with a readable message
    if embeddings.missing():
        _encode(embeddings, sam, data, device, progress)
        sam.cpu()


def _encode_on(
    index: int, embeddings: EmbeddingCache, sam: Sam, data: FewShotDataset, device_type: str
) -> None:
    device = (
        torch.device(device_type, index) if device_type == "cuda" else torch.device(device_type)
    )
    _encode(embeddings, sam, data, device, None)


def _encode(
    embeddings: EmbeddingCache,
    sam: Sam,
    data: FewShotDataset,
    device: torch.device,
    progress: Progress | None,
) -> None:
    sam.to(device)

    @torch.no_grad()
    def encode(image_id: str) -> Tensor:
        frame = image_to_tensor(data.image("train", image_id)).to(device)
        # The cache stores bfloat16 anyway.
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            resized = resize_longest_side(frame, sam.image_encoder.img_size)
            embedding: Tensor = sam.image_encoder(sam.preprocess(255 * resized))[0]
        return embedding

    embeddings.fill(encode, progress)


def image_to_tensor(image: NDArray[np.uint8]) -> Tensor:
    """Convert an image (Y, X, 3), uint8, to a tensor of shape (1, 3, Y, X) in 0..1."""
    return torch.from_numpy(image.transpose(2, 0, 1).copy())[None].float() / 255
