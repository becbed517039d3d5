"""What a run of the paper's training is made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from napari_vrp_sam.annotations.reference import AnnotationKind
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.vrp.vrp_encoder import QueryInitialisation
from napari_vrp_sam.training.losses import LossKind


@dataclass(frozen=True)
class Recipe:
    """Settings of a run; `published` has the paper's (section 5.1).

    Attributes
    ----------
    epochs : int
    learning_rate : float
        At first; it falls to 0 as a cosine.
    batch_size : int
        Episodes a step, on each device.
    loss : {"both", "bce", "dice"}
    queries : int
        Prompts made of each reference.
    initialisation : {"random", "foreground", "background", "half"}
        What the queries begin as.
    annotation : {"mask", "box", "scribble", "point"}
        Simulated from the masks, anew each time.
    references : int
        Of each episode.
    seed : int
        Of weights, episodes, annotations and dropout.
    """

    epochs: int = 100
    learning_rate: float = 2e-4
    batch_size: int = 8
    loss: LossKind = "both"
    queries: int = 50
    initialisation: QueryInitialisation = "random"
    annotation: AnnotationKind = "mask"
    references: int = 1
    seed: int = 0

    @classmethod
    def published(cls, data: str, **changes: Any) -> Recipe:
        """The recipe for a data set, with whatever is given changed.

        Raises
        ------
        InputError
            If a number is below 1, or the learning rate is not above 0.
        """
        own = {"coco20i": {"epochs": 50, "learning_rate": 1e-4}}.get(data, {})
        recipe = cls(**{**own, **changes})
        for name in ("epochs", "batch_size", "queries", "references"):
            if getattr(recipe, name) < 1:
                raise InputError(f"A training needs {name.replace('_', ' ')} from 1 on.")
        if recipe.learning_rate <= 0:
            raise InputError("Nothing is learned at a learning rate of 0: give one above it.")
        return recipe

    def as_settings(self) -> dict[str, Any]:
        """What a resumed run must share with the one that was begun."""
        return asdict(self)
