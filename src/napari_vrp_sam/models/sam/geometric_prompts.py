"""GP-SAM: points and a box out of the pseudo-mask, for a model without a trained VRP encoder.

Nothing here depends on how many cells lie inside: a GPU is not waited for, and frames go through
together.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from segment_anything.modeling import Sam
from torch import Tensor

from napari_vrp_sam.models.sam.prompting import Prompting

POINTS = 5


def geometric_prompts(pseudo_mask: Tensor, cell: float) -> tuple[Tensor, Tensor]:
    """Points and bounding box of a pseudo-mask (paper, table 3, "box + point").

    Parameters
    ----------
    pseudo_mask : Tensor, shape (K, 1, h, w)
        Of K classes. Cosine similarities crowd together, so the mask is what lies above the
        middle between its lowest and highest value.
    cell : float
        Pixels of SAM's input per cell of the pseudo-mask.

    Returns
    -------
    points : Tensor, shape (K, 5, 2)
        (x, y) in pixels of SAM's input, drawn at random, the same at every call: foreground.
    boxes : Tensor, shape (K, 4)
        (x0, y0, x1, y1) in pixels of SAM's input.
    """
    lowest, highest = torch.aminmax(pseudo_mask.flatten(1), dim=1)
    inside = pseudo_mask[:, 0] >= ((lowest + highest) / 2)[:, None, None]
    rows, columns = inside.shape[-2:]
    priority = torch.where(inside.flatten(1), _priorities(rows * columns, inside.device), -1)
    best, cells = priority.topk(min(POINTS, rows * columns), dim=1)
    # Fewer cells than points: some are drawn twice.
    count = (best >= 0).sum(dim=1, keepdim=True).clamp(min=1)
    drawn = cells.gather(1, torch.arange(POINTS, device=cells.device) % count)
    points = torch.stack([drawn % columns, drawn // columns], dim=-1)
    top, bottom = _ends(inside.any(dim=2))
    left, right = _ends(inside.any(dim=1))
    boxes = torch.stack([left, top, right, bottom], dim=-1)
    return (points + 0.5) * cell, boxes * cell


def _ends(marked: Tensor) -> tuple[Tensor, Tensor]:
    """First marked position of each row (K, n), and the one behind the last."""
    first = marked.float().argmax(dim=1)
    return first, marked.shape[1] - marked.flip(1).float().argmax(dim=1)


@lru_cache(maxsize=4)
def _priorities(count: int, device: torch.device) -> Tensor:
    """A random number in 0..1 for each cell, the same ever after."""
    # Not by torch, which draws nothing where frames go through together.
    return torch.from_numpy(np.random.default_rng(0).random(count, np.float32)).to(device)


def encode_geometric(
    sam: Sam, pseudo_mask: Tensor, cell: float, prompting: Prompting
) -> tuple[Tensor, Tensor]:
    """SAM's sparse (K, N, D) and dense (K, D, h, w) prompts of points, a box, or both.

    Parameters
    ----------
    sam : Sam
    pseudo_mask : Tensor, shape (K, 1, h, w)
    cell : float
        See `geometric_prompts`.
    prompting : Prompting
        "points" and "box" leave the other out.
    """
    points, boxes = geometric_prompts(pseudo_mask, cell)
    encoder = sam.prompt_encoder
    encoded: tuple[Tensor, Tensor] = encoder(None, boxes, None)
    if prompting == "box":
        return encoded
    sparse, dense = encoded
    # As the encoder does it, which looks for labels one by one, and waits for the GPU each time.
    centres = encoder.pe_layer.forward_with_coords(points + 0.5, encoder.input_image_size)
    shown = centres + encoder.point_embeddings[1].weight
    no_box = encoder.not_a_point_embed.weight.expand(len(points), 1, -1)
    return torch.cat([shown, no_box if prompting == "points" else sparse], dim=1), dense
