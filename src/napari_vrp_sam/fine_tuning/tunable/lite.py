"""Fine-tuning of `lite` with a frozen backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from napari_vrp_sam.annotations.labels import class_ids_of
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.data.annotated_frames import AnnotatedFrame
from napari_vrp_sam.fine_tuning.data.episodes import episode_stream
from napari_vrp_sam.fine_tuning.job import NO_LORA, TrainableParts
from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.fine_tuning.tunable.base import TunableModel
from napari_vrp_sam.inference.prediction.caches.feature_cache import digest
from napari_vrp_sam.models.base import EncodedReference, FrameFeatures
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.lite.calibration import calibrate_class, decoder_share
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.lite.network import Conditioning, LiteNetwork
from napari_vrp_sam.models.lite.prepared_class import PreparedClass
from napari_vrp_sam.models.lite.zoom import enlarge_reference
from napari_vrp_sam.models.probe.encoded_shots import shot_from_reference
from napari_vrp_sam.training.episodes import EpisodeStream
from napari_vrp_sam.training.lite_file import half_precision_weights, lite_header
from napari_vrp_sam.training.objective import encode_episodes, loss_on_targets


@dataclass(frozen=True, eq=False)
class _EncodedEpisode:
    """Prepared references and encoded targets of an episode, without trained parts."""

    conditioning: Conditioning
    targets: Sequence[FrameFeatures]


class TunableLite(TunableModel):
    """`lite` with a frozen backbone, changed in place."""

    model: LiteModel

    def __init__(self, model: LiteModel, parts: TrainableParts, recipe: FineTuningRecipe) -> None:
        if parts == "lora":
            raise InputError(NO_LORA)
        self.model = model
        self._network = model.network
        self._recipe = recipe
        self._episodes: dict[bytes, _EncodedEpisode] = {}
        prefix = "vrp_encoder." if parts == "vrp-encoder" else ""
        self.parameters = {
            name: parameter
            for name, parameter in self._network.named_parameters()
            if name.startswith(prefix) and not name.startswith("backbone.")
        }
        for parameter in self.parameters.values():
            parameter.requires_grad = True

    def learning_rate(self, _name: str) -> float:
        """Return the peak learning rate, the same for all parameters."""
        return self._recipe.learning_rate

    def stream(self, frames: Sequence[AnnotatedFrame], seed: int) -> EpisodeStream:
        """Return batches of episodes of the frames and of synthetic scenes."""
        low, high = self._recipe.zoom
        recipe = replace(self._recipe, zoom=(self.model.zoom * low, self.model.zoom * high))
        return episode_stream(frames, seed, recipe, side=recipe.size, pool=recipe.lite_pool)

    def loss(self, batch: dict[str, Any]) -> Tensor:
        """Return the paper's loss on the targets, averaged over the episodes."""
        count = len(batch["kinds"])
        self._network.train()
        try:
            losses = [self._episode_loss(select_episode(batch, number)) for number in range(count)]
        finally:
            self._network.eval()
        return torch.stack(losses).mean()

    def _episode_loss(self, batch: dict[str, Any]) -> Tensor:
        """Return the loss of one episode, of which only the trained parts are computed again."""
        encoded = self._encode_episode(batch)
        conditioning = replace(
            encoded.conditioning,
            encodings=self._network.encode_references(encoded.conditioning.shots),
        )
        targets = [embed(self._network, target) for target in encoded.targets]
        return loss_on_targets(self._network, conditioning, targets, batch)[0]

    @torch.no_grad()
    def _encode_episode(self, batch: dict[str, Any]) -> _EncodedEpisode:
        """Compute what does not depend on the trained parts, or return it from memory."""
        key = digest(*(batch[name].cpu().numpy() for name in ("references", "targets")))
        encoded = self._episodes.get(key)
        if encoded is None:
            device = batch["references"].device
            # Dropout must draw the same numbers whether or not the episode is in memory.
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                conditioning, targets = encode_episodes(self._network, batch)
            encoded = _EncodedEpisode(conditioning, targets)
            self._episodes[key] = encoded
        return encoded

    @torch.no_grad()
    def evaluation(
        self, references: Sequence[EncodedReference], frames: Sequence[Tensor]
    ) -> LiteEvaluation:
        """Fit the probes and encode the frames, once."""
        references = [enlarge_reference(r, self.model.zoom) for r in references]
        prepared = []
        for class_id in class_ids_of(references):
            shots = [
                shot_from_reference(r, references) for r in references if r.class_id == class_id
            ]
            conditioning = self._network.condition(shots, effort=self._recipe.exam_effort)
            calibration = ClassCalibration(0.0)
            if self._recipe.exam_choices:
                calibration = calibrate_class(self._network, conditioning)
            prepared.append(PreparedClass(class_id, conditioning, calibration, ()))
        return LiteEvaluation(self.model, prepared, [self.encode(frame) for frame in frames])

    def card(self) -> dict[str, str]:
        """Return kind and sizes."""
        return lite_header(self._network)

    def tensors(self) -> dict[str, Tensor]:
        """Return all weights, in half precision."""
        return half_precision_weights(self._network)


@dataclass(eq=False)
class LiteEvaluation:
    """Fixed probes and backbone features, decoded again each time. Implements `Evaluation`."""

    model: LiteModel
    prepared: Sequence[PreparedClass]
    frames: Sequence[FrameFeatures]

    @torch.no_grad()
    def logits(self) -> list[Tensor]:
        """Return the logits of each frame, shape (K, Y, X)."""
        prepared = [self._update(one) for one in self.prepared]
        logits = []
        for features in map(self._embed, self.frames):
            prompts = self.model.prompt(features, prepared)
            logits.append(self.model.decode(features, prompts))
        return logits

    def _update(self, prepared: PreparedClass) -> PreparedClass:
        """Recompute what the trained weights determine; smoothing and offset are the probe's."""
        network, old = self.model.network, prepared.conditioning
        shots = tuple(replace(s, features=self._embed(s.features)) for s in old.shots)
        conditioning = replace(old, shots=shots, encodings=network.encode_references(shots))
        share = decoder_share(network, conditioning)
        calibration = replace(prepared.calibration, decoder_share=share)
        return replace(prepared, conditioning=conditioning, calibration=calibration)

    def _embed(self, features: FrameFeatures) -> FrameFeatures:
        return embed(self.model.network, features)


def embed(network: LiteNetwork, features: FrameFeatures) -> FrameFeatures:
    """Compute the image embedding from the maps of the backbone, with the current neck."""
    return replace(features, embedding=network.neck(features.semantic))


def select_episode(batch: dict[str, Any], number: int) -> dict[str, Any]:
    """Return a batch of one episode of a batch."""
    chosen = slice(number, number + 1)
    return {
        name: value[chosen] if isinstance(value, (Tensor, list)) else value
        for name, value in batch.items()
    }
