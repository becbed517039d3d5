"""One training of `paper_protocol.py`, and what it is worth."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from protocol_bank import Bank, Shown, load
from torch import Tensor
from torch.utils.data import DataLoader

from napari_vrp_sam.evaluation.few_shot import FewShotScores
from napari_vrp_sam.io.datasets import IGNORED
from napari_vrp_sam.models.devices import resolve_device
from napari_vrp_sam.models.feature_augmenter import mask_on_grid
from napari_vrp_sam.models.lite import LiteModel
from napari_vrp_sam.models.lite_network import LiteNetwork
from napari_vrp_sam.models.lite_parts import BACKBONE_CHANNELS
from napari_vrp_sam.models.pseudo_mask import correlation
from napari_vrp_sam.models.registry import load_model
from napari_vrp_sam.models.types import FrameFeatures
from napari_vrp_sam.models.vrp_encoder import VRPEncoder
from napari_vrp_sam.training.few_shot.module import EpisodeView, Frozen, VRPModule
from napari_vrp_sam.training.stream import StepStream
from napari_vrp_sam.training.trainer import quiet

SHOTS = (1, 5)
"""Numbers of references that each training is measured with."""


@dataclass(frozen=True)
class Setup:
    """One training; the defaults are the paper's."""

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


class FrozenLite(Frozen):
    """`lite` on features that are there already; a batch tells the rows of its images."""

    def __init__(self, network: LiteNetwork, bank: Bank) -> None:
        super().__init__()
        self.network = network
        self.bank = bank

    def features(self, rows: Tensor) -> FrameFeatures:
        """Features of images."""
        side = self.bank.labels.shape[-1]
        maps = tuple(m[rows].float() for m in self.bank.maps)
        return FrameFeatures((side, side), self.bank.embeddings[rows].float(), maps)

    def view(self, batch: dict[str, Any]) -> EpisodeView:
        """See `Frozen.view`; the correlation is the paper's, on the backbone's last stage."""
        shots = batch["references"].shape[1]
        reference = self.features(batch["references"].flatten())
        target = self.features(batch["targets"])
        masks = batch["reference_masks"].flatten(0, 1)[:, None]
        stage_3 = reference.semantic[3]
        coarse = mask_on_grid(masks, (stage_3.shape[-2], stage_3.shape[-1]))
        masked = self.network.deepest_stage(stage_3 * coarse)
        deepest = target.semantic[4].repeat_interleave(shots, dim=0)
        with torch.autocast(masks.device.type, enabled=False):
            similarity = correlation(deepest.float(), masked.float(), coarse)
        targets = self.network.semantic_features(target)
        pseudo_masks = F.interpolate(
            similarity, targets.shape[-2:], mode="bilinear", align_corners=True
        )
        references = self.network.semantic_features(reference)
        return EpisodeView(references, masks, targets, pseudo_masks)

    def decode(self, batch: dict[str, Any], prompts: Tensor) -> Tensor:
        """See `Frozen.decode`; as in promptable training, prompts alone tell what to segment."""
        features = self.features(batch["targets"])
        height, width = features.embedding.shape[-2:]
        dense = self.network.prompt_encoder.no_mask_embed.weight[..., None, None]
        nothing = prompts.new_zeros(len(prompts), 1, 4 * height, 4 * width)
        logits, _ = self.network.decode(
            features, prompts, dense.expand(len(prompts), -1, height, width), nothing
        )
        return logits


class Pairs(StepStream):
    """Batches of reference and target of a class; classes are drawn evenly."""

    def __init__(self, bank: Bank, kind: str, steps: int, batch_size: int, seed: int) -> None:
        super().__init__(steps)
        self.bank = bank
        self.kind = kind
        self.batch_size = batch_size
        self.seed = seed

    def batch(self, step: int) -> dict[str, Any]:
        """See `StepStream.batch`."""
        rng = np.random.default_rng([self.seed, step])
        classes = rng.integers(len(self.bank.shown), size=self.batch_size).tolist()
        shown = []
        for class_index, chance in zip(classes, rng.random((self.batch_size, 2)), strict=True):
            images = self.bank.shown[class_index]
            target = int(chance[0] * len(images))
            other = target + 1 + int(chance[1] * (len(images) - 1))
            shown.append([images[target], images[other % len(images)]])
        draws = self.bank.annotations[self.kind].shape[1]
        draw = torch.from_numpy(rng.integers(draws, size=self.batch_size))
        return {**self.bank.batch(classes, shown, self.kind, draw), "step": step}


