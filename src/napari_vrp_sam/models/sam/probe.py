"""Probe of full-size models: its feature maps and training data."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.base import EncodedReference, FrameFeatures
from napari_vrp_sam.models.probe.classical_features import intensities, structures
from napari_vrp_sam.models.probe.encoded_shots import (
    PROBE_STRIDE,
    Shot,
    excluded_pixels,
    make_shot,
)
from napari_vrp_sam.models.probe.ensemble import ProbeRecipe, fit_ensemble
from napari_vrp_sam.models.probe.probe import Probe
from napari_vrp_sam.models.probe.pseudo_labels import complete_shots
from napari_vrp_sam.models.sam.square_canvas import pad_to_square, repeat_border

PROBE_RECIPE = ProbeRecipe(linear=(0, 1, 2), perceptron=(0, 1, 2))
"""Probe that uses all maps of `probe_maps`."""

FINE_RECIPE = ProbeRecipe(linear=(0, 2, 3, 4), perceptron=(0, 1, 2, 3, 4), trees=(0, 1))
"""Probe that uses `fine_maps`, then those of `probe_maps`."""


FINE_LENGTH = 4
"""Number of semantic maps of features with fine maps."""


def fine_maps(canvas: Tensor) -> tuple[Tensor, Tensor]:
    """Return `intensities` and `structures` of frames on the canvas (B, 3, side, side)."""
    # Second derivatives are small differences of large numbers: never in half precision.
    with torch.autocast(canvas.device.type, enabled=False):
        return intensities(canvas.float()), structures(canvas.float())


def probe_maps(features: FrameFeatures) -> tuple[Tensor, ...]:
    """Return stages 2 and 3 of the semantic encoder and SAM's image embedding, finest first.

    If the features have fine maps, these come first.

    The border of the frame replaces the padding, which would otherwise blur into the frame when
    the maps are resized to a common grid.
    """
    maps = (*features.semantic[:2], features.embedding)
    # The order depends on the semantic encoder.
    finest_first = sorted(maps, key=lambda m: m.shape[-2] * m.shape[-1], reverse=True)
    fine = features.semantic[2:] if len(features.semantic) == FINE_LENGTH else ()
    return tuple(repeat_border(m, features.size) for m in (*fine, *finest_first))


@torch.no_grad()
def fit_probe(
    class_references: Sequence[EncodedReference], references: Sequence[EncodedReference]
) -> Probe:
    """Fit the probe of one class.

    Parameters
    ----------
    class_references : sequence of EncodedReference
        References of the class, on any number of frames.
    references : sequence of EncodedReference
        References of all classes; other classes on the same frame are background.
    """
    shots = [canvas_shot(r, references) for r in class_references]
    return fit_ensemble(complete_shots(shots, PROBE_RECIPE), PROBE_RECIPE)


@torch.no_grad()
def probe_probability(target: FrameFeatures, *, probe: Probe) -> Tensor:
    """Return the probability of the class on the grid of stage 3, shape (1, 1, h, w)."""
    height, width = target.semantic[1].shape[-2:]
    return probe.logits(probe_maps(target), (height, width)).sigmoid()


def canvas_shot(reference: EncodedReference, references: Sequence[EncodedReference]) -> Shot:
    """Return a reference on the square canvas, with other classes on its frame as background."""
    maps = probe_maps(reference.features)
    height, width = (PROBE_STRIDE * cells for cells in maps[0].shape[-2:])
    frame = torch.ones_like(reference.mask)
    excluded = excluded_pixels(reference, references)
    layers = torch.stack(
        [
            frame,
            reference.mask,
            torch.zeros_like(frame) if excluded is None else excluded,
            frame if reference.ignored is None else 1 - reference.ignored.to(frame),
        ]
    )
    # On the CPU, because Metal (MPS) pools only by integer factors.
    shares = F.adaptive_avg_pool2d(pad_to_square(layers[None]).cpu(), (height, width)).to(frame)
    on_frame, mask, excluded, known = shares.transpose(0, 1)
    # For cells across the border of the frame, only the part inside the frame counts.
    inside = on_frame.clamp_min(1e-6)
    return make_shot(
        reference.features,
        maps,
        mask / inside,
        [reference.kind],
        excluded / inside,
        ignored=1 - known,
    )
