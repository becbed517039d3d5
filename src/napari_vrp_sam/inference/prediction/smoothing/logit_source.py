"""Interface between the averages of neighbouring frames and what computes their logits."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_vrp_sam.inference.out_of_core.frame_view import FrameLike
    from napari_vrp_sam.inference.prediction.outputs import FramePrediction
    from napari_vrp_sam.inference.prediction.tiles.tiling import TileProgress


class LogitSource(Protocol):
    """Source of the logits of frames: a `Predictor`, or workers that share the tiles of a frame."""

    @property
    def class_ids(self) -> tuple[int, ...]:
        """The K classes of the logits."""
        ...

    def planes(self, frame: NDArray[Any]) -> Tensor:
        """Return a normalised frame, shape (3, Y, X)."""
        ...

    def logits_stream(
        self, frames: Iterable[FrameLike]
    ) -> Iterator[Generator[TileProgress, None, Any]]:
        """Yield the steps that return the logits (K, Y, X) of each frame."""
        ...

    def predict_stream(
        self, frames: Iterable[FrameLike], *, probabilities: bool, tiles: Literal[True]
    ) -> Iterator[FramePrediction | TileProgress]:
        """Predict frames without their neighbours; see `Predictor.predict_stream`."""
        ...

    def probabilities(self, logits: Any) -> Any:
        """Turn the logits of a whole frame into probabilities, in place."""
        ...
