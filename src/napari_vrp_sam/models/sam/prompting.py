"""Promptings: sources of SAM's prompts in a full-size model. Without torch, as in the interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from napari_vrp_sam.errors import InputError

if TYPE_CHECKING:
    from napari_vrp_sam.models.vrp.pseudo_mask import PseudoMaskKind

Prompting = Literal["vrp", "objects", "points", "box", "points+box", "persam", "probe"]

PROMPTINGS: dict[Prompting, str] = {
    "vrp": "the VRP encoder",
    "objects": "a point, a box and a mask for each object in the probe's pseudo-mask",
    "points": "points in the pseudo-mask (GP-SAM)",
    "box": "the bounding box of the pseudo-mask (GP-SAM)",
    "points+box": "points in the pseudo-mask and its bounding box (GP-SAM)",
    "persam": "similarity to the reference in SAM's own features (PerSAM)",
    "probe": "nothing: the probe's pseudo-mask is the result",
}
"""Short description of each prompting; all but the first need no training."""

TUNED_DECODER_PROMPTING: Prompting = "points+box"
"""Prompting that mask decoders are fine-tuned with, if the model has no VRP encoder."""


def default_prompting(*, trained: bool, pseudo_mask: PseudoMaskKind = "probe") -> Prompting:
    """Return the default prompting of a model with (`trained`) or without a VRP encoder."""
    if trained:
        return "vrp"
    return "objects" if pseudo_mask == "probe" else "points+box"


def check_prompting(
    name: str, *, model: str, trained: bool, pseudo_mask: PseudoMaskKind
) -> Prompting:
    """Return the prompting of a given name if a model supports it.

    Parameters
    ----------
    name : str
        Key of `PROMPTINGS`.
    model : str
        Name of the model, for the error message.
    trained : bool
        Whether the model has a VRP encoder.
    pseudo_mask : {"probe", "correlation"}
        Pseudo-mask of the model.

    Raises
    ------
    InputError
        If the prompting is unknown or needs what the model does not have.
    """
    known = [prompting for prompting in PROMPTINGS if prompting == name]
    if not known:
        raise InputError(f"Unknown prompting '{name}': choose one of {', '.join(PROMPTINGS)}.")
    if name == "vrp" and not trained:
        others = ", ".join(prompting for prompting in PROMPTINGS if prompting != "vrp")
        raise InputError(
            f"'{model}' has no VRP encoder: load the weights of one, or choose another prompting: "
            f"{others}."
        )
    if name in {"probe", "objects"} and pseudo_mask != "probe":
        raise InputError(f"The prompting '{name}' needs the pseudo-mask 'probe': choose both.")
    return known[0]
