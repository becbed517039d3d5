"""Settings of the paper's training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_vrp_sam.annotations.reference import AnnotationKind
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.vrp.vrp_encoder import QueryInitialisation
from napari_vrp_sam.training.losses import LossKind


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run; see `published` for those of the paper (section 5.1).

    Attributes
    ----------
    epochs : int
    learning_rate : float
        Initial learning rate, which decays to 0 as a cosine.
    batch_size : int
        Episodes per step and device.
    loss : {"both", "bce", "dice"}
    queries : int
        Number of prompts per reference.
    initialisation : {"random", "foreground", "background", "half"}
        Initial values of the queries.
    annotation : {"mask", "box", "scribble", "point"}
        Kind of the annotations, which are simulated from the masks.
    references : int
        References per episode.
    seed : int
        Seed of weights, episodes, annotations and dropout.
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
        """Return the paper's recipe for a dataset, with the given changes.

        Raises
        ------
        InputError
            If a count is below 1, or the learning rate is not positive.
        """
        defaults = {"coco20i": {"epochs": 50, "learning_rate": 1e-4}}.get(data, {})
        recipe = cls(**{**defaults, **changes})
        for name in ("epochs", "batch_size", "queries", "references"):
            if getattr(recipe, name) < 1:
                raise InputError(f"The {name.replace('_', ' ')} must be 1 or more.")
        if recipe.learning_rate <= 0:
            raise InputError("The learning rate must be above 0.")
        return recipe
