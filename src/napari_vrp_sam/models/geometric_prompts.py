"""GP-SAM: points and a box out of the pseudo-mask, for a model without a trained VRP encoder."""

from __future__ import annotations

import torch
from segment_anything.modeling import Sam
from torch import Tensor

from napari_vrp_sam.models.prompting import Prompting

POINTS = 5


def geometric_prompts(pseudo_mask: Tensor, cell: float) -> tuple[Tensor, Tensor, Tensor]:
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
        (x, y) in pixels of SAM's input, drawn at random, the same at every call.
    labels : Tensor, shape (K, 5), int32
        All 1: foreground.
    boxes : Tensor, shape (K, 4)
        (x0, y0, x1, y1) in pixels of SAM's input.
    """
    lowest, highest = torch.aminmax(pseudo_mask.flatten(1), dim=1)
    inside = pseudo_mask[:, 0] >= ((lowest + highest) / 2)[:, None, None]
    points, boxes = [], []
    for mask in inside:
        cells = mask.nonzero().flip(1)
        order = torch.randperm(len(cells), generator=torch.Generator().manual_seed(0))
        # Fewer cells than points: some are drawn twice.
        drawn = cells[order[torch.arange(POINTS) % len(cells)].to(cells.device)]
        points.append((drawn + 0.5) * cell)
        boxes.append(torch.cat([cells.amin(dim=0), cells.amax(dim=0) + 1]) * cell)
    labels = torch.ones(len(inside), POINTS, dtype=torch.int32, device=pseudo_mask.device)
    return torch.stack(points), labels, torch.stack(boxes)


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
    points, labels, boxes = geometric_prompts(pseudo_mask, cell)
    encoded: tuple[Tensor, Tensor] = sam.prompt_encoder(
        None if prompting == "box" else (points, labels),
        None if prompting == "points" else boxes,
        None,
    )
    return encoded
