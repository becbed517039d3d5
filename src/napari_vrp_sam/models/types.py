"""What passes between a model's three verbs: encode, prompt, decode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from napari_vrp_sam.models.choice import Choice


@dataclass(frozen=True, eq=False)
class FrameFeatures:
    """All that a model keeps of a batch of frames: a new prompt costs no encoder pass.

    Attributes
    ----------
    size : tuple of int
        Height and width of the frames in pixels.
    embedding : Tensor, shape (B, D, h, w)
        SAM's image embedding.
    semantic : tuple of Tensor, each of shape (B, C_i, h_i, w_i)
        Maps of the semantic encoder, fine to coarse.
    """

    size: tuple[int, int]
    embedding: Tensor
    semantic: tuple[Tensor, ...]

    def __len__(self) -> int:
        return int(self.embedding.shape[0])

    def __getitem__(self, index: int) -> FrameFeatures:
        """Features of one frame, batch axis kept."""
        pick = slice(index, index + 1)
        return FrameFeatures(self.size, self.embedding[pick], tuple(m[pick] for m in self.semantic))

    def to(self, device: torch.device | str) -> FrameFeatures:
        """The same features on another device."""
        return FrameFeatures(
            self.size, self.embedding.to(device), tuple(m.to(device) for m in self.semantic)
        )


@dataclass(frozen=True, eq=False)
class EncodedReference:
    """A reference as a model sees it: features of one frame, and its annotation.

    Attributes
    ----------
    features : FrameFeatures
        Of one frame (batch 1).
    mask : Tensor, shape (H, W), float32
        The annotation in 0..1 at the frame's size.
    class_id : int
    kind : str
        "point", "scribble", "box" or "mask".
    frame : int, optional
        References with the same frame share an image: one class is background to the other.
    ignored : Tensor, shape (H, W), bool, optional
        Pixels that say nothing about the class.
    image : Tensor, shape (3, H, W), optional
        The frame as it was encoded, in 0..1, for models that look at it in other ways too.
    """

    features: FrameFeatures
    mask: Tensor
    class_id: int
    kind: str = "mask"
    frame: int | None = None
    ignored: Tensor | None = None
    image: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Prompts:
    """Prompts of K classes for one frame.

    Attributes
    ----------
    class_ids : tuple of int
        The K classes, ascending.
    sparse : Tensor, shape (K, N, D)
        Prompt tokens of SAM's mask decoder.
    dense : Tensor, shape (K, D, h, w)
        Dense prompt added to the image embedding.
    pseudo_mask : Tensor, shape (K, 1, h', w'), optional
        Logits of the pseudo-mask that the prompts were made with.
    choices : tuple of Choice
        How the K results are put together; empty for a model that knows one way only.
    whole : object, optional
        For a tile of a large frame, what a model has gathered of the whole frame.
    """

    class_ids: tuple[int, ...]
    sparse: Tensor
    dense: Tensor
    pseudo_mask: Tensor | None = None
    choices: tuple[Choice, ...] = ()
    whole: Any = None


class Model(Protocol):
    """A promptable model. `prepare` runs once per set of references, the rest once per frame."""

    name: str

    def encode(self, frames: Tensor) -> FrameFeatures:
        """Encode frames of shape (B, 3, H, W), float32 in 0..1, any H and W from 16 px."""
        ...

    def prepare(self, references: Sequence[EncodedReference]) -> Any:
        """Whatever can be computed from the references alone (fitted probes, prototypes)."""
        ...

    def prompt(self, features: FrameFeatures, prepared: Any) -> Prompts:
        """Prompts of every class of the prepared references for one frame (batch 1)."""
        ...

    def decode(self, features: FrameFeatures, prompts: Prompts) -> Tensor:
        """Mask logits of shape (K, H, W) at the frame's size; all classes in one batch."""
        ...
