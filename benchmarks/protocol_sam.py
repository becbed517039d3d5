"""Replacement of SAM in `paper_protocol.py`: `lite`'s mask decoder, trained to follow prompts.

The packaged decoder relies on the probe's logits, which are not available here. Therefore it is
trained on the training images to segment a class from foreground and background points or from its
box, and frozen afterwards.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from protocol_bank import Bank
from torch import Tensor

from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.lite.network import LiteNetwork
from napari_vrp_sam.training.losses import segmentation_loss
from napari_vrp_sam.training.objective import mask_iou

DECODER = "decoder.pt"
"""Name of the file of its weights."""

POINTS = 10
"""Maximum number of points on the class, and of points outside."""

RATE = 5e-4


def features_of(bank: Bank, rows: Tensor) -> FrameFeatures:
    """Return the decoder's features of images."""
    side = bank.labels.shape[-1]
    fine = tuple(m[rows].float() for m in bank.fine)
    return FrameFeatures((side, side), bank.embeddings[rows].float(), fine)


def decode_by_prompts(network: LiteNetwork, bank: Bank, rows: Tensor, prompts: Tensor) -> Tensor:
    """Decode prompts (B, N, D) to mask logits (B, 1, h, w) of images, without pseudo-masks."""
    features = features_of(bank, rows)
    height, width = features.embedding.shape[-2:]
    no_mask = network.prompt_encoder.no_mask_embed.weight[..., None, None]
    dense = no_mask.expand(len(prompts), -1, height, width)
    nothing = prompts.new_zeros(len(prompts), 1, 4 * height, 4 * width)
    return network.decode(features, prompts, dense, nothing)[0]


def draw_prompts(network: LiteNetwork, bank: Bank, rows: Tensor, masks: Tensor) -> Tensor:
    """Draw points, a box, or both, and encode them as prompts."""
    batch, side, _ = masks.shape
    device = masks.device
    inside = torch.multinomial(masks.flatten(1) + 1e-9, POINTS)
    outside = torch.multinomial(1 - masks.flatten(1) + 1e-9, POINTS)
    at = torch.cat([inside, outside], dim=1)
    points = torch.stack([at % side, at // side], dim=2).float()
    number = torch.arange(POINTS, device=device)
    counts = torch.randint(0, POINTS + 1, (batch, 2, 1), device=device)
    boxed = torch.rand(batch, device=device) < 0.5
    counts[:, 0] = torch.where(boxed[:, None], counts[:, 0], counts[:, 0].clamp_min(1))
    labels = torch.where(number < counts, torch.tensor([[1], [0]], device=device), -1).flatten(1)
    rows_hit, columns_hit = masks.amax(2), masks.amax(1)
    ends = [
        torch.stack([hit.argmax(1), side - 1 - hit.flip(1).argmax(1)])
        for hit in (columns_hit, rows_hit)
    ]
    boxes = torch.stack([ends[0][0], ends[1][0], ends[0][1], ends[1][1]], dim=1).float()
    features = features_of(bank, rows)
    sparse, _ = network.geometric_prompt(features, points, labels, boxes)
    # The last two tokens are the box; without a box they are replaced by padding.
    nothing = network.prompt_encoder.not_a_point_embed.weight.expand(batch, 2, -1)
    box = torch.where(boxed[:, None, None], sparse[:, -2:], nothing)
    return torch.cat([sparse[:, :-2], box], dim=1)


def train_decoder(network: LiteNetwork, bank: Bank, steps: int, batch_size: int) -> list[float]:
    """Train prompt encoder and mask decoder; return the mean IoU of each tenth of the steps."""
    torch.manual_seed(0)
    parts = [network.prompt_encoder, network.decoder]
    learned = [p.requires_grad_() for part in parts for p in part.parameters()]
    optimiser = torch.optim.AdamW(learned, RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, RATE, total_steps=steps + 1, pct_start=0.05
    )
    classes = torch.randint(len(bank.occurrences), (steps, batch_size)).tolist()
    ious: list[Tensor] = []
    for of_step in classes:
        chosen = [
            (c, bank.occurrences[c][int(torch.randint(len(bank.occurrences[c]), ()))])
            for c in of_step
        ]
        rows = torch.tensor([s.image for _, s in chosen], device=bank.labels.device)
        values = torch.tensor([bank.values[c] for c, _ in chosen], device=rows.device)
        labels = bank.labels[rows]
        masks, valid = (labels == values[:, None, None]).float(), labels != 255
        prompts = draw_prompts(network, bank, rows, masks)
        logits = decode_by_prompts(network, bank, rows, prompts)
        full = F.interpolate(logits, masks.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
        loss = segmentation_loss(full, masks, valid)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        schedule.step()
        ious.append(mask_iou(full, masks, valid).mean())
    network.requires_grad_(requires_grad=False)
    tenths = torch.stack(ious).cpu().split(max(1, steps // 10))
    return [round(float(part.mean()), 4) for part in tenths]


def write_decoder(network: LiteNetwork, path: Path) -> None:
    """Write the weights of prompt encoder and mask decoder."""
    parts = {"prompts": network.prompt_encoder.state_dict(), "masks": network.decoder.state_dict()}
    torch.save(parts, path)


def read_decoder(network: LiteNetwork, path: Path) -> None:
    """Read the weights of prompt encoder and mask decoder."""
    parts = torch.load(path, weights_only=True)
    network.prompt_encoder.load_state_dict(parts["prompts"])
    network.decoder.load_state_dict(parts["masks"])
