"""Interface of a model, and the data that its methods pass on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.devices import copy_to_device
from napari_vrp_sam.models.precision import Precision

SPARSE_KINDS = frozenset({"point", "scribble", "partial"})
"""Kinds of annotation whose unmarked pixels are unknown, as in `annotations.reference`."""

MARK_KINDS = SPARSE_KINDS - {"partial"}
"""Kinds of annotation that do not show the size of objects."""

Masks = Sequence[NDArray[np.bool_]]
"""Masks of shape (Y, X)."""


@dataclass(frozen=True, eq=False)
class FrameFeatures:
    """Encoder outputs for a batch of frames; a new prompt needs no further encoder pass.

    Attributes
    ----------
    size : tuple of int
        Height and width of the frames in pixels.
    embedding : Tensor, shape (B, D, h, w)
        SAM's image embedding.
    semantic : tuple of Tensor, each of shape (B, C_i, h_i, w_i)
        Feature maps of the semantic encoder, fine to coarse.
    """

    size: tuple[int, int]
    embedding: Tensor
    semantic: tuple[Tensor, ...]

    def __len__(self) -> int:
        return int(self.embedding.shape[0])

    def __getitem__(self, index: int) -> FrameFeatures:
        """Return the features of one frame; the batch axis stays."""
        pick = slice(index, index + 1)
        return FrameFeatures(self.size, self.embedding[pick], tuple(m[pick] for m in self.semantic))

    @classmethod
    def concatenate(cls, features: Sequence[FrameFeatures]) -> FrameFeatures:
        """Return one batch of several batches of frames of one size."""
        if len(features) == 1:
            return features[0]
        maps = zip(*(one.semantic for one in features), strict=True)
        return cls(
            features[0].size,
            torch.cat([one.embedding for one in features]),
            tuple(map(torch.cat, maps)),
        )

    def to(self, device: torch.device | str) -> FrameFeatures:
        """Return the features on another device."""
        return FrameFeatures(
            self.size, self.embedding.to(device), tuple(m.to(device) for m in self.semantic)
        )


@dataclass(frozen=True)
class GridPosition:
    """Position of a tile on its frame, in cells of the image embedding.

    Attributes
    ----------
    top, left : int
    grid : tuple of int
        Height and width of the whole frame.
    """

    top: int
    left: int
    grid: tuple[int, int]


@dataclass(frozen=True, eq=False)
class EncodedReference:
    """Features and annotation of one reference frame.

    Attributes
    ----------
    features : FrameFeatures
        Features of the frame, batch size 1.
    mask : Tensor, shape (H, W), float32
        Annotation in 0..1, at the size of the frame.
    class_id : int
    kind : str
        "point", "scribble", "partial", "box" or "mask".
    frame : int, optional
        Index of the frame. On a frame that several references share, the annotation of one class
        is background for the others.
    ignored : Tensor, shape (H, W), bool, optional
        Pixels that are neither class nor background.
    image : Tensor, shape (3, H, W), optional
        Pixels of the encoded frame in 0..1, for models that use more than its features.
    negative : Tensor, shape (H, W), bool, optional
        Pixels that certainly do not belong to the class; the mask is 0 there.
    """

    features: FrameFeatures
    mask: Tensor
    class_id: int
    kind: str = "mask"
    frame: int | None = None
    ignored: Tensor | None = None
    image: Tensor | None = None
    negative: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Prompts:
    """Prompts of K classes for one frame.

    Attributes
    ----------
    class_ids : tuple of int
        The K classes, ascending.
    sparse : Tensor, shape (K, N, D)
        Prompt tokens for SAM's mask decoder.
    dense : Tensor, shape (K, D, h, w)
        Dense prompts, added to the image embedding.
    pseudo_mask : Tensor, shape (K, 1, h', w'), optional
        Logits of the pseudo-masks that the prompts were made from.
    calibrations : tuple of ClassCalibration
        Calibrations of the K classes; empty for models without any.
    frame_context : object, optional
        Context of the whole frame, for a tile; see `Model.frame_context`.
    similarities : tuple of float or scalar Tensor
        For each class, the similarity of the frame to the annotated ones, up to 1; empty for models
        that do not compare them.
    """

    class_ids: tuple[int, ...]
    sparse: Tensor
    dense: Tensor
    pseudo_mask: Tensor | None = None
    calibrations: tuple[ClassCalibration, ...] = ()
    frame_context: Any = None
    similarities: tuple[float | Tensor, ...] = ()


class Model(ABC):
    """Base class of promptable models.

    `prepare` runs once per set of references, the other methods once per frame. Methods and
    attributes that are not abstract are optional; their defaults suit a model without them. A
    subclass that is also a `torch.nn.Module` names that base first.

    Attributes
    ----------
    name : str
    precision : {"auto", "float32", "bfloat16", "float16"}
        Number format of the encoders.
    compiled : bool
        Whether batches run through `torch.compile` on a GPU.
    input_side : int, optional
        Longest side in pixels that the model resizes every frame to, as SAM does; None for a model
        that encodes frames at their original size.
    effort : float
        Effort of learning from the references, above 0, up to 1: less is faster but less accurate.
    uses_effort : bool
        Whether `effort` changes anything.
    uses_cuda_graphs : bool
        Whether batches run as CUDA graphs even if they are not compiled, because the model has
        many small kernels and their launches take longer than their execution.
    uses_frame_context : bool
        Whether tiles of a large frame need context from the whole frame; see `tile_context`.
    zoom : int
        Factor by which `encode` enlarges frames; see `adapt`. Tiles are smaller by this factor.
    estimated_side : int
        Longest side in pixels of annotated frames for which `estimate_masks` is called; 0: never.
    best_threshold : bool
        Whether the logits of whole frames are shifted to the threshold with the highest expected
        IoU; see `decision.shift_to_best_threshold`.
    """

    name: str
    precision: Precision = "auto"
    compiled: bool = False
    effort: float = 1.0
    uses_effort: bool = False
    uses_cuda_graphs: bool = False
    zoom: int = 1
    estimated_side: int = 0
    best_threshold: bool = False

    @property
    def input_side(self) -> int | None:
        """See the class."""
        return None

    @property
    def uses_frame_context(self) -> bool:
        """See the class."""
        return False

    @property
    def encoding_key(self) -> str:
        """Text that differs if `adapt` changed the features of a frame, for caches of features."""
        return ""

    def adapt(self, masks: Masks, estimated: Masks = ()) -> None:  # noqa: B027
        """Choose how to encode frames with objects like those of masks; see `estimate_masks`."""

    def estimate_masks(
        self,
        references: Sequence[EncodedReference],  # noqa: ARG002
    ) -> list[NDArray[np.bool_]]:
        """Estimate the masks (Y, X) of classes annotated by points or scribbles, for `adapt`.

        The references are those of all classes of a frame, encoded after `adapt([])`.
        """
        return []

    @abstractmethod
    def encode(self, frames: Tensor) -> FrameFeatures:
        """Encode frames of shape (B, 3, H, W), float32 in 0..1, H and W from 16 px."""

    @abstractmethod
    def prepare(self, references: Sequence[EncodedReference]) -> Any:
        """Compute everything that depends on the references only (fitted probes, prototypes)."""

    @abstractmethod
    def prompt(self, features: FrameFeatures, prepared: Any) -> Prompts:
        """Return the prompts of every prepared class for one frame (batch size 1)."""

    def prompt_tile(self, features: FrameFeatures, prepared: Any, frame_context: Any) -> Prompts:
        """Return the prompts for one tile of a frame, given `Prompts.frame_context`."""
        return replace(self.prompt(features, prepared), frame_context=frame_context)

    @abstractmethod
    def decode(self, features: FrameFeatures, prompts: Prompts) -> Tensor:
        """Return mask logits of shape (K, H, W) at the size of the frame."""

    def segment(self, features: FrameFeatures, prepared: Any) -> Tensor:
        """Return mask logits of shape (B, K, H, W) for a batch of frames."""
        each = (features[at] for at in range(len(features)))
        return torch.stack([self.decode(one, self.prompt(one, prepared)) for one in each])

    def calibrations(self, prepared: Any) -> dict[int, ClassCalibration]:  # noqa: ARG002
        """Return the calibration of each prepared class, by class."""
        return {}

    def tile_context(
        self,
        features: FrameFeatures,
        prepared: Any,
        place: GridPosition,
        cells: tuple[slice, slice],
    ) -> Any:
        """Return the contribution of some cells of a tile to the context of its frame."""
        raise NotImplementedError

    def frame_context(self, contexts: Sequence[Any], prepared: Any) -> Any:
        """Merge the contributions of all tiles of a frame, for `Prompts.frame_context`."""
        raise NotImplementedError

    def configured(
        self, device: torch.device, *, precision: Precision = "auto", compiled: bool = False
    ) -> Self:
        """Return a copy of the model for prediction on a device.

        The copy shares the weights, unless they are on another device or the model is in training
        mode.
        """
        parameters = list(self.parameters())
        if all(parameter.device == device for parameter in parameters):
            model = copy(self) if not self.training else deepcopy(self).eval()
        else:
            model = copy_to_device(self, [*parameters, *self.buffers()], device)
            model = model.to(device).eval()
        model.precision, model.compiled = precision, compiled
        return model

    if TYPE_CHECKING:
        # Methods of `torch.nn.Module`; a model without that base defines them itself.
        training: bool

        def buffers(self) -> Iterator[Tensor]: ...  # noqa: D102

        def parameters(self) -> Iterator[Tensor]: ...  # noqa: D102

        def to(self, device: torch.device | str) -> Self: ...  # noqa: D102

        def eval(self) -> Self: ...  # noqa: D102
