"""Prompting per object of a full-size model: its probe, calibration, prompts and masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from segment_anything.modeling import Sam
from torch import Tensor

from napari_vrp_sam.models.base import EncodedReference, FrameFeatures
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.probe.cross_validation import FOLD_EFFORT, Predict
from napari_vrp_sam.models.probe.encoded_shots import Shot, assign_folds
from napari_vrp_sam.models.probe.ensemble import fit_ensemble
from napari_vrp_sam.models.probe.probe import Probe
from napari_vrp_sam.models.probe.pseudo_labels import complete_shots
from napari_vrp_sam.models.sam.objects.prompts import (
    LOGIT_LIMIT,
    ObjectPrompts,
    class_candidates,
    merge_objects,
    sam_decoder,
)
from napari_vrp_sam.models.sam.objects.share import calibrate_share
from napari_vrp_sam.models.sam.probe import FINE_RECIPE, canvas_shot, probe_maps
from napari_vrp_sam.models.sam.square_canvas import extend_to_square, frame_cells


class ObjectPrompting:
    """Prompts per object for the mask decoder of a SAM.

    Parameters
    ----------
    sam : Sam
    """

    def __init__(self, sam: Sam) -> None:
        self.sam = sam

    @torch.no_grad()
    def prepare(
        self, class_references: Sequence[EncodedReference], references: Sequence[EncodedReference]
    ) -> tuple[Callable[[FrameFeatures], Tensor], ClassCalibration]:
        """Fit the probe of one class, and calibrate it; see `sam.probe.fit_probe`.

        Returns
        -------
        pseudo_mask : callable
            Function from the features of a frame to the probabilities of the class, shape
            (1, 1, h, w) on the grid of SAM's masks.
        ClassCalibration
        """
        shots = [canvas_shot(r, references) for r in class_references]
        completed = assign_folds(complete_shots(shots, FINE_RECIPE))
        probe = fit_ensemble(completed, FINE_RECIPE)
        calibration = calibrate_share(
            completed, self._learn, partial(_shot_logits, probe=probe), self._segment_shot
        )
        return partial(_probability, probe=probe), calibration

    def prompts(
        self, class_ids: tuple[int, ...], logits: Tensor, calibrations: Sequence[ClassCalibration]
    ) -> ObjectPrompts:
        """Return the prompts of K classes for pseudo-mask logits (K, 1, h, w) of a frame."""
        empty = logits.new_empty(len(class_ids), 0)
        candidates = class_candidates(logits, [c.decoder_share for c in calibrations])
        return ObjectPrompts(
            class_ids, empty, empty, logits, tuple(calibrations), candidates=candidates
        )

    def decode(self, features: FrameFeatures, prompts: ObjectPrompts) -> Tensor:
        """Return logits (K, 1, h, w) of the probe and the objects, mixed as calibrated."""
        base = prompts.pseudo_mask
        assert base is not None
        base = base.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
        visible = (base.shape[-2], base.shape[-1])
        decode = sam_decoder(self.sam, features, visible)
        decoded = merge_objects(base, prompts.candidates, decode)
        return torch.stack(
            [
                torch.lerp(one, objects, c.decoder_share) + c.offset
                for one, objects, c in zip(base, decoded, prompts.calibrations, strict=True)
            ]
        )

    def _segment_shot(self, shot: Shot, logits: Tensor) -> Tensor:
        """Return the merged logits of the objects on a shot, with share 1."""
        rows, columns = frame_cells(shot.features.size, logits)
        prompts = self.prompts((1,), logits[..., :rows, :columns], [ClassCalibration(1.0)])
        return extend_to_square(self.decode(shot.features, prompts))

    def _learn(self, shots: Sequence[Shot], views: Sequence[Shot]) -> Predict:
        return partial(
            _shot_logits, probe=fit_ensemble(shots, FINE_RECIPE, views, effort=FOLD_EFFORT)
        )


def _shot_logits(shot: Shot, *, probe: Probe) -> Tensor:
    return _logits(shot.features, shot.maps, probe)


def _logits(features: FrameFeatures, maps: Sequence[Tensor], probe: Probe) -> Tensor:
    # The grid of SAM's masks.
    size = (4 * features.embedding.shape[-2], 4 * features.embedding.shape[-1])
    return probe.logits(maps, size).clamp(-LOGIT_LIMIT, LOGIT_LIMIT)


def _probability(features: FrameFeatures, *, probe: Probe) -> Tensor:
    return _logits(features, probe_maps(features), probe).sigmoid()
