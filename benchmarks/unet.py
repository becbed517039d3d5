"""What a user would train instead: MONAI's U-Net on the annotated frames alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from numpy.typing import NDArray
from torch import Tensor

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.research.protocols.one_slice import Frame, Segment, Segmented

STRIDE = 16
CROP = 256
BATCH = 4
RATE = 1e-3
LOOK = 50
"""Steps between looks at whether it still improves."""
PATIENCE = 20
"""Looks without a gain of a hundredth of the loss, after which it ends; with fewer it gives up on
rare classes before it has begun to see them."""


class MonaiUNet:
    """A U-Net for all classes of a sequence; an `evaluation.one_slice.Method`.

    Random crops, turned, mirrored and relit; Dice and cross-entropy; Adam. It trains for as long as
    its loss falls, or so many minutes. Only masks without ignored pixels are meant to be learned.
    """

    def __init__(self, *, minutes: float = 30, seed: int = 0, device: str = "cpu") -> None:
        self.minutes = minutes
        self.seed = seed
        self.device = device
        self.steps: list[int] = []
        """Of each training until now."""

    def __call__(self, frames: Sequence[Frame], references: Sequence[Reference]) -> Segment:
        """Train on the references; see `evaluation.one_slice.Method`."""
        normalisation = Normalisation.fit(frames)
        classes = sorted({r.class_id for r in references})
        shown = annotated_frames(references, classes, normalisation)
        torch.manual_seed(self.seed)
        network = UNet(
            spatial_dims=2,
            in_channels=3,
            out_channels=len(classes),
            channels=(16, 32, 64, 128, 256),
            strides=(2, 2, 2, 2),
            num_res_units=2,
        ).to(self.device)
        self._train(network, shown)
        network.eval()

        @torch.no_grad()
        def segment(frame: Frame) -> Segmented:
            image = torch.from_numpy(normalisation.apply(frame))[None].to(self.device)
            height, width = image.shape[-2:]
            image = F.pad(image, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
            return Segmented((network(image)[0, :, :height, :width] > 0).cpu().numpy())

        return segment

    def _train(self, network: UNet, shown: Sequence[tuple[Tensor, Tensor, Tensor]]) -> None:
        rng = np.random.default_rng(self.seed)
        objective = DiceCELoss(sigmoid=True, batch=True)
        optimiser = torch.optim.Adam(network.parameters(), RATE)
        best, waited = float("inf"), 0
        recent: list[Tensor] = []
        end = time.perf_counter() + 60 * self.minutes
        network.train()
        step = 0
        while time.perf_counter() < end and waited < PATIENCE:
            crops = [crop(*shown[int(rng.integers(len(shown)))], rng) for _ in range(BATCH)]
            images, masks, known = (
                torch.stack(parts).to(self.device) for parts in zip(*crops, strict=True)
            )
            loss = objective(network(images) * known, masks * known)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            recent.append(loss.detach())
            step += 1
            if step % LOOK == 0:
                mean = float(torch.stack(recent).mean())
                recent.clear()
                waited = 0 if mean < 0.99 * best else waited + 1
                best = min(best, mean)
        self.steps.append(step)


def annotated_frames(
    references: Sequence[Reference], classes: Sequence[int], normalisation: Normalisation
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Image (3, Y, X), masks (K, Y, X) and what is known (K, Y, X) of each annotated frame."""
    by_frame: dict[Any, list[Reference]] = {}
    for reference in references:
        by_frame.setdefault(reference.frame, []).append(reference)
    shown = []
    for of_frame in by_frame.values():
        shape = (len(classes), *of_frame[0].mask.shape)
        masks: NDArray[np.float32] = np.zeros(shape, np.float32)
        known = np.zeros_like(masks)  # a class that is not annotated there may be anywhere
        for reference in of_frame:
            at = classes.index(reference.class_id)
            masks[at] = reference.mask
            known[at] = 1 if reference.ignored is None else ~reference.ignored
        image = normalisation.apply(of_frame[0].image)
        shown.append((torch.from_numpy(image), torch.from_numpy(masks), torch.from_numpy(known)))
    return shown


def crop(
    image: Tensor, masks: Tensor, known: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """A square part, seen in one of eight orientations and in another light."""
    layers = torch.cat([image, masks, known])
    height, width = layers.shape[1:]
    # Frames smaller than a crop are continued, with what nobody knows.
    layers = F.pad(layers, (0, max(0, CROP - width), 0, max(0, CROP - height)))
    top, left = (int(rng.integers(n - CROP + 1)) for n in layers.shape[1:])
    layers = layers[:, top : top + CROP, left : left + CROP]
    layers = torch.rot90(layers, int(rng.integers(4)), (1, 2))
    if rng.random() < 0.5:
        layers = layers.flip(2)
    gain, shift = float(rng.uniform(0.8, 1.2)), float(rng.uniform(-0.1, 0.1))
    picture = (gain * layers[:3] + shift).clamp(0, 1)
    count = len(masks)
    return picture, layers[3 : 3 + count], layers[3 + count :]
