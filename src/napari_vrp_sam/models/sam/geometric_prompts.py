"""GP-SAM: points and a box from the pseudo-mask, for a model without a VRP encoder.

No shape depends on the number of cells in the pseudo-mask, so nothing here synchronises with a GPU
and `torch.vmap` can batch frames.
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
    """Return points and the bounding box of a pseudo-mask (paper, table 3, "box + point").

    Parameters
    ----------
    pseudo_mask : Tensor, shape (K, 1, h, w)
        Pseudo-masks of K classes. The threshold is the mean of the lowest and the highest value,
        because cosine similarities have a small range.
    cell : float
        Size of a cell of the pseudo-mask in pixels of SAM's input.

    Returns
    -------
    points : Tensor, shape (K, 5, 2)
        Foreground points (x, y) in pixels of SAM's input, random but equal at every call.
    boxes : Tensor, shape (K, 4)
        Boxes (x0, y0, x1, y1) in pixels of SAM's input.
    """
    lowest, highest = torch.aminmax(pseudo_mask.flatten(1), dim=1)
    inside = pseudo_mask[:, 0] >= ((lowest + highest) / 2)[:, None, None]
    rows, columns = inside.shape[-2:]
    priority = torch.where(inside.flatten(1), _priorities(rows * columns, inside.device), -1)
    best, cells = priority.topk(min(POINTS, rows * columns), dim=1)
    # If there are fewer cells than points, some cells are used twice.
    count = (best >= 0).sum(dim=1, keepdim=True).clamp(min=1)
    drawn = cells.gather(1, torch.arange(POINTS, device=cells.device) % count)
    points = torch.stack([drawn % columns, drawn // columns], dim=-1)
    top, bottom = _ends(inside.any(dim=2))
    left, right = _ends(inside.any(dim=1))
    boxes = torch.stack([left, top, right, bottom], dim=-1)
    return (points + 0.5) * cell, boxes * cell


def _ends(marked: Tensor) -> tuple[Tensor, Tensor]:
    """Return the start and the (exclusive) end of the marked range in each row of (K, n)."""
    first = marked.float().argmax(dim=1)
    return first, marked.shape[1] - marked.flip(1).float().argmax(dim=1)


@lru_cache(maxsize=4)
def _priorities(count: int, device: torch.device) -> Tensor:
    """Return a fixed random number in 0..1 for each cell."""
    # From NumPy, because torch's generators do not work inside `torch.vmap`.
    return torch.from_numpy(np.random.default_rng(0).random(count, np.float32)).to(device)


def encode_geometric(
    sam: Sam, pseudo_mask: Tensor, cell: float, prompting: Prompting
) -> tuple[Tensor, Tensor]:
    """Return SAM's sparse (K, N, D) and dense (K, D, h, w) prompts for "points", "box" or both.

    See `geometric_prompts` for `pseudo_mask` and `cell`.
    """
    points, boxes = geometric_prompts(pseudo_mask, cell)
    encoder = sam.prompt_encoder
    encoded: tuple[Tensor, Tensor] = encoder(None, boxes, None)
    if prompting == "box":
        return encoded
    sparse, dense = encoded
    # SAM's own code indexes with the labels, which synchronises with the GPU.
    centres = encoder.pe_layer.forward_with_coords(points + 0.5, encoder.input_image_size)
    foreground = centres + encoder.point_embeddings[1].weight
    no_box = encoder.not_a_point_embed.weight.expand(len(points), 1, -1)
    rest = no_box if prompting == "points" else sparse
    return torch.cat([foreground, rest], dim=1), dense
