"""What passes between a model's three verbs: encode, prompt, decode."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.precision import Precision


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


@dataclass(frozen=True)
class GridPosition:
    """Where a tile lies on a frame, in cells of the image embedding.

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
    choices : tuple of ClassCalibration
        How the K results are put together; empty for a model that knows one way only.
    whole : object, optional
        For a tile of a large frame, what a model has gathered of the whole frame.
    """

    class_ids: tuple[int, ...]
    sparse: Tensor
    dense: Tensor
    pseudo_mask: Tensor | None = None
    calibrations: tuple[ClassCalibration, ...] = ()
    whole: Any = None


class Model(ABC):
    """A promptable model. `prepare` runs once per set of references, the rest once per frame.

    A subclass that is a `torch.nn.Module` names that base first. The methods and attributes that
    are not abstract describe optional abilities; their defaults are those of a model without them.

    Attributes
    ----------
    name : str
    precision : {"auto", "float32", "bfloat16", "float16"}
        Number format of the encoders.
    compiled : bool
        Whether batches run through `torch.compile`, on a GPU.
    input_side : int, optional
        Longest side in pixels that the model resizes every frame to, as SAM does; None for a model
        that sees frames at their own size.
    uses_cuda_graphs : bool
        Whether batches run as CUDA graphs even if they are not compiled: a GPU finishes the many
        small steps of such a model sooner than they are launched one by one.
    sees_whole_frame : bool
        Whether tiles of a large frame need context from the whole frame; see `tile_context`.
    """

    name: str
    precision: Precision = "auto"
    compiled: bool = False
    uses_cuda_graphs: bool = False
    sees_whole_frame: bool = False

    @property
    def input_side(self) -> int | None:
        """See the class."""
        return None

    @abstractmethod
    def encode(self, frames: Tensor) -> FrameFeatures:
        """Encode frames of shape (B, 3, H, W), float32 in 0..1, any H and W from 16 px."""

    @abstractmethod
    def prepare(self, references: Sequence[EncodedReference]) -> Any:
        """Compute what depends on the references alone (fitted probes, prototypes)."""

    @abstractmethod
    def prompt(self, features: FrameFeatures, prepared: Any) -> Prompts:
        """Return the prompts of every prepared class for one frame (batch 1)."""

    @abstractmethod
    def decode(self, features: FrameFeatures, prompts: Prompts) -> Tensor:
        """Return mask logits of shape (K, H, W) at the frame's size; all classes in one batch."""

    def segment(self, features: FrameFeatures, prepared: Any) -> Tensor:
        """Return mask logits of shape (B, K, H, W) of a batch of frames."""
        each = (features[at] for at in range(len(features)))
        return torch.stack([self.decode(one, self.prompt(one, prepared)) for one in each])

    def calibrations(self, prepared: Any) -> dict[int, ClassCalibration]:  # noqa: ARG002
        """Return how the result of each prepared class is put together, by class."""
        return {}

    def tile_context(
        self,
        features: FrameFeatures,
        prepared: Any,
        place: GridPosition,
        cells: tuple[slice, slice],
    ) -> Any:
        """Return what one tile contributes to the context of its frame, from some of its cells."""
        raise NotImplementedError

    def frame_context(self, contexts: Sequence[Any], prepared: Any) -> Any:
        """Combine the contributions of tiles into the context of a frame, for `Prompts.whole`."""
        raise NotImplementedError

    def configured(
        self, device: torch.device, *, precision: Precision = "auto", compiled: bool = False
    ) -> Self:
        """Return this model for prediction on a device; the model itself stays as it is.

        Weights are copied only if they lie on another device or the model is being trained.
        """
        parameters = list(self.parameters())
        here = all(parameter.device == device for parameter in parameters)
        model = copy(self) if here and not self.training else deepcopy(self).to(device).eval()
        model.precision, model.compiled = precision, compiled
        return model

    if TYPE_CHECKING:
        # As `torch.nn.Module` has them; a model that is none defines them itself.
        training: bool

        def parameters(self) -> Iterator[Tensor]: ...  # noqa: D102

        def to(self, device: torch.device | str) -> Self: ...  # noqa: D102

        def eval(self) -> Self: ...  # noqa: D102