def episodes(bank: Bank, references: int, count: int) -> list[tuple[int, list[Shown]]]:
    """Class, target and references of each; the same for every training."""
    usable = [c for c, images in enumerate(bank.shown) if len(images) > max(SHOTS)]
    drawn = []
    for number in range(count):
        rng = np.random.default_rng([0, number])
        class_index = usable[int(rng.integers(len(usable)))]
        images = bank.shown[class_index]
        # More references add to those that are there: the same target, the same first one.
        order = rng.choice(len(images), max(SHOTS) + 1, replace=False)[: references + 1]
        drawn.append((class_index, [images[int(at)] for at in order]))
    return drawn


@torch.no_grad()
def measured(
    module: VRPModule, bank: Bank, kind: str, references: int, count: int, precision: str
) -> dict[str, Any]:
    """mIoU over classes, FB-IoU, and the IoU of each class."""
    module.eval()
    device = bank.labels.device
    scores = FewShotScores(range(len(bank.names)))
    drawn = episodes(bank, references, count)
    for start in range(0, count, 25):
        part = drawn[start : start + 25]
        classes = [class_index for class_index, _ in part]
        first = torch.zeros(len(part), dtype=torch.int64)
        batch = bank.batch(classes, [shown for _, shown in part], kind, first)
        with torch.autocast(device.type, torch.bfloat16, enabled="bf16" in precision):
            found = (module(batch) > 0).cpu().numpy()
        truths = torch.where(batch["valid"], batch["target_masks"], IGNORED).byte().cpu().numpy()
        for class_index, mask, truth in zip(classes, found, truths, strict=True):
            scores.add(class_index, mask, truth)
    return {
        "mean_iou": scores.mean_iou,
        "fb_iou": scores.fb_iou,
        "classes": {bank.names[c]: round(iou, 4) for c, iou in scores.ious.items()},
    }


@dataclass(frozen=True)
class Run:
    """What all trainings have in common."""

    folder: str
    device: str
    precision: str
    steps: int
    batch_size: int
    learning_rate: float
    episodes: int
    until: float


class Worker:
    """A process that trains one setup after the other on the same features."""

    here: Worker

    def __init__(self, run: Run) -> None:
        self.run = run
        self.device = resolve_device(run.device)
        if self.device.type == "cuda":
            torch.set_num_threads(1)
        self.learned = load(Path(run.folder) / "train.pt", self.device)
        self.held_out = load(Path(run.folder) / "evaluate.pt", self.device)
        self.network = cast(LiteModel, load_model("lite")).network.to(self.device)
        self.longest = 0.0

    @classmethod
    def start(cls, run: Run) -> None:
        """Set up this process."""
        cls.here = cls(run)

    @classmethod
    def work(cls, setup: Setup) -> dict[str, Any] | None:
        """Train and measure; None if there is no time left for it."""
        return cls.here.train(setup)

    def train(self, setup: Setup) -> dict[str, Any] | None:
        """Train one VRP encoder and measure it with one reference and with five."""
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
        module = VRPModule(
            FrozenLite(self.network, self.learned),
            encoder,
            self.run.steps,
            learning_rate=self.run.learning_rate,
            loss=cast(Any, setup.loss),
            seed=setup.seed,
        )
        pairs = Pairs(
            self.learned, setup.annotation, self.run.steps, self.run.batch_size, setup.seed
        )
        with quiet():
            trainer = lightning.Trainer(
                max_steps=self.run.steps,
                accelerator=self.device.type,
                devices=1,
                precision=cast(Any, self.run.precision),
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(module, DataLoader(pairs, batch_size=None))
        trained = time.time()
        module.to(self.device)
        cast(FrozenLite, module.frozen).bank = self.held_out
        loss = float(trainer.callback_metrics["loss"])
        result: dict[str, Any] = {
            **asdict(setup),
            "parameters": sum(p.numel() for p in encoder.parameters()),
            "loss_at_end": loss if np.isfinite(loss) else None,
        }
        for references in SHOTS:
            result[f"references_{references}"] = measured(
                module,
                self.held_out,
                setup.annotation,
                references,
                self.run.episodes,
                self.run.precision,
            )
        self.longest = max(self.longest, time.time() - begun)
        return {**result, "seconds": [round(trained - begun, 1), round(time.time() - trained, 1)]}
