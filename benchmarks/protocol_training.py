"""A training run of `paper_protocol.py`, and its evaluation."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from protocol_bank import DRAWS, Bank, Occurrence, load
from protocol_sam import DECODER, decode_by_prompts, read_decoder
from torch import Tensor
from torch.utils.data import DataLoader

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.devices import resolve_device
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.lite.network import LiteNetwork
from napari_vrp_sam.models.lite.parts import BACKBONE_CHANNELS
from napari_vrp_sam.models.vrp.feature_augmenter import mask_on_grid
from napari_vrp_sam.models.vrp.pseudo_mask import correlation
from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.research.few_shot.module import EncoderInputs, FrozenNetworks, VRPModule
from napari_vrp_sam.research.protocols.few_shot import FewShotScores
from napari_vrp_sam.research.trainer import quiet_lightning
from napari_vrp_sam.training.stream import StepStream

SHOTS = (1, 5)
"""Numbers of references in the evaluation; only the first one unless annotations are compared."""

WHERE = ("novel", "evaluate")
"""Novel classes of the training images, and classes of other images."""


@dataclass(frozen=True)
class Setup:
    """Settings of a training; the defaults are those of the paper."""

    loss: str = "both"
    queries: int = 50
    initialisation: str = "random"
    annotation: str = "mask"
    seed: int = 0


PAPER = Setup()
SETUPS = (
    PAPER,
    *(replace(PAPER, loss=loss) for loss in ("bce", "dice")),
    *(replace(PAPER, queries=queries) for queries in (1, 10, 25, 100)),
    *(replace(PAPER, initialisation=name) for name in ("foreground", "background", "half")),
    *(replace(PAPER, annotation=kind) for kind in ("point", "scribble", "box")),
)


class FrozenLite(FrozenNetworks):
    """`lite` on precomputed features; a batch contains the rows of its images.

    Parameters
    ----------
    network : LiteNetwork
    bank : Bank
    kind : str
        Kind of the annotations.
    """

    def __init__(self, network: LiteNetwork, bank: Bank, kind: str) -> None:
        super().__init__()
        self.network = network
        self.bank = bank
        self.masks = bank.annotations[kind][:, :, None].float()
        rows = torch.zeros(len(self.masks), dtype=torch.int64)
        for occurrence in (one for of_class in bank.occurrences for one in of_class):
            rows[occurrence.annotation] = occurrence.image
        stage_3 = bank.stage_3[rows.to(bank.stage_3.device)].float()
        grid = (stage_3.shape[-2], stage_3.shape[-1])
        coarse, masked = [], []
        with torch.no_grad():
            for draw in range(self.masks.shape[1]):
                coarse.append(mask_on_grid(self.masks[:, draw], grid))
                masked.append(network.deepest_stage(stage_3 * coarse[-1]))
        self.coarse, self.masked = torch.stack(coarse, dim=1), torch.stack(masked, dim=1)

    def encoder_inputs(self, batch: dict[str, Any]) -> EncoderInputs:
        """See `FrozenNetworks`; the correlation uses the last stage of the backbone."""
        shots = batch["references"].shape[1]
        at = batch["annotations"].flatten(), batch["draws"].flatten()
        deepest = self.bank.stage_4[batch["targets"]].float().repeat_interleave(shots, dim=0)
        similarity = correlation(deepest, self.masked[at], self.coarse[at])
        targets = self.bank.semantic[batch["targets"]].float()
        pseudo_masks = F.interpolate(
            similarity, targets.shape[-2:], mode="bilinear", align_corners=True
        )
        references = self.bank.semantic[batch["references"].flatten()].float()
        return EncoderInputs(references, self.masks[at], targets, pseudo_masks)

    def decode(self, batch: dict[str, Any], prompts: Tensor) -> Tensor:
        """See `FrozenNetworks`."""
        return decode_by_prompts(self.network, self.bank, batch["targets"], prompts)


class PairStream(StepStream):
    """Batches of a reference and a target of each class; classes are equally likely."""

    def __init__(self, bank: Bank, steps: int, batch_size: int, seed: int) -> None:
        super().__init__(steps)
        self.bank = bank
        self.batch_size = batch_size
        self.seed = seed

    def batch(self, step: int) -> dict[str, Any]:
        """See `StepStream.batch`."""
        rng = np.random.default_rng([self.seed, step])
        classes = rng.integers(len(self.bank.occurrences), size=self.batch_size).tolist()
        shown = []
        for class_index, chance in zip(classes, rng.random((self.batch_size, 2)), strict=True):
            images = self.bank.occurrences[class_index]
            target = int(chance[0] * len(images))
            other = target + 1 + int(chance[1] * (len(images) - 1))
            shown.append([images[target], images[other % len(images)]])
        draws = rng.integers(DRAWS, size=self.batch_size).tolist()
        return {**self.bank.batch(classes, shown, draws), "step": step}


def episodes(bank: Bank, references: int, count: int) -> list[tuple[int, list[Occurrence]]]:
    """Return class, target and references of each episode; the same for all trainings."""
    usable = [c for c, images in enumerate(bank.occurrences) if len(images) > max(SHOTS)]
    if not usable:
        raise InputError(
            f"No class is on more than {max(SHOTS)} images: use more images per dataset."
        )
    drawn = []
    for number in range(count):
        rng = np.random.default_rng([0, number])
        class_index = usable[int(rng.integers(len(usable)))]
        images = bank.occurrences[class_index]
        # More references extend fewer ones: target and first reference are the same.
        order = rng.choice(len(images), max(SHOTS) + 1, replace=False)[: references + 1]
        drawn.append((class_index, [images[int(at)] for at in order]))
    return drawn


@torch.no_grad()
def evaluate(
    frozen: FrozenLite, encoder: VRPEncoder, references: int, count: int
) -> dict[str, Any]:
    """Compute mIoU, FB-IoU and the IoU of each class."""
    module = VRPModule(frozen, encoder, 1, learning_rate=1.0).eval()
    bank = frozen.bank
    scores = FewShotScores(range(len(bank.names)))
    drawn = episodes(bank, references, count)
    for start in range(0, count, 50):
        classes, shown = zip(*drawn[start : start + 50], strict=True)
        batch = bank.batch(classes, shown, [0] * len(classes))
        predictions = (module(batch) > 0).cpu().numpy()
        labels = torch.where(batch["valid"], batch["target_masks"], IGNORED).byte().cpu().numpy()
        for class_index, mask, expected in zip(classes, predictions, labels, strict=True):
            scores.add(class_index, mask, expected)
    return {
        "mean_iou": scores.mean_iou,
        "fb_iou": scores.fb_iou,
        "classes": {bank.names[c]: round(iou, 4) for c, iou in scores.ious.items()},
    }


@dataclass(frozen=True)
class Run:
    """Settings shared by all trainings."""

    folder: str
    device: str
    steps: int
    batch_size: int
    learning_rate: float
    episodes: int
    until: float


class Worker:
    """A process that trains several setups on the same features."""

    here: Worker

    def __init__(self, run: Run) -> None:
        self.run = run
        self.device = resolve_device(run.device)
        if self.device.type == "cuda":
            torch.set_num_threads(1)
        self.base, novel = load(Path(run.folder) / "train.pt", self.device).split()
        other = load(Path(run.folder) / "evaluate.pt", self.device)
        self.held_out = dict(zip(WHERE, (novel, other), strict=True))
        self.network = cast(LiteModel, load_model("lite")).network.to(self.device)
        read_decoder(self.network, Path(run.folder) / DECODER)
        self.longest = 0.0

    @classmethod
    def start(cls, run: Run) -> None:
        """Initialise this process."""
        cls.here = cls(run)

    @classmethod
    def work(cls, setup: Setup) -> dict[str, Any] | None:
        """Train and evaluate; return None if not enough time is left."""
        return cls.here.train(setup)

    def train(self, setup: Setup) -> dict[str, Any] | None:
        """Train a VRP encoder and evaluate it with one and five references."""
        begun = time.time()
        if begun + self.longest > self.run.until:
            return None
        lightning.seed_everything(setup.seed, verbose=False)
        encoder = VRPEncoder(
            BACKBONE_CHANNELS[2] + BACKBONE_CHANNELS[3],
            self.network.config.dim,
            queries=setup.queries,
            initialisation=cast(Any, setup.initialisation),
        )
        frozen = FrozenLite(self.network, self.base, setup.annotation)
        module = VRPModule(
            frozen,
            encoder,
            self.run.steps,
            learning_rate=self.run.learning_rate,
            loss=cast(Any, setup.loss),
            seed=setup.seed,
        )
        pairs = PairStream(self.base, self.run.steps, self.run.batch_size, setup.seed)
        with quiet_lightning():
            trainer = lightning.Trainer(
                max_steps=self.run.steps,
                accelerator=self.device.type,
                devices=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(module, DataLoader(pairs, batch_size=None))
        trained = time.time()
        module.to(self.device)  # Lightning has moved it to the CPU
        loss = float(trainer.callback_metrics["loss"])
        result: dict[str, Any] = {
            **asdict(setup),
            "parameters": sum(p.numel() for p in encoder.parameters()),
            "loss_at_end": loss if np.isfinite(loss) else None,
        }
        shots = SHOTS if replace(setup, annotation="mask", seed=0) == PAPER else SHOTS[:1]
        for where, bank in self.held_out.items():
            frozen = FrozenLite(self.network, bank, setup.annotation)
            result[where] = {
                str(count): evaluate(frozen, encoder, count, self.run.episodes) for count in shots
            }
        self.longest = max(self.longest, time.time() - begun)
        return {**result, "seconds": [round(trained - begun, 1), round(time.time() - trained, 1)]}
