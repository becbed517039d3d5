"""What prompts SAM in a full-size model. Without torch: windows and commands show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from napari_vrp_sam.errors import InputError

if TYPE_CHECKING:
    from napari_vrp_sam.models.vrp.pseudo_mask import PseudoMaskKind

Prompting = Literal["vrp", "points", "box", "points+box", "persam", "probe"]

PROMPTINGS: dict[Prompting, str] = {
    "vrp": "the VRP encoder",
    "points": "points in the pseudo-mask (GP-SAM)",
    "box": "the box around the pseudo-mask (GP-SAM)",
    "points+box": "points in the pseudo-mask and the box around it (GP-SAM)",
    "persam": "what resembles the reference in SAM's own features (PerSAM)",
    "probe": "nothing, and the probe's map is the result",
}
"""Each in a few words; all but the first need no training."""


def default_prompting(*, trained: bool) -> Prompting:
    """The best that a model has: of a VRP encoder, if it has one."""
    return "vrp" if trained else "points+box"


def check_prompting(
    wanted: str, *, model: str, trained: bool, pseudo_mask: PseudoMaskKind
) -> Prompting:
    """What is wanted, if the model can be prompted so.

    Parameters
    ----------
    wanted : str
        A key of `PROMPTINGS`.
    model : str
        Named in the error.
    trained : bool
        Whether it has a VRP encoder.
    pseudo_mask : {"probe", "correlation"}
        How it makes one.

    Raises
    ------
    InputError
        If there is no such prompting, or the model lacks what it needs.
    """
    known = [name for name in PROMPTINGS if name == wanted]
    if not known:
        raise InputError(f"Unknown prompting '{wanted}': choose one of {', '.join(PROMPTINGS)}.")
    if wanted == "vrp" and not trained:
        others = ", ".join(name for name in PROMPTINGS if name != "vrp")
        raise InputError(
            f"'{model}' has no VRP encoder: give the weights of one, or choose another prompting: "
            f"{others}."
        )
    if wanted == "probe" and pseudo_mask != "probe":
        raise InputError("The prompting 'probe' is the pseudo-mask 'probe': choose that too.")
    return known[0]
