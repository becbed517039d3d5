"""Calibration of a class. Without torch, because the interface and logs show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ClassCalibration:
    """Parameters that turn a model's outputs for one class into its mask logits.

    Attributes
    ----------
    decoder_share : float
        Weight of the mask decoder's logits, 0..1; the pseudo-mask has the rest.
    edge_share : float
        Share of logits whose edges follow those of the image; see `decision.follow_edges`.
    offset : float
        Value added to the logits.
    expected_iou : float, optional
        Expected IoU on frames without annotation, estimated by hold-out on the annotated ones.
    head_share : float
        Weight of a fine-tuned model's dense head, 0..1; the outputs above have the rest.
    head_channel : int
        Channel of the dense head that belongs to the class.
    head_agreement : float
        IoU of the dense head's mask with the mask of the other outputs on the annotated frames.
    look_alikes : LookAlikes, optional
        Warning that a mask seems to be incomplete.
    """

    decoder_share: float
    edge_share: float = 0.0
    offset: float = 0.0
    expected_iou: float | None = None
    head_share: float = 0.0
    head_channel: int = 0
    head_agreement: float = 1.0
    look_alikes: LookAlikes | None = None

    def __str__(self) -> str:
        expected = "unknown" if self.expected_iou is None else f"{self.expected_iou:.2f}"
        tuned = f"fine-tuned head {self.head_share:.0%}, " if self.head_share else ""
        return (
            f"expected IoU {expected} ({tuned}mask decoder {self.decoder_share:.0%}, "
            f"edges {self.edge_share:g}, offset {self.offset:+.1f})"
        )


@dataclass(frozen=True)
class LookAlikes:
    """Unmarked objects that look like the marked ones in a mask, which should be complete.

    Attributes
    ----------
    class_id : int
    marked : int
        Number of marked objects.
    unmarked : int
        Number of unmarked regions that look like them, of which some may be other things; most
        incomplete masks lack more objects.
    frame : int, optional
        Index of the annotated frame.
    """

    class_id: int
    marked: int
    unmarked: int
    frame: int | None = None

    def __str__(self) -> str:
        marked = "one that is marked" if self.marked == 1 else f"{self.marked} that are marked"
        return (
            f"More objects look like the {marked}"
            f"{'' if self.frame is None else f' on frame {self.frame}'}. In a mask, unmarked "
            "objects are background."
        )


@overload
def ramp(value: float, bounds: tuple[float, float]) -> float: ...
@overload
def ramp(value: Tensor, bounds: tuple[float, float]) -> Tensor: ...
@overload
def ramp(value: float | Tensor, bounds: tuple[float, float]) -> float | Tensor: ...
def ramp(value: float | Tensor, bounds: tuple[float, float]) -> float | Tensor:
    """Return 0 up to the lower bound, 1 from the upper one, and a linear ramp in between."""
    low, high = bounds
    share = (value - low) / (high - low)
    return min(max(share, 0.0), 1.0) if isinstance(share, float) else share.clamp(0, 1)
