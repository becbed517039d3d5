"""A full-size model as it is tuned: frames are encoded once where the image encoder stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.data.annotated_frames import AnnotatedFrame
from napari_vrp_sam.fine_tuning.data.episodes import episode_stream
from napari_vrp_sam.fine_tuning.job import TrainableParts
from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.inference.prediction.feature_cache import FeatureCache, digest
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
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel, PreparedClass
from napari_vrp_sam.models.sam.probe import PROBE_RECIPE, canvas_shot, probe_probability
from napari_vrp_sam.models.vrp.semantic_encoders import SEMANTIC_ENCODERS
from napari_vrp_sam.training.episodes import EpisodeStream
from napari_vrp_sam.training.losses import segmentation_loss

ADAPTER = "default"


class TunableFullSizeModel:
    """Implements `TunableModel`.

    Parameters
    ----------
    model : FullSizeModel
        Changed in place.
    parts : {"decoder", "vrp-encoder", "lora"}
    recipe : FineTuningRecipe

    Raises
    ------
    InputError
        If the model has no such part, or LoRA's library is not installed.
    """

    trains_on_all_frames = False

    def __init__(
        self, model: FullSizeModel, parts: TrainableParts, recipe: FineTuningRecipe
    ) -> None:
        if parts == "vrp-encoder" and model.vrp_encoder is None:
            raise InputError(
                f"The model '{model.name}' has no VRP encoder: choose the parts 'decoder', or a "
                "weights file of a VRP encoder as the model."
            )
        self.model = model
        # Features of frames that were seen are kept, unless the encoder learns.
        self._pool: int | None = None if parts == "lora" else recipe.pool
        self._lora = parts == "lora"
        self._semantic_encoder = next(
            name for name, made in SEMANTIC_ENCODERS.items() if type(model.semantic) is made
        )
        self._recipe = recipe
        self._cache = FeatureCache()
        learning: dict[str, nn.Module] = {}
        if model.vrp_encoder is not None:
            learning["vrp_encoder."] = model.vrp_encoder
        if parts != "vrp-encoder":
            learning[MASK_DECODER] = model.sam.mask_decoder
        self.parameters: dict[str, nn.Parameter] = {}
        for prefix, module in learning.items():
            module.requires_grad_(True)  # noqa: FBT003
            self.parameters |= {prefix + name: p for name, p in module.named_parameters()}
        if self._lora:
            self.parameters |= _with_lora(model.sam.image_encoder, recipe.lora_rank)

    def rate(self, name: str) -> float:
        """Highest learning rate of a parameter."""
        return self._recipe.lora_rate if "lora_" in name else self._recipe.learning_rate

    def stream(self, frames: Sequence[AnnotatedFrame], steps: int, seed: int) -> EpisodeStream:
        """Episodes of the frames, and some of synthetic worlds."""
        recipe = self._recipe
        crop = recipe.full_size_crop
        return episode_stream(frames, steps, seed, recipe, crop=crop, pool=self._pool)

    def calibrate(self, examine: Callable[[], float]) -> float:
        """Nothing is left to be chosen."""
        return examine()

    def encode(self, frame: Tensor) -> FrameFeatures:
        """Encode a frame of shape (3, Y, X); one that was seen costs nothing."""
        if self._lora:
            return self.model.encode(frame[None])
        key = digest(frame.cpu().numpy())
        features = self._cache.get(key)
        if features is None:
            features = self.model.encode(frame[None])
            self._cache.put(key, features)
        return features.to(frame.device)

    def loss(self, batch: dict[str, Any]) -> Tensor:
        """The paper's loss on the targets, a mean over the episodes."""
        device = batch["targets"].device
        encoder = self.model.vrp_encoder
        if encoder is not None:
            encoder.train()
        try:
            with _mixed(device):
                losses = [self._episode_loss(batch, e) for e in range(len(batch["kinds"]))]
        finally:
            if encoder is not None:
                encoder.eval()
        return torch.stack(losses).mean()

    def _episode_loss(self, batch: dict[str, Any], episode: int) -> Tensor:
        references = [
            EncodedReference(
                self._seen(image), mask, 1, kind, frame=number, ignored=ignored, image=image
            )
            for number, (image, mask, ignored, kind) in enumerate(
                zip(
                    batch["references"][episode],
                    batch["reference_masks"][episode],
                    batch["reference_ignored"][episode],
                    batch["kinds"][episode],
                    strict=True,
                )
            )
        ]
        prepared = self._prepared(references)
        losses = []
        for image, ground_truth, valid in zip(
            batch["targets"][episode],
            batch["target_masks"][episode],
            batch["valid"][episode],
            strict=True,
        ):
            features = self._seen(image)
            logits = self.model.decode(features, self.model.prompt(features, [prepared]))
            losses.append(segmentation_loss(logits.float(), ground_truth[None], valid[None]))
        return torch.stack(losses).mean()

    def _seen(self, image: Tensor) -> FrameFeatures:
        if self._lora:
            return self.model.features(image[None])
        with _exact(image.device):  # as it is encoded later
            return self.encode(image)

    def _prepared(self, references: Sequence[EncodedReference]) -> PreparedClass:
        """As the model prepares a class; of the ensemble of probes only the linear one."""
        if self.model.pseudo_mask == "correlation":
            return self.model.prepare(references)[0]
        device = references[0].mask.device
        with torch.no_grad(), _exact(device):
            plain = [replace(r, features=_single(r.features)) for r in references]
            shots = complete_shots([canvas_shot(r, plain) for r in plain], PROBE_RECIPE)
            probe = fit_linear_probe(shots, PROBE_RECIPE)
        pseudo_mask = partial(_probability, probe=probe)
        return PreparedClass(
            1, len(references), pseudo_mask, self.model.encode_references(references)
        )

    @torch.no_grad()
    def evaluation(
        self, references: Sequence[EncodedReference], frames: Sequence[Tensor]
    ) -> FullSizeEvaluation:
        """Fit the probes."""
        return FullSizeEvaluation(self, references, frames, again=self._lora)

    def card(self) -> dict[str, str]:
        """Kind, and what it was trained with."""
        card = {
            "kind": "vrp-encoder",
            "sam": self.model.name,
            "semantic_encoder": self._semantic_encoder,
        }
        if self.model.vrp_encoder is not None:
            card |= self.model.vrp_encoder.as_metadata()
        return card

    def tensors(self) -> dict[str, Tensor]:
        """All that was ever trained of this model."""
        tensors: dict[str, Tensor] = {}
        if self.model.vrp_encoder is not None:
            tensors |= self.model.vrp_encoder.state_dict()
        decoder = self.model.sam.mask_decoder.state_dict()
        tensors |= {MASK_DECODER + name: tensor for name, tensor in decoder.items()}
        additions = dict(self.model.additions)
        if self._lora:
            additions = merge_lora(additions, self._new_additions())
        return tensors | {IMAGE_ENCODER + name: tensor for name, tensor in additions.items()}

    def _new_additions(self) -> dict[str, Tensor]:
        """LoRA's matrices, its scale multiplied in."""
        additions = {}
        for name, layer in self.model.sam.image_encoder.named_modules():
            if hasattr(layer, "lora_A"):
                scale = layer.scaling[ADAPTER]
                additions[name + LORA_A] = layer.lora_A[ADAPTER].weight.detach()
                additions[name + LORA_B] = scale * layer.lora_B[ADAPTER].weight.detach()
        return additions


