"""SAM at work on the training images, on one device or on several."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam
from torch import Tensor
from torch.multiprocessing.spawn import ProcessRaisedException, spawn

from napari_vrp_sam.models.sam.square_canvas import resize_longest_side
from napari_vrp_sam.research.datasets.few_shot_sets import FewShotSet, Progress
from napari_vrp_sam.research.few_shot.embeddings import EmbeddingCache

POLL = 5.0
"""Seconds between looks at how far the other processes are."""


def encode_images(
    embeddings: EmbeddingCache,
    sam: Sam,
    data: FewShotSet,
    device: torch.device,
    devices: int = 1,
    progress: Progress | None = None,
) -> None:
    """Have SAM encode what no run before has.

    Parameters
    ----------
    embeddings : EmbeddingCache
        To be filled.
    sam : Sam
        On the CPU, where it returns to.
    data : FewShotSet
    device : torch.device
    devices : int, default 1
        Of its kind; above 1 each gets a process.
    progress : callable, optional
        Told how far it is.

    Raises
    ------
    InputError
        See `EmbeddingCache.fill`.
    """
    if devices > 1 and embeddings.missing():
        inputs = (embeddings, sam, data, device.type)
        others: Any = spawn(_encode_on, inputs, devices, join=False)  # type: ignore[no-untyped-call]
        try:
            while not others.join(POLL):
                if progress:
                    progress(f"SAM encodes images: {len(embeddings.missing())} files to go")
        except ProcessRaisedException:
            pass  # what fails there fails below too, and says why
    if embeddings.missing():
        _encode(embeddings, sam, data, device, progress)
        sam.cpu()


def _encode_on(
    number: int, embeddings: EmbeddingCache, sam: Sam, data: FewShotSet, kind: str
) -> None:
    device = torch.device(kind, number) if kind == "cuda" else torch.device(kind)
    _encode(embeddings, sam, data, device, None)


def _encode(
    embeddings: EmbeddingCache,
    sam: Sam,
    data: FewShotSet,
    device: torch.device,
    progress: Progress | None,
) -> None:
    sam.to(device)

    def encode(image_id: str) -> Tensor:
        frame = as_frame(data.image("train", image_id)).to(device)
        # Half of the digits are enough for what is kept with as many.
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            return embed(sam, frame)

    embeddings.fill(encode, progress)


@torch.no_grad()
def embed(sam: Sam, frame: Tensor) -> Tensor:
    """SAM's image embedding (D, h, w) of a frame of shape (1, 3, H, W) in 0..1."""
    large = resize_longest_side(frame, sam.image_encoder.img_size)
    embedding: Tensor = sam.image_encoder(sam.preprocess(255 * large))[0]
    return embedding


def as_frame(image: NDArray[np.uint8]) -> Tensor:
    """An image (Y, X, 3) as a batch of one, shape (1, 3, Y, X), in 0..1."""
    return torch.from_numpy(image.transpose(2, 0, 1).copy())[None].float() / 255
