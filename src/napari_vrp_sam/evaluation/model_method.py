"""A VRP-SAM model as a method of the protocols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.evaluation.few_shot import Segment as FewShotSegment
from napari_vrp_sam.evaluation.one_slice import Segment, Segmented
from napari_vrp_sam.inference.confidence import confidences
from napari_vrp_sam.inference.normalisation import Normalisation

if TYPE_CHECKING:
    from napari_vrp_sam.inference.feature_cache import FeatureCache
    from napari_vrp_sam.inference.predictor import Predictor
    from napari_vrp_sam.models.prompting import Prompting
    from napari_vrp_sam.models.types import Model


WHOLE_RANGE = Normalisation.from_limits((0, 255), 3)
"""Photographs are taken as they are."""


def one_image_method(
    model: Model,
    device: str = "auto",
    *,
    normalisation: Normalisation = WHOLE_RANGE,
    cache: FeatureCache | None = None,
) -> FewShotSegment:
    """A model as a method of the few-shot protocol: new references for each image.

    Parameters
    ----------
    model : Model
    device : str
    normalisation : Normalisation
        Of all images.
    cache : FeatureCache, optional
        Methods that share their encoders share this too.
    """
    from napari_vrp_sam.inference.predictor import Predictor

    predictor = Predictor(model, device=device)
    predictor.cache = cache

    def segment(image: NDArray[np.uint8], references: Sequence[Reference]) -> NDArray[np.bool_]:
        if cache is not None:
            cache.start_round()
        predictor.set_references(references, normalisation)
        found: NDArray[np.bool_] = predictor.predict(image)[0] > 0.5
        return found

    return segment


def prompted_methods(
    model: Model,
    promptings: Sequence[Prompting],
    device: str = "auto",
    *,
    normalisation: Normalisation = WHOLE_RANGE,
) -> dict[str, FewShotSegment]:
    """A full-size model prompted in several ways, each image encoded once for all; by their names.

    Parameters
    ----------
    model : Model
    promptings : sequence of str
        Without any, the model as it is, by its own name.
    device, normalisation
        See `one_image_method`.

    Raises
    ------
    InputError
        If the model cannot be prompted so.
    """
    from napari_vrp_sam.inference.feature_cache import FeatureCache
    from napari_vrp_sam.models.sam import FullSizeModel

    if not promptings:
        return {model.name: one_image_method(model, device, normalisation=normalisation)}
    if not isinstance(model, FullSizeModel):
        raise InputError(f"'{model.name}' chooses its prompting itself: leave out --prompting.")
    cache = FeatureCache()
    return {
        prompting: one_image_method(
            model.prompted_by(prompting), device, normalisation=normalisation, cache=cache
        )
        for prompting in promptings
    }


class ModelMethod:
    """A model, prompted with each class on its own; an `evaluation.one_slice.Method`.

    Parameters
    ----------
    model : Model
    device : str
    """

    def __init__(self, model: Model, device: str = "auto") -> None:
        self.model = model
        self.device = device

    def __call__(self, frames: Sequence[NDArray[Any]], references: Sequence[Reference]) -> Segment:
        """Set the references; see `evaluation.one_slice.Method`."""
        predictors = self.predictors(frames, references)

        def segment(frame: NDArray[Any]) -> Segmented:
            features = predictors[0].encode(frame)  # once for all classes
            found = np.stack([predictor.decode(features)[0] for predictor in predictors])
            return Segmented(found > 0.5, confidences(found))

        return segment

    def predictors(
        self, frames: Sequence[NDArray[Any]], references: Sequence[Reference]
    ) -> list[Predictor]:
        """A predictor for each class, all with the normalisation of the sequence."""
        from napari_vrp_sam.inference.predictor import Predictor

        normalisation = Normalisation.fit(frames)
        predictors = []
        for class_id in sorted({r.class_id for r in references}):
            # One predictor a class: the protocol measures each class as if it alone were annotated.
            predictor = Predictor(self.model, device=self.device)
            own = [r for r in references if r.class_id == class_id]
            predictor.set_references(own, normalisation)
            predictors.append(predictor)
        return predictors
