"""`lite` as it is tuned: its backbone stays, so probes are fitted once and serve all the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from napari_vrp_sam.annotations.labels import class_ids_of
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.data.annotated_frames import AnnotatedFrame
from napari_vrp_sam.fine_tuning.data.episodes import episode_stream
from napari_vrp_sam.fine_tuning.job import TrainableParts
from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.models.base import EncodedReference, FrameFeatures
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.lite.calibration import choose
from napari_vrp_sam.models.lite.decoder_share import decoder_share
from napari_vrp_sam.models.lite.model import LiteModel, PreparedClass
from napari_vrp_sam.models.probe.encoded_shots import shot_of
from napari_vrp_sam.training.episodes import EpisodeStream
from napari_vrp_sam.training.lite_file import lite_header, half_precision_weights
from napari_vrp_sam.training.objective import episodic_loss


class TunableLite:
    """Implements `TunableModel`.

    Parameters
    ----------
    model : LiteModel
        Changed in place.
    parts : {"decoder", "vrp-encoder"}
    recipe : FineTuningRecipe

    Raises
    ------
    InputError
        If `lite` has no such parts.
    """

    trains_on_all_frames = False

    def __init__(self, model: LiteModel, parts: TrainableParts, recipe: FineTuningRecipe) -> None:
        if parts == "lora":
            raise InputError(
                "LoRA changes the image encoder of a full-size model, and 'lite' has none: choose "
                "'decoder', or another model."
            )
        self.model = model
        self._network = model.network
        self._recipe = recipe
        prefix = "vrp_encoder." if parts == "vrp-encoder" else ""
        self.parameters: dict[str, nn.Parameter] = {
            name: parameter
            for name, parameter in self._network.named_parameters()
            if name.startswith(prefix) and not name.startswith("backbone.")
        }
        for parameter in self.parameters.values():
            parameter.requires_grad = True

    def rate(self, name: str) -> float:  # noqa: ARG002 # one for all
        """Highest learning rate of a parameter."""
        return self._recipe.learning_rate

    def stream(self, frames: Sequence[AnnotatedFrame], steps: int, seed: int) -> EpisodeStream:
        """Episodes of the frames, and some of synthetic worlds."""
        return episode_stream(frames, steps, seed, self._recipe, crop=self._recipe.size)

    def loss(self, batch: dict[str, Any]) -> Tensor:
        """The paper's loss on the targets."""
        self._network.train()
        try:
            return episodic_loss(self._network, batch)[0]
        finally:
            self._network.eval()

    def calibrate(self, examine: Callable[[], float]) -> float:
        """Nothing is left to be chosen."""
        return examine()

    def encode(self, frame: Tensor) -> FrameFeatures:
        """Encode a frame of shape (3, Y, X)."""
        return self.model.encode(frame[None])

    @torch.no_grad()
    def evaluation(
        self, references: Sequence[EncodedReference], frames: Sequence[Tensor]
    ) -> LiteEvaluation:
        """Fit the probes, and encode the frames."""
        prepared = []
        for class_id in class_ids_of(references):
            shots = [shot_of(r, references) for r in references if r.class_id == class_id]
            conditioning = self._network.condition(shots, effort=self._recipe.exam_effort)
            choice = ClassCalibration(0.0)
            if self._recipe.exam_choices:
                choice = choose(self._network, conditioning)
            prepared.append(PreparedClass(class_id, conditioning, choice, ()))
        return LiteEvaluation(self.model, prepared, [self.encode(frame) for frame in frames])

    def card(self) -> dict[str, str]:
        """Kind and sizes."""
        return lite_header(self._network)

    def tensors(self) -> dict[str, Tensor]:
        """All weights, in half precision."""
        return half_precision_weights(self._network)


class LiteEvaluation:
    """Implements `Evaluation`: what stems from the backbone is kept, the rest is made anew."""

    def __init__(
        self,
        model: LiteModel,
        prepared: Sequence[PreparedClass],
        frames: Sequence[FrameFeatures],
    ) -> None:
        self._model = model
        self._prepared = prepared
        self._frames = frames

    @torch.no_grad()
    def logits(self) -> list[Tensor]:
        """Of each frame, shape (K, Y, X)."""
        prepared = [self._renewed(one) for one in self._prepared]
        logits = []
        for features in map(self._reembedded, self._frames):
            prompts = self._model.prompt(features, prepared)
            logits.append(self._model.decode(features, prompts))
        return logits

    def _renewed(self, prepared: PreparedClass) -> PreparedClass:
        """The class as the present weights see it; smoothing and threshold are the probe's."""
        network, old = self._model.network, prepared.conditioning
        shots = tuple(replace(s, features=self._reembedded(s.features)) for s in old.shots)
        conditioning = replace(old, shots=shots, encodings=network.encodings(shots))
        share = decoder_share(network, conditioning)
        choice = replace(prepared.choice, decoder_share=share)
        return replace(prepared, conditioning=conditioning, choice=choice)

    def _reembedded(self, features: FrameFeatures) -> FrameFeatures:
        return replace(features, embedding=self._model.network.neck(features.semantic))