class FullSizeEvaluation:
    """Implements `Evaluation`: probes are fitted once, unless the image encoder changes."""

    def __init__(
        self,
        subject: TunableFullSizeModel,
        references: Sequence[EncodedReference],
        frames: Sequence[Tensor],
        *,
        again: bool,
    ) -> None:
        self._subject, self._references, self._frames = subject, references, frames
        self._again = again
        self._prepared = subject.model.prepare(references)

    @torch.no_grad()
    def logits(self) -> list[Tensor]:
        """Of each frame, shape (K, Y, X)."""
        model = self._subject.model
        if self._again:
            references = self._encoded_again()
            prepared = model.prepare(references)
        else:
            prepared = tuple(
                replace(
                    one,
                    encoding=model.encode_references(
                        [r for r in self._references if r.class_id == one.class_id]
                    ),
                )
                for one in self._prepared
            )
        logits = []
        for frame in self._frames:
            features = self._subject.encode(frame)
            logits.append(model.decode(features, model.prompt(features, prepared)))
        return logits

    def _encoded_again(self) -> list[EncodedReference]:
        encoded: dict[int | None, FrameFeatures] = {}
        for r in self._references:
            if r.frame not in encoded:
                assert r.image is not None
                encoded[r.frame] = self._subject.encode(r.image)
        return [replace(r, features=encoded[r.frame]) for r in self._references]


def _with_lora(image_encoder: nn.Module, rank: int) -> dict[str, nn.Parameter]:
    """Add low-rank matrices to the attention of a ViT; what learns, by name."""
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


def _mixed(device: torch.device) -> AbstractContextManager[Any]:
    """Half of the memory and time where it is safe: on GPUs that know bfloat16."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()


def _exact(device: torch.device) -> AbstractContextManager[Any]:
    """Single precision in the midst of it: what is fitted in closed form needs it."""
    return torch.autocast("cuda", enabled=False) if device.type == "cuda" else nullcontext()


def _single(features: FrameFeatures) -> FrameFeatures:
    """Features in single precision, without gradients."""
    return FrameFeatures(
        features.size,
        features.embedding.detach().float(),
        tuple(m.detach().float() for m in features.semantic),
    )


def _probability(features: FrameFeatures, *, probe: Any) -> Tensor:
    with _exact(features.embedding.device):
        return probe_probability(_single(features), probe=probe)
