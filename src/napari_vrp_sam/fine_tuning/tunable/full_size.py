"""Fine-tuning of full-size models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.data.annotated_frames import AnnotatedFrame
from napari_vrp_sam.fine_tuning.data.episodes import episode_stream
from napari_vrp_sam.fine_tuning.job import TrainableParts
from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.fine_tuning.tunable.base import TunableModel
from napari_vrp_sam.inference.prediction.caches.feature_cache import FeatureCache, digest
from napari_vrp_sam.models.base import EncodedReference, FrameFeatures
from napari_vrp_sam.models.probe.ensemble import fit_linear_probe
from napari_vrp_sam.models.probe.pseudo_labels import complete_shots
from napari_vrp_sam.models.sam.files import (
    IMAGE_ENCODER,
    LORA_A,
    LORA_B,
    MASK_DECODER,
    merge_lora,
)
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.sam.preparation import PreparedClass
from napari_vrp_sam.models.sam.probe import PROBE_RECIPE, canvas_shot, probe_probability
from napari_vrp_sam.models.sam.prompting import TUNED_DECODER_PROMPTING
from napari_vrp_sam.models.vrp.semantic_encoders import SEMANTIC_ENCODERS
from napari_vrp_sam.training.episodes import EpisodeStream
from napari_vrp_sam.training.losses import segmentation_loss

ADAPTER = "default"


class TunableFullSizeModel(TunableModel):
    """Full-size model, changed in place; frames are encoded once unless the encoder is trained."""

    model: FullSizeModel

    def __init__(
        self, model: FullSizeModel, parts: TrainableParts, recipe: FineTuningRecipe
    ) -> None:
        if parts == "vrp-encoder" and model.vrp_encoder is None:
            raise InputError(
                f"The model '{model.name}' has no VRP encoder: choose the parts 'decoder', or a "
                "weights file of a VRP encoder as the model."
            )
        if model.prompting == "objects":  # a mask for each object has no ground truth
            model = model.with_prompting(TUNED_DECODER_PROMPTING)
        self.model = model
        self._lora = parts == "lora"
        self._recipe = recipe
        self._cache = FeatureCache()
        trained: dict[str, nn.Module] = {}
        if model.vrp_encoder is not None:
            trained["vrp_encoder."] = model.vrp_encoder
        if parts != "vrp-encoder":
            trained[MASK_DECODER] = model.sam.mask_decoder
        self.parameters = {}
        for prefix, module in trained.items():
            module.requires_grad_(True)  # noqa: FBT003
            self.parameters |= {prefix + name: p for name, p in module.named_parameters()}
        if self._lora:
            self.parameters |= _add_lora(model.sam.image_encoder, recipe.lora_rank)

    def learning_rate(self, name: str) -> float:
        """Return the peak learning rate of a parameter."""
        return self._recipe.lora_rate if "lora_" in name else self._recipe.learning_rate

    def stream(self, frames: Sequence[AnnotatedFrame], seed: int) -> EpisodeStream:
        """Return batches of episodes of the frames and of synthetic scenes."""
        recipe = self._recipe
        pool = None if self._lora else recipe.pool
        return episode_stream(frames, seed, recipe, side=recipe.full_size_crop, pool=pool)

    def encode(self, frame: Tensor) -> FrameFeatures:
        """Encode a frame of shape (3, Y, X), or return its cached features."""
        if self._lora:
            return super().encode(frame)
        key = digest(frame.cpu().numpy())
        features = self._cache.get(key)
        if features is None:
            features = super().encode(frame)
            self._cache.put(key, features)
        return features.to(frame.device)

    def loss(self, batch: dict[str, Any]) -> Tensor:
        """Return the paper's loss on the targets, averaged over the episodes."""
        device = batch["targets"].device
        encoder = self.model.vrp_encoder or nn.Identity()
        encoder.train()
        try:
            with _mixed_precision(device):
                losses = [self._episode_loss(batch, e) for e in range(len(batch["kinds"]))]
        finally:
            encoder.eval()
        return torch.stack(losses).mean()

    def _episode_loss(self, batch: dict[str, Any], episode: int) -> Tensor:
        def entries(*names: str) -> Iterator[tuple[Any, ...]]:
            return zip(*(batch[name][episode] for name in names), strict=True)

        prepared = self._prepare(
            [
                EncodedReference(self._features(image), mask, 1, kind, number, ignored, image)
                for number, (image, mask, ignored, kind) in enumerate(
                    entries("references", "reference_masks", "reference_ignored", "kinds")
                )
            ]
        )
        losses = []
        for image, mask, valid in entries("targets", "target_masks", "valid"):
            features = self._features(image)
            logits = self.model.decode(features, self.model.prompt(features, [prepared]))
            losses.append(segmentation_loss(logits.float(), mask[None], valid[None]))
        return torch.stack(losses).mean()

    def _features(self, image: Tensor) -> FrameFeatures:
        if self._lora:
            return self.model.features(image[None])  # with gradients
        with _single_precision(image.device):  # validation shares the cached features
            return self.encode(image)

    def _prepare(self, references: Sequence[EncodedReference]) -> PreparedClass:
        """Prepare a class as the model does, but with the linear probe of the ensemble only."""
        if self.model.pseudo_mask == "correlation":
            return self.model.prepare(references)[0]
        device = references[0].mask.device
        with torch.no_grad(), _single_precision(device):
            detached = [replace(r, features=_detach(r.features)) for r in references]
            shots = complete_shots([canvas_shot(r, detached) for r in detached], PROBE_RECIPE)
            probe = fit_linear_probe(shots, PROBE_RECIPE)
        encoding = self.model.encode_references(references)
        return PreparedClass(1, len(references), partial(_probability, probe=probe), encoding)

    @torch.no_grad()
    def evaluation(
        self, references: Sequence[EncodedReference], frames: Sequence[Tensor]
    ) -> FullSizeEvaluation:
        """Fit the probes."""
        return FullSizeEvaluation(self, references, frames, encode_again=self._lora)

    def card(self) -> dict[str, str]:
        """Return kind, SAM and semantic encoder."""
        encoder, kinds = self.model.vrp_encoder, SEMANTIC_ENCODERS.items()
        (semantic,) = (name for name, kind in kinds if type(self.model.semantic) is kind)
        card = {"kind": "vrp-encoder", "sam": self.model.name, "semantic_encoder": semantic}
        return card | (encoder.as_metadata() if encoder is not None else {})

    def tensors(self) -> dict[str, Tensor]:
        """Return all weights of this model that have ever been trained."""
        tensors: dict[str, Tensor] = {}
        if self.model.vrp_encoder is not None:
            tensors |= self.model.vrp_encoder.state_dict()
        decoder = self.model.sam.mask_decoder.state_dict()
        tensors |= {MASK_DECODER + name: tensor for name, tensor in decoder.items()}
        additions = dict(self.model.lora_updates)
        if self._lora:
            additions = merge_lora(additions, self._lora_weights())
        return tensors | {IMAGE_ENCODER + name: tensor for name, tensor in additions.items()}

    def _lora_weights(self) -> dict[str, Tensor]:
        """Return the matrices of the adapters, with their scale applied."""
        weights = {}
        for name, layer in self.model.sam.image_encoder.named_modules():
            if hasattr(layer, "lora_A"):
                scale = layer.scaling[ADAPTER]
                weights[name + LORA_A] = layer.lora_A[ADAPTER].weight.detach()
                weights[name + LORA_B] = scale * layer.lora_B[ADAPTER].weight.detach()
        return weights


