"""How the result of a class is put together. Without torch: windows and logs show it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClassCalibration:
    """How the result of one class is put together, and what to expect of it.

    Attributes
    ----------
    decoder_share : float
        Share of the mask decoder's logits in the result, 0..1; the rest is the pseudo-mask's.
    smoothing : float
        Sigma in cells of the pseudo-mask of the Gaussian that the logits are smoothed with.
    offset : float
        Added to the logits.
    expected_iou : float, optional
        IoU on frames that are not annotated, as far as parts of the annotated ones that were left
        out tell.
    head_share : float
        Share of a fine-tuned model's dense head, 0..1; the rest is what the others make.
    head_channel : int
        Which of the head's classes it is.
    head_agreement : float
        IoU of the head's mask with that of the others on the annotated frames.
    """

    decoder_share: float
    smoothing: float = 0.0
    offset: float = 0.0
    expected_iou: float | None = None
    head_share: float = 0.0
    head_channel: int = 0
    head_agreement: float = 1.0

    def __str__(self) -> str:
        expected = "unknown" if self.expected_iou is None else f"{self.expected_iou:.2f}"
        tuned = f"fine-tuned head {self.head_share:.0%}, " if self.head_share else ""
        return (
            f"expected IoU {expected} ({tuned}mask decoder {self.decoder_share:.0%}, "
            f"smoothing {self.smoothing:g}, offset {self.offset:+.1f})"
        )
