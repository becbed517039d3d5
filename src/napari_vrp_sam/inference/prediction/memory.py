"""Steps after which a prediction needs less memory, and frames that are predicted again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.out_of_core.frame_view import FrameLike
from napari_vrp_sam.inference.prediction.tiles.tiling import ALIGNMENT, MIN_TILE


@dataclass(frozen=True)
class MemoryStep:
    """A step after which a predictor needs less memory; one of the first three is set.

    Attributes
    ----------
    batch : int, optional
        Largest number of frames or tiles in a batch.
    tile_size : int, optional
        Longest side of a tile in pixels.
    cpu : bool
        Whether the model moves to the CPU.
    message : str
        What was done, for the user.
    """

    batch: int | None = None
    tile_size: int | None = None
    cpu: bool = False
    message: str = ""


def next_step(batch: int, tile_size: int, device: str, *, tiles: bool) -> MemoryStep:
    """Return what to change after the memory was exceeded: batches, then tiles, then the device.

    Parameters
    ----------
    batch : int
        Number of frames or tiles that did not fit.
    tile_size : int
        Longest side of a frame or of its tiles in pixels.
    device : str
        Kind of device, such as "cuda".
    tiles : bool
        Whether smaller tiles need less memory; a model that resizes them needs as much.

    Raises
    ------
    InputError
        If nothing is left to change.

    Examples
    --------
    >>> next_step(8, 512, "cuda", tiles=True).message
    'The memory of the GPU is full: from now on, 4 frames at a time are segmented.'
    """
    full = f"The memory of the {'computer' if device == 'cpu' else 'GPU'} is full: from now on, "
    if batch > 1:
        half = batch // 2
        count = "one frame at a time is" if half == 1 else f"{half} frames at a time are"
        return MemoryStep(batch=half, message=f"{full}{count} segmented.")
    smaller = tile_size // 2 // ALIGNMENT * ALIGNMENT
    if tiles and smaller >= MIN_TILE:
        message = f"{full}frames are segmented in tiles of {smaller} pixels."
        return MemoryStep(tile_size=smaller, message=message)
    if device != "cpu":
        return MemoryStep(cpu=True, message=f"{full}the model runs on the CPU, which is slower.")
    raise InputError(
        "There is not enough memory for this model: close other programs, or choose a smaller "
        "model or smaller tiles."
    )


class UnfinishedFrames:
    """Iterate over frames, and keep those whose predictions are not finished to repeat them.

    One thread may iterate while another calls `finish`.

    Parameters
    ----------
    frames : iterable of ndarray or FrameView
    """

    def __init__(self, frames: Iterable[FrameLike]) -> None:
        self._frames = iter(frames)
        self._again: deque[FrameLike] = deque()
        self._unfinished: deque[FrameLike] = deque()
        self._error: Exception | None = None

    def __iter__(self) -> UnfinishedFrames:
        return self

    def __next__(self) -> FrameLike:
        frame = self._again.popleft() if self._again else self._read()
        self._unfinished.append(frame)
        return frame

    def peek(self) -> FrameLike | None:
        """Return the next frame without taking it; None at the end."""
        if not self._again:
            try:
                self._again.append(self._read())
            except StopIteration:
                return None
        return self._again[0]

    def finish(self) -> None:
        """Drop the oldest frame."""
        self._unfinished.popleft()

    def rewind(self) -> FrameLike:
        """Continue with the oldest frame that is not finished, and return it."""
        self._again.extendleft(reversed(self._unfinished))
        self._unfinished.clear()
        return self._again[0]

    def _read(self) -> FrameLike:
        if self._error is not None:  # a generator that has raised would end instead
            raise self._error
        try:
            return next(self._frames)
        except StopIteration:
            raise
        except Exception as error:
            self._error = error
            raise
