"""`lite`: the default model, small enough for a laptop."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.base import (
    MARK_KINDS,
    EncodedReference,
    FrameFeatures,
    GridPosition,
    Masks,
    Model,
    Prompts,
)
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.decision import follow_edges
from napari_vrp_sam.models.heads.share import add_head, calibrate_model_head
from napari_vrp_sam.models.lite import tile_tokens, zoom
from napari_vrp_sam.models.lite.calibration import calibrate_class, decoder_share
from napari_vrp_sam.models.lite.dense_head import LiteHead, read_head
from napari_vrp_sam.models.lite.network import Conditioning, LiteNetwork
from napari_vrp_sam.models.lite.parts import INTENSITIES, PROBE_RECIPE, LiteConfig
from napari_vrp_sam.models.lite.prepared_class import PreparedClass, correlation_reference
from napari_vrp_sam.models.lite.scenes import (
    decoder_shares,
    describe_scene,
    plain_weight,
    similarity,
)
from napari_vrp_sam.models.padding import resize_to_frame
from napari_vrp_sam.models.precision import mixed_precision
from napari_vrp_sam.models.probe.encoded_shots import shot_from_reference, shots_with_class
from napari_vrp_sam.models.probe.look_alikes import most_look_alikes
from napari_vrp_sam.models.probe.pseudo_labels import completed_mask
from napari_vrp_sam.models.vrp.pseudo_mask import PseudoMaskKind, check_pseudo_mask
from napari_vrp_sam.models.weights.catalogue import DENSE_HEAD_PREFIX
from napari_vrp_sam.models.weights.checkpoints import Checkpoint, load_tensors


class LiteModel(nn.Module, Model):
    """The `lite` model, always in evaluation mode.

    Parameters
    ----------
    network : LiteNetwork, optional
        Default: an untrained one.
    pseudo_mask : {"probe", "correlation"}
        Source of the pseudo-mask: the probe, or the paper's training-free correlation.
    decoder_share : float, optional
        Share of the mask decoder's logits in the result, 0..1; the pseudo-mask has the rest.
        Default: estimated for each class, with the offset; see `calibrate_class`.
    head : LiteHead, optional
        Head of a fine-tuned model.

    Attributes
    ----------
    precision : {"auto", "float32", "bfloat16", "float16"}
        Number format of encoder and decoder; "auto" is float16 on CUDA devices. Outputs are in
        single precision, and so is the fitting of probes.

    Raises
    ------
    InputError
        If the pseudo-mask is unknown.
    """

    name = "lite"
    best_threshold = True
    uses_effort = True
    estimated_side = zoom.MAX_SIDE
    uses_cuda_graphs = True

    def __init__(
        self,
        network: LiteNetwork | None = None,
        *,
        pseudo_mask: PseudoMaskKind = "probe",
        decoder_share: float | None = None,
        head: LiteHead | None = None,
    ) -> None:
        super().__init__()
        self.network = (network or LiteNetwork()).requires_grad_(requires_grad=False)
        self.pseudo_mask = check_pseudo_mask(pseudo_mask)
        self.decoder_share = decoder_share
        self.head = head
        self.eval()

    @classmethod
    def from_checkpoint(
        cls, checkpoint: Checkpoint, *, pseudo_mask: PseudoMaskKind = "probe"
    ) -> LiteModel:
        """Build the model from the content of a weights file.

        Raises
        ------
        InputError
            If the file belongs to another model, or is damaged.
        """
        try:
            config = LiteConfig.from_metadata(checkpoint.metadata)
        except ValueError as error:
            raise InputError(
                f"The weights file of 'lite' is damaged ({error}): replace it."
            ) from error
        network = LiteNetwork(config)
        # Files are in half precision; CPUs compute in single precision.
        tensors = {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in checkpoint.tensors.items()
        }
        names = [name for name in tensors if name.startswith(DENSE_HEAD_PREFIX)]
        head_tensors = {name: tensors.pop(name) for name in names}
        load_tensors(network, tensors, source="The weights file of 'lite'")
        head = read_head(head_tensors, checkpoint.metadata) if head_tensors else None
        return cls(network, pseudo_mask=pseudo_mask, head=head)

    @property
    def uses_frame_context(self) -> bool:
        """See the base class; the context is that of frames that are not enlarged."""
        return self.zoom == 1

    @property
    def encoding_key(self) -> str:
        """See the base class."""
        return "" if self.zoom == 1 else f"zoom {self.zoom}"

    def adapt(self, masks: Masks, estimated: Masks = ()) -> None:
        """Enlarge small frames with thin objects; see `zoom`."""
        self.zoom = zoom.choose_zoom(masks, estimated)

    @torch.no_grad()
    def estimate_masks(self, references: Sequence[EncodedReference]) -> list[NDArray[np.bool_]]:
        """See the base class; each reference is completed on its own, as for the probes."""
        marked = [shot_from_reference(r, references) for r in references if r.kind in MARK_KINDS]
        return [completed_mask(shot, PROBE_RECIPE) for shot in marked]

    @torch.no_grad()
    def encode(self, frames: Tensor) -> FrameFeatures:
        """Encode frames of shape (B, 3, H, W), float32 in 0..1.

        With a dense head, its logits are the last of the semantic maps. The features have the size
        of the enlarged frames; see `adapt`.
        """
        small, frames = frames, zoom.enlarge(frames, self.zoom)
        # Channels-last saves about a fifth of the backbone's time on a CPU.
        frames = frames.contiguous(memory_format=torch.channels_last)
        with self._precision(frames):
            features = self.network.encode(frames)
            head_maps = () if self.head is None else (self.head.segment(small),)
        maps = tuple(m.float() for m in (*features.semantic, *head_maps))
        return FrameFeatures(features.size, features.embedding.float(), maps)

    @torch.no_grad()
    def prepare(self, references: Sequence[EncodedReference]) -> list[PreparedClass]:
        """Fit the probe, encode the references and calibrate, class by class.

        With an `effort` below 1, the probe is fitted faster (see `LiteNetwork.condition`), and
        offset and expected IoU are not estimated.
        """
        given = references
        references = [zoom.enlarge_reference(r, self.zoom) for r in given]
        prepared = []
        for class_id in sorted({r.class_id for r in references}):
            of_class = [r for r in references if r.class_id == class_id]
            shots = [shot_from_reference(r, references) for r in of_class]
            conditioning = self.network.condition(shots, effort=self.effort)
            shown = shots_with_class(shots) if self.pseudo_mask == "correlation" else ()
            scenes = None
            if self.decoder_share is None:
                calibration = self._calibrate(conditioning)
                if not shown and not any(shot.incomplete for shot in shots):
                    scenes = torch.stack([describe_scene(r.features) for r in of_class])
                found = most_look_alikes(of_class, shots, PROBE_RECIPE)
                calibration = replace(calibration, look_alikes=found)
            else:
                calibration = ClassCalibration(self.decoder_share)
            correlated = tuple(correlation_reference(self.network, shot) for shot in shown)
            one = PreparedClass(class_id, conditioning, calibration, correlated, scenes)
            if self.head is not None:
                marked = [r for r in given if r.class_id == class_id]
                calibration = calibrate_model_head(self, self.head, one, marked)
            # Features of large references and their views take a gigabyte of memory.
            released = replace(conditioning, shots=(), views=())
            prepared.append(replace(one, conditioning=released, calibration=calibration))
        return prepared

    def _calibrate(self, conditioning: Conditioning) -> ClassCalibration:
        if self.effort < 1:  # the cross-validation takes as long as everything else
            return ClassCalibration(decoder_share(self.network, conditioning))
        return calibrate_class(self.network, conditioning)

    def calibrations(self, prepared: Sequence[PreparedClass]) -> dict[int, ClassCalibration]:
        """Return the calibration of each prepared class, by class."""
        return {c.class_id: c.used_calibration for c in prepared}

    def prompt(self, features: FrameFeatures, prepared: Sequence[PreparedClass]) -> Prompts:
        """Return the prompts of every prepared class for one frame."""
        return self._prompt(features, prepared, describe_scene(features))

    def prompt_tile(
        self,
        features: FrameFeatures,
        prepared: Sequence[PreparedClass],
        frame_context: tuple[tile_tokens.FrameContext, GridPosition],
    ) -> Prompts:
        """See the base class."""
        # Another scene in each tile would be seen at the seams.
        prompts = self._prompt(features, prepared, frame_context[0].scene)
        return replace(prompts, frame_context=frame_context)

    @torch.no_grad()
    def _prompt(
        self, features: FrameFeatures, prepared: Sequence[PreparedClass], scene: Tensor
    ) -> Prompts:
        similarities = tuple(similarity(scene, c.scenes) for c in prepared)
        with self._precision(features.embedding):
            prompts = [
                self.network.prompt(
                    features, c.conditioning, c.correlation(features), plain_weight(similar)
                )
                for c, similar in zip(prepared, similarities, strict=True)
            ]
        sparse, dense, pseudo_masks = (
            [tensor.float() for tensor in tensors] for tensors in zip(*prompts, strict=True)
        )
        return Prompts(
            tuple(c.class_id for c in prepared),
            tile_tokens.stack_tokens(sparse),
            torch.cat(dense),
            torch.cat(pseudo_masks),
            tuple(c.used_calibration for c in prepared),
            similarities=similarities,
        )

    @torch.no_grad()
    def decode(self, features: FrameFeatures, prompts: Prompts) -> Tensor:
        """Return mask logits of shape (K, H, W), mixed as the calibrations say."""
        pseudo_masks = prompts.pseudo_mask
        assert pseudo_masks is not None  # `prompt` always sets it
        decoded = pseudo_masks
        if any(c.decoder_share for c in prompts.calibrations):
            with self._precision(pseudo_masks):
                if prompts.frame_context is None:
                    decoded, _ = self.network.decode(
                        features, prompts.sparse, prompts.dense, pseudo_masks
                    )
                else:
                    decoded = tile_tokens.decode_tile(
                        self.network, features, prompts.dense, pseudo_masks, *prompts.frame_context
                    )
            decoded = decoded.to(pseudo_masks)
        # Class by class with Python numbers: copying a tensor of them to the device would wait for
        # all kernels in its queue.
        shares = decoder_shares(prompts)
        each = zip(pseudo_masks, decoded, shares, prompts.calibrations, strict=True)
        mixed = [torch.lerp(base, mask, share) + c.offset for base, mask, share, c in each]
        edge_shares = [c.edge_share for c in prompts.calibrations]
        edged = follow_edges(torch.stack(mixed), features.semantic[INTENSITIES], edge_shares)
        logits = resize_to_frame(edged, features.size)[:, 0]
        return add_head(zoom.reduce_logits(logits, self.zoom), features, prompts.calibrations)

    @torch.no_grad()
    def tile_context(
        self,
        features: FrameFeatures,
        prepared: Sequence[PreparedClass],
        place: GridPosition,
        cells: tuple[slice, slice],
    ) -> tile_tokens.TileContext:
        """Return the keys and values of some cells of a tile."""
        prompts = self.prompt(features, prepared)
        conditionings = [c.conditioning for c in prepared]
        return tile_tokens.tile_context(
            self.network, features, prompts, conditionings, place, cells
        )

    @torch.no_grad()
    def frame_context(
        self, contexts: Sequence[tile_tokens.TileContext], prepared: Sequence[PreparedClass]
    ) -> tile_tokens.FrameContext:
        """Compute the tokens of a frame from the contexts of its tiles."""
        return tile_tokens.frame_context(self.network, contexts, [c.conditioning for c in prepared])

    def _precision(self, source: Tensor) -> AbstractContextManager[Any]:
        """Return the context for computations on the device of a tensor."""
        precision = self.precision
        if precision == "auto":
            # With bfloat16 eight times as many pixels change as with float16.
            precision = "float16" if source.is_cuda else "float32"
        return mixed_precision(source.device, precision)
