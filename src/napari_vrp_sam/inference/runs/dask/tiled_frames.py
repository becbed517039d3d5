"""Large frames whose tiles workers segment, as a source of logits for `StackSmoother`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from napari_vrp_sam.annotations.labels import class_ids_of
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.prediction.tiles.tiling import TileProgress
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_vrp_sam.inference.out_of_core.frame_view import FrameLike
    from napari_vrp_sam.inference.prediction.outputs import FramePrediction

    Steps = Generator[TileProgress, None, Any]


class TiledFrames:
    """Frames of a job that are merged from the tiles of workers.

    Parameters
    ----------
    job : SegmentationJob
        Its normalisation is known.
    frames : Frames
        Its stack.
    merge : callable
        Returns the steps that return the logits (K, Y, X) of a frame, by its index.
    best_threshold : bool
        See `Model.best_threshold`.
    """

    def __init__(
        self,
        job: SegmentationJob,
        frames: Frames,
        merge: Callable[[int], Steps],
        *,
        best_threshold: bool,
    ) -> None:
        self.class_ids = class_ids_of(job.references)
        self._job, self._frames, self._merge = job, frames, merge
        self._best_threshold = best_threshold
        self._index = 0

    def read(self, index: int) -> NDArray[Any]:
        """Read a frame, and remember which one is asked for next."""
        self._index = index
        return self._frames[index]

    def planes(self, frame: NDArray[Any]) -> Tensor:
        """See `LogitSource`."""
        import torch

        assert self._job.normalisation is not None
        return torch.from_numpy(self._job.normalisation.apply(frame))

    def logits_stream(self, frames: Iterable[FrameLike]) -> Iterator[Steps]:
        """See `LogitSource`; the frames are results of `read`."""
        for _ in frames:
            yield self._merge(self._index)

    def predict_stream(
        self, frames: Iterable[FrameLike], *, probabilities: bool, tiles: Literal[True]
    ) -> Iterator[FramePrediction | TileProgress]:
        """See `LogitSource`; the frames are results of `read`."""
        assert tiles
        for _ in frames:
            prediction = yield from self.prediction(self._index)
            yield prediction if probabilities else replace(prediction, probabilities=None)

    def prediction(self, index: int) -> Generator[TileProgress, None, FramePrediction]:
        """Predict a frame without its neighbours; yield the progress."""
        from napari_vrp_sam.inference.prediction.tiles.large_frames import (
            predict_from_any_probabilities,
        )

        logits = yield from self._merge(index)
        return predict_from_any_probabilities(self.probabilities(logits), self.class_ids)

    def probabilities(self, logits: Any) -> Any:
        """See `LogitSource`."""
        from napari_vrp_sam.inference.prediction.tiles.large_frames import probabilities_of

        return probabilities_of(logits, best_threshold=self._best_threshold)
