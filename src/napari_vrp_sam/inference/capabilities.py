"""What a model may be able to do beyond `models.types.Model`, and the predictor makes use of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor, device

    from napari_vrp_sam.models.choice import Choice
    from napari_vrp_sam.models.precision import Precision
    from napari_vrp_sam.models.types import FrameFeatures


@runtime_checkable
class Movable(Protocol):
    """A model that can change its device; every module can."""

    def to(self, device: device, /) -> Any:
        """Move the weights."""
        ...


@runtime_checkable
class Resizing(Protocol):
    """A model that resizes whatever it sees to a side of its own, as SAM does."""

    @property
    def side(self) -> int:
        """In pixels."""
        ...


@runtime_checkable
class Adjustable(Protocol):
    """A model whose encoders can run in several ways."""

    precision: Precision
    """Number format of the encoders."""
    compiled: bool
    """Whether batches run through `torch.compile`."""


@runtime_checkable
class Graphable(Protocol):
    """A model of many small steps, which a GPU does sooner than they are started one by one."""

    graphed: bool
    """Whether batches run as CUDA graphs, compiled or not."""


@runtime_checkable
class Batched(Protocol):
    """A model that prompts and decodes several frames at once."""

    def segment(self, features: FrameFeatures, prepared: Any) -> Tensor:
        """Mask logits (B, K, H, W) of a batch of frames."""
        ...


@runtime_checkable
class Choosing(Protocol):
    """A model that decides for each class how its result is put together, and says so."""

    def choices(self, prepared: Any) -> dict[int, Choice]:
        """Choices by class, of what `Model.prepare` returned."""
        ...
