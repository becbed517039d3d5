"""Base class of the synthetic worlds."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.training.synthetic.parts.draws import Draws, FloatArray
from napari_vrp_sam.training.synthetic.parts.fields import Shape

BoolArray = NDArray[np.bool_]


class World(ABC):
    """A class, its distractors and their background; frames of a world differ only in layout.

    Parameters
    ----------
    rng : Generator
        Determines everything that the frames have in common.
    shape : tuple of int
        Height and width of the frames.
    """

    def __init__(self, rng: np.random.Generator, shape: Shape) -> None:
        self.rng = rng
        self.shape = shape

    @abstractmethod
    def render(self, draw: Draws, *, absent: bool = False) -> tuple[FloatArray, BoolArray]:
        """Render one frame.

        Parameters
        ----------
        draw : Draws
            Determines the layout.
        absent : bool, default: False
            Leave out the class but not its distractors.

        Returns
        -------
        image : ndarray, shape (H, W, 3), float32
            Scene in 0..1, before the simulated acquisition.
        mask : ndarray, shape (H, W), bool
            Mask of the class.
        """
