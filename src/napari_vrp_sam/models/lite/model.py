"""`lite`: the default model, small enough for a laptop, one backbone for both encoders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.base import EncodedReference, FrameFeatures, GridPosition, Model, Prompts
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.lite.calibration import choose, smoothed
from napari_vrp_sam.models.lite.decoder_share import MAX_REFERENCES
from napari_vrp_sam.models.lite.dense_head import DenseHead, full_size
from napari_vrp_sam.models.lite.dense_head_file import read_head
from napari_vrp_sam.models.lite.head_share import calibrate_head, mixed
from napari_vrp_sam.models.lite.network import (
    LOGIT_LIMIT,
    PADDING,
    Conditioning,
    LiteNetwork,
)
from napari_vrp_sam.models.lite.parts import LiteConfig
from napari_vrp_sam.models.lite.tile_tokens import (
    FrameContext,
    TileContext,
    decode_tile,
    equally_many,
    glimpse,
    overview,
)
from napari_vrp_sam.models.precision import Precision
from napari_vrp_sam.models.precision import mixed as computed_in
from napari_vrp_sam.models.probe.encoded_shots import Shot, shot_of, showing
from napari_vrp_sam.models.vrp.feature_augmenter import mask_on_grid
from napari_vrp_sam.models.vrp.pseudo_mask import PseudoMaskKind, check_pseudo_mask, correlation
from napari_vrp_sam.models.weights.catalogue import HEAD_PREFIX
from napari_vrp_sam.models.weights.checkpoints import Checkpoint, load_tensors


@dataclass(frozen=True, eq=False)
class PreparedClass:
    """What the references of one class say."""

    class_id: int
    conditioning: Conditioning
    choice: ClassCalibration
    deepest: tuple[tuple[Tensor, Tensor], ...]
    """Masked deepest features and mask of each reference, for the correlation pseudo-mask."""


class LiteModel(Model):
    """The `lite` model; implements `models.types.Model`.

    Parameters
    ----------
    network : LiteNetwork, optional
        An untrained one unless given.
    pseudo_mask : {"probe", "correlation"}
        What tells the VRP encoder and the mask decoder where the class may be: the probe, or the
        paper's training-free correlation.
    decoder_share : float, optional
        Share of the mask decoder's logits in the result, 0..1; the rest is the pseudo-mask's.
        Unless given it is chosen for each class on the annotated frames, and smoothing and
        offset with it; see `evidence`.
    head : DenseHead, optional
        What a fine-tuning has added.

    Attributes
    ----------
    precision : {"auto", "float32", "bfloat16", "float16"}
        What frames are encoded, prompted and decoded in; "auto" is float16 on a CUDA device. What
        is handed on is in single precision always, and so is learning.
    compiled : bool
        Nothing of this model is compiled.

    Raises
    ------
    InputError
        If the pseudo-mask is unknown.
    """

    name = "lite"
    sees_whole_frame = True
    uses_cuda_graphs = (
        True  # a thousand small kernels a frame: starting them takes longer than they do
    )

    def __init__(
        self,
        network: LiteNetwork | None = None,
        *,
        pseudo_mask: PseudoMaskKind = "probe",
        decoder_share: float | None = None,
        head: DenseHead | None = None,
    ) -> None:
        self.network = (network or LiteNetwork()).eval().requires_grad_(requires_grad=False)
        self.pseudo_mask = check_pseudo_mask(pseudo_mask)
        self.decoder_share = decoder_share
        self.head = None if head is None else head.eval()
        self.precision: Precision = "auto"
        self.compiled = False

    @classmethod
    def from_checkpoint(
        cls, checkpoint: Checkpoint, *, pseudo_mask: PseudoMaskKind = "probe"
    ) -> LiteModel:
        """Build the model that a weights file holds.

        Raises
        ------
        InputError
            If the file is of another model.
        """
        try:
            config = LiteConfig.from_metadata(checkpoint.metadata)
        except ValueError as error:
            raise InputError(f"The weights file of 'lite' is damaged: {error}.") from error
        network = LiteNetwork(config)
        # Half precision on disk only: processors compute in single precision.
        tensors = {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in checkpoint.tensors.items()
        }
        names = [name for name in tensors if name.startswith(HEAD_PREFIX)]
        of_head = {name: tensors.pop(name) for name in names}
        load_tensors(network, tensors, source="The weights file of 'lite'")
        head = read_head(of_head, checkpoint.metadata) if of_head else None
        return cls(network, pseudo_mask=pseudo_mask, head=head)

    def to(self, device: torch.device | str) -> LiteModel:
        """Move the network; features and prompts follow it."""
        self.network.to(device)
        if self.head is not None:
            self.head.to(device)
        return self

    training = False  # always in evaluation mode

    def eval(self) -> LiteModel:
        """Return the model itself."""
        return self

    def parameters(self) -> Iterator[Tensor]:
        """Iterate over the weights."""
        yield from self.network.parameters()
        if self.head is not None:
            yield from self.head.parameters()

    @torch.no_grad()
    def encode(self, frames: Tensor) -> FrameFeatures:
        """Encode frames of shape (B, 3, H, W), float32 in 0..1.

        Where there is a dense head, its logits are the last of the maps.
        """
        # Channels-last saves about a fifth of the backbone's time on a CPU.
        frames = frames.contiguous(memory_format=torch.channels_last)
        with self._arithmetic(frames):
            features = self.network.encode(frames)
            semantic = features.semantic
            if self.head is not None:
                semantic = (*semantic, self.head(frames))
        return FrameFeatures(
            features.size, features.embedding.float(), tuple(m.float() for m in semantic)
        )

    @torch.no_grad()
    def prepare(self, references: Sequence[EncodedReference]) -> list[PreparedClass]:
        """Fit the probe and encode the references, class by class."""
        prepared = []
        for class_id in sorted({r.class_id for r in references}):
            own = [r for r in references if r.class_id == class_id]
            shots = [shot_of(r, references) for r in own]
            conditioning = self.network.condition(shots)
            shown = showing(shots) if self.pseudo_mask == "correlation" else ()
            deepest = tuple(map(self._deepest, shown))
            share = self.decoder_share
            choice = (
                choose(self.network, conditioning) if share is None else ClassCalibration(share)
            )
            one = PreparedClass(class_id, conditioning, choice, deepest)
            if self.head is not None:
                one = self._headed(one, self.head, own)
            # Features of references and of their views are a gigabyte where these are large.
            learned = replace(conditioning, shots=(), views=())
            prepared.append(replace(one, conditioning=learned))
        return prepared

    def calibrations(self, prepared: Sequence[PreparedClass]) -> dict[int, ClassCalibration]:
        """How the result of each class is put together, by class."""
        return {c.class_id: self._choice(c) for c in prepared}

    @torch.no_grad()
    def prompt(self, features: FrameFeatures, prepared: Sequence[PreparedClass]) -> Prompts:
        """Prompts of all classes for one frame."""
        with self._arithmetic(features.embedding):
            parts = [
                self.network.prompt(features, c.conditioning, self._correlation(features, c))
                for c in prepared
            ]
        return Prompts(
            tuple(c.class_id for c in prepared),
            equally_many([sparse.float() for sparse, _, _ in parts]),
            torch.cat([dense.float() for _, dense, _ in parts]),
            torch.cat([pseudo.float() for _, _, pseudo in parts]),
            tuple(map(self._choice, prepared)),
        )

    @torch.no_grad()
    def decode(self, features: FrameFeatures, prompts: Prompts) -> Tensor:
        """Mask logits of shape (K, H, W): the mask decoder's mixed with the pseudo-mask's."""
        logits = prompts.pseudo_mask
        assert logits is not None  # `prompt` always makes one
        decoded = logits
        if any(choice.decoder_share for choice in prompts.calibrations):
            with self._arithmetic(logits):
                decoded = self._decoded(features, prompts, logits).float()
        # Class by class with plain numbers: a tensor of them would have to be copied to the device,
        # which waits for all that is under way there.
        logits = torch.stack(
            [
                smoothed(torch.lerp(own, drawn, choice.decoder_share)[None], choice.smoothing)[0]
                + choice.offset
                for own, drawn, choice in zip(
                    logits, decoded.to(logits), prompts.calibrations, strict=True
                )
            ]
        )
        height, width = features.size
        padded = (height + -height % PADDING, width + -width % PADDING)
        full = F.interpolate(logits, padded, mode="bilinear", align_corners=False)
        return self._with_head(full[:, 0, :height, :width], features, prompts.calibrations)

    def _arithmetic(self, given: Tensor) -> AbstractContextManager[Any]:
        """The precision, for what is computed from a tensor."""
        precision = self.precision
        if precision == "auto":
            # Of bfloat16's eight bits the masks show: eight times as many pixels change.
            precision = "float16" if given.is_cuda else "float32"
        return computed_in(given.device, precision)

    def _decoded(self, features: FrameFeatures, prompts: Prompts, logits: Tensor) -> Tensor:
        """The mask decoder's logits; of a tile with the tokens of its frame."""
        if prompts.whole is None:
            return self.network.decode(features, prompts.sparse, prompts.dense, logits)[0]
        return decode_tile(self.network, features, prompts.dense, logits, *prompts.whole)

    @torch.no_grad()
    def tile_context(
        self,
        features: FrameFeatures,
        prepared: Sequence[PreparedClass],
        place: GridPosition,
        cells: tuple[slice, slice],
    ) -> TileContext:
        """Look at some cells of a tile; see `tile_tokens`."""
        prompts = self.prompt(features, prepared)
        conditionings = [c.conditioning for c in prepared]
        return glimpse(self.network, features, prompts, conditionings, place, cells)

    @torch.no_grad()
    def frame_context(
        self, contexts: Sequence[TileContext], prepared: Sequence[PreparedClass]
    ) -> FrameContext:
        """Compute the tokens of a frame from what was seen of its tiles."""
        return overview(self.network, contexts, [c.conditioning for c in prepared])

    def _with_head(
        self, logits: Tensor, features: FrameFeatures, calibrations: Sequence[ClassCalibration]
    ) -> Tensor:
        """Logits (K, H, W) mixed with those of the dense head, as far as it counts."""
        if not any(choice.head_share for choice in calibrations):
            return logits
        return mixed(logits, full_size(features.semantic[-1], features.size)[0], calibrations)

    def _headed(
        self, prepared: PreparedClass, head: DenseHead, own: Sequence[EncodedReference]
    ) -> PreparedClass:
        """The class with the dense head, as far as that draws its references."""
        shown = [r for r in own if bool(r.mask.any())][:MAX_REFERENCES]
        bases = [self.decode(r.features, self.prompt(r.features, [prepared]))[0] for r in shown]
        return replace(prepared, choice=calibrate_head(prepared.choice, head, shown, bases))

    @staticmethod
    def _choice(prepared: PreparedClass) -> ClassCalibration:
        # Smoothing and offset were found for the probe.
        if not prepared.deepest:
            return prepared.choice
        return replace(prepared.choice, smoothing=0.0, offset=0.0, expected_iou=None)

    def _deepest(self, shot: Shot) -> tuple[Tensor, Tensor]:
        """Deepest features of the masked reference (paper, section 3.2), and the mask."""
        stage_3 = shot.features.semantic[3]
        mask = mask_on_grid(shot.mask[:, None], (stage_3.shape[-2], stage_3.shape[-1]))
        return self.network.deepest_stage(stage_3 * mask), mask

    def _correlation(self, features: FrameFeatures, prepared: PreparedClass) -> Tensor | None:
        """The correlation pseudo-mask as logits, where it is asked for."""
        if not prepared.deepest:
            return None
        height, width = features.embedding.shape[-2:]
        deepest = features.semantic[4]
        best = torch.stack([correlation(deepest, r, mask) for r, mask in prepared.deepest]).amax(0)
        logits = (best - 0.5) * LOGIT_LIMIT
        return F.interpolate(logits, (4 * height, 4 * width), mode="bilinear", align_corners=False)
