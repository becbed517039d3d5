"""How much of the mask decoder a class gets: as much as it reproduces of its own annotation.

A learned decoder knows objects, but what is thinner than its grid, or unlike all it was trained
on, it cannot draw even on the annotated frame itself, with the annotation in hand. A probe can. So
the decoder counts as far as it keeps up with the probe there.
"""

from __future__ import annotations

from torch import Tensor

from napari_vrp_sam.models.lite.network import Conditioning, LiteNetwork
from napari_vrp_sam.models.probe.encoded_shots import Shot, on_probe_grid, showing

MAX_SHARE = 0.8
"""Of a decoder that reproduces the annotation as well as the probe does."""

MAX_INCOMPLETE_SHARE = 0.95
"""The same for points, scribbles and boxes."""

MAX_REFERENCES = 3
"""References to look at; more say the same."""


def decoder_share(network: LiteNetwork, conditioning: Conditioning) -> float:
    """The mask decoder's share in the result of one class, the rest being the pseudo-mask's.

    Parameters
    ----------
    network : LiteNetwork
    conditioning : Conditioning
        Of one class.

    Returns
    -------
    float
        0 to `MAX_SHARE`, or to `MAX_INCOMPLETE_SHARE` where an annotation is incomplete.
    """
    decoders = probes = 0.0
    for shot in showing(conditioning.shots)[:MAX_REFERENCES]:
        sparse, dense, pseudo_mask = network.prompt(shot.features, conditioning)
        decoded, _ = network.decode(shot.features, sparse, dense, pseudo_mask)
        decoders += _iou(decoded, shot)
        probes += _iou(pseudo_mask, shot)
    keeps_up = min(decoders / max(probes, 1e-6), 1.0)
    if any(bool((shot.sparse | shot.loose).any()) for shot in conditioning.shots):
        # There the probe is held to what a probe made of the marks, so it only seems better.
        return MAX_INCOMPLETE_SHARE * keeps_up
    # Squared, because one that reproduces half of the annotation is no half as good a guide.
    return MAX_SHARE * keeps_up**2


def _iou(logits: Tensor, shot: Shot) -> float:
    """Overlap of logits of shape (1, 1, H / 2, W / 2) with what is known of the class."""
    foreground, background = on_probe_grid(shot)
    known = foreground + background > 0.5
    truth, found = (foreground > background) & known, (logits[:, 0] > 0) & known
    return float((truth & found).sum() / (truth | found).sum().clamp_min(1))