@dataclass(eq=False)
class FullSizeEvaluation:
    """Fixed probes, unless the image encoder changes. Implements `Evaluation`."""

    tunable: TunableFullSizeModel
    references: Sequence[EncodedReference]
    frames: Sequence[Tensor]
    encode_again: bool

    def __post_init__(self) -> None:
        self._prepared = self.tunable.model.prepare(self.references)

    @torch.no_grad()
    def logits(self) -> list[Tensor]:
        """Return the logits of each frame, shape (K, Y, X)."""
        model = self.tunable.model
        if self.encode_again:
            prepared = model.prepare(self._encoded_references())
        else:
            prepared = tuple(
                replace(
                    one,
                    encoding=model.encode_references(
                        [r for r in self.references if r.class_id == one.class_id]
                    ),
                )
                for one in self._prepared
            )
        logits = []
        for frame in self.frames:
            features = self.tunable.encode(frame)
            logits.append(model.decode(features, model.prompt(features, prepared)))
        return logits

    def _encoded_references(self) -> list[EncodedReference]:
        encoded: dict[int | None, FrameFeatures] = {}
        for r in self.references:
            if r.frame not in encoded:
                assert r.image is not None
                encoded[r.frame] = self.tunable.encode(r.image)
        return [replace(r, features=encoded[r.frame]) for r in self.references]


def _add_lora(image_encoder: nn.Module, rank: int) -> dict[str, nn.Parameter]:
    """Add low-rank adapters to the attention of a ViT, and return their parameters."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise InputError(
            "LoRA needs another package: python -m pip install 'napari-vrp-sam[lora]'."
        ) from error
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["qkv"])
    inject_adapter_in_model(config, image_encoder, adapter_name=ADAPTER)
    return {
        IMAGE_ENCODER + name: p for name, p in image_encoder.named_parameters() if "lora_" in name
    }


def _mixed_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Use bfloat16 on GPUs that support it: half the memory and time."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()


def _single_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Switch mixed precision off, for fits in closed form."""
    return torch.autocast("cuda", enabled=False) if device.type == "cuda" else nullcontext()


def _detach(features: FrameFeatures) -> FrameFeatures:
    """Return features in single precision and without gradients."""
    return FrameFeatures(
        features.size,
        features.embedding.detach().float(),
        tuple(m.detach().float() for m in features.semantic),
    )


def _probability(features: FrameFeatures, *, probe: Any) -> Tensor:
    with _single_precision(features.embedding.device):
        return probe_probability(_detach(features), probe=probe)
