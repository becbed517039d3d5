"""What all synthetic worlds share."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.training.synthetic.draws import Draw, FloatArray
from napari_vrp_sam.training.synthetic.fields import Shape

BoolArray = NDArray[np.bool_]


class World(ABC):
    """Classes with their looks, sampled once; views of it differ in layout only.

    Parameters
    ----------
    rng : Generator
        Decides on everything that views have in common.
    shape : tuple of int
        Height and width of the views.
    """

    def __init__(self, rng: np.random.Generator, shape: Shape) -> None:
        self.rng = rng
        self.shape = shape

    @abstractmethod
    def view(self, draw: Draw, *, absent: bool = False) -> tuple[FloatArray, BoolArray]:
        """One view.

        Parameters
        ----------
        draw : Draw
            Decides on the layout.
        absent : bool, default: False
            Leave the class out; its distractors stay.

        Returns
        -------
        image : ndarray, shape (H, W, 3), float32
            In 0..1, before the camera's degradations.
        mask : ndarray, shape (H, W), bool
            Where the class is.
        """
