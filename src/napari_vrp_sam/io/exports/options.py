"""Options of exports."""

from __future__ import annotations

from dataclasses import dataclass

from napari_vrp_sam.errors import InputError


@dataclass(frozen=True)
class ExportOptions:
    """Options of exports; each format uses those that concern it.

    Parameters
    ----------
    tolerance : float
        Largest distance in pixels by which simplified polygons may differ from the outlines of
        regions; 0: exact outlines.
    frame_rate : float
        Frames of a video per second.
    max_size : int
        Largest height or width of a video in pixels; larger frames are reduced.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    tolerance: float = 0.0
    frame_rate: float = 10.0
    max_size: int = 1920

    def __post_init__(self) -> None:
        if self.tolerance < 0:
            raise InputError(
                f"The tolerance is {self.tolerance}: give a number of pixels, 0 or more."
            )
        if self.frame_rate <= 0:
            raise InputError(
                f"The frame rate is {self.frame_rate}: give a number of frames per second above 0."
            )
        if self.max_size < 16:
            raise InputError(f"The size is {self.max_size}: give 16 pixels or more.")
