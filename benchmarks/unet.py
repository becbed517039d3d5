"""Baseline for fine-tuning: MONAI's U-Net, trained on the annotated frames alone."""

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
from napari_vrp_sam.research.protocols.one_slice import Frame, FrameMasks, SegmentFrame

STRIDE = 16
CROP = 256
BATCH = 4
RATE = 1e-3
CHECK_EVERY = 50
"""Steps between checks for improvement."""
PATIENCE = 20
"""Checks without an improvement of the loss by 1 % after which training ends; with fewer it would
end before rare classes are learned."""


class MonaiUNet:
    """Method of the one-slice protocol: a U-Net for all classes of a sequence.

    Random crops, rotated, flipped and with changed contrast; Dice and cross-entropy; Adam. Training
    ends when the loss stops decreasing, or after the given minutes.
    """

    def __init__(self, *, minutes: float = 30, seed: int = 0, device: str = "cpu") -> None:
        self.minutes = minutes
        self.seed = seed
        self.device = device
        self.steps: list[int] = []
        """Number of steps of each training."""

    def __call__(self, frames: Sequence[Frame], references: Sequence[Reference]) -> SegmentFrame:
        """Train on the references; see `one_slice.Method`."""
        normalisation = Normalisation.fit(frames)
        classes = sorted({r.class_id for r in references})
        samples = annotated_frames(references, classes, normalisation)
        torch.manual_seed(self.seed)
        network = UNet(
            spatial_dims=2,
            in_channels=3,
            out_channels=len(classes),
            channels=(16, 32, 64, 128, 256),
            strides=(2, 2, 2, 2),
            num_res_units=2,
        ).to(self.device)
        self._train(network, samples)
        network.eval()

        @torch.no_grad()
        def segment(frame: Frame) -> FrameMasks:
            image = torch.from_numpy(normalisation.apply(frame))[None].to(self.device)
            height, width = image.shape[-2:]
            image = F.pad(image, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
            return FrameMasks((network(image)[0, :, :height, :width] > 0).cpu().numpy())

        return segment

    def _train(self, network: UNet, samples: Sequence[tuple[Tensor, Tensor, Tensor]]) -> None:
        rng = np.random.default_rng(self.seed)
        objective = DiceCELoss(sigmoid=True, batch=True)
        optimiser = torch.optim.Adam(network.parameters(), RATE)
        best, waited = float("inf"), 0
        recent: list[Tensor] = []
        end = time.perf_counter() + 60 * self.minutes
        network.train()
        step = 0
        while time.perf_counter() < end and waited < PATIENCE:
            crops = [crop(*samples[int(rng.integers(len(samples)))], rng) for _ in range(BATCH)]
            images, masks, valid = (
                torch.stack(parts).to(self.device) for parts in zip(*crops, strict=True)
            )
            loss = objective(network(images) * valid, masks * valid)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            recent.append(loss.detach())
            step += 1
            if step % CHECK_EVERY == 0:
                mean = float(torch.stack(recent).mean())
                recent.clear()
                waited = 0 if mean < 0.99 * best else waited + 1
                best = min(best, mean)
        self.steps.append(step)


def annotated_frames(
    references: Sequence[Reference], classes: Sequence[int], normalisation: Normalisation
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return image (3, Y, X), masks and valid pixels (both (K, Y, X)) of each annotated frame."""
    by_frame: dict[Any, list[Reference]] = {}
    for reference in references:
        by_frame.setdefault(reference.frame, []).append(reference)
    samples = []
    for of_frame in by_frame.values():
        shape = (len(classes), *of_frame[0].mask.shape)
        masks: NDArray[np.float32] = np.zeros(shape, np.float32)
        valid = np.zeros_like(masks)  # pixels of classes without annotation are unknown
        for reference in of_frame:
            at = classes.index(reference.class_id)
            masks[at] = reference.mask
            valid[at] = 1 if reference.ignored is None else ~reference.ignored
        image = normalisation.apply(of_frame[0].image)
        samples.append((torch.from_numpy(image), torch.from_numpy(masks), torch.from_numpy(valid)))
    return samples


def crop(
    image: Tensor, masks: Tensor, valid: Tensor, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw a square crop in a random orientation and with changed contrast."""
    layers = torch.cat([image, masks, valid])
    height, width = layers.shape[1:]
    # Pad smaller frames; the padding is not valid.
    layers = F.pad(layers, (0, max(0, CROP - width), 0, max(0, CROP - height)))
    top, left = (int(rng.integers(n - CROP + 1)) for n in layers.shape[1:])
    layers = layers[:, top : top + CROP, left : left + CROP]
    layers = torch.rot90(layers, int(rng.integers(4)), (1, 2))
    if rng.random() < 0.5:
        layers = layers.flip(2)
    gain, shift = float(rng.uniform(0.8, 1.2)), float(rng.uniform(-0.1, 0.1))
    augmented = (gain * layers[:3] + shift).clamp(0, 1)
    count = len(masks)
    return augmented, layers[3 : 3 + count], layers[3 + count :]
