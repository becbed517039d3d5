"""A VRP-SAM model as a method of the protocols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import class_ids_of
from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.research.protocols.few_shot import Segment as FewShotSegment
from napari_vrp_sam.research.protocols.one_slice import Segment, Segmented

if TYPE_CHECKING:
    from napari_vrp_sam.inference.prediction.feature_cache import FeatureCache
    from napari_vrp_sam.inference.prediction.predictor import Predictor
    from napari_vrp_sam.models.base import Model
    from napari_vrp_sam.models.sam.prompting import Prompting


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
    from napari_vrp_sam.inference.prediction.predictor import Predictor

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
    from napari_vrp_sam.inference.prediction.feature_cache import FeatureCache
    from napari_vrp_sam.models.sam.full_size_model import FullSizeModel

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
        from napari_vrp_sam.inference.prediction.outputs import predict_from_probabilities

        predictors = self.predictors(frames, references)
        cache = predictors[0].cache
        assert cache is not None

        def segment(frame: NDArray[Any]) -> Segmented:
            # The cache encodes a frame once for all classes. Large frames are tiled as in any run.
            cache.start_round()
            found = [predict_from_probabilities(p.predict(frame), p.class_ids) for p in predictors]
            expected = [
                one.confidence.get(p.class_ids[0], np.nan)
                for one, p in zip(found, predictors, strict=True)
            ]
            return Segmented(np.stack([one.labels > 0 for one in found]), np.array(expected))

        return segment

    def predictors(
        self, frames: Sequence[NDArray[Any]], references: Sequence[Reference]
    ) -> list[Predictor]:
        """A predictor for each class, all with the normalisation of the sequence."""
        from napari_vrp_sam.inference.prediction.feature_cache import FeatureCache
        from napari_vrp_sam.inference.prediction.predictor import Predictor

        normalisation = Normalisation.fit(frames)
        cache = FeatureCache()
        predictors = []
        for class_id in class_ids_of(references):
            # One predictor a class: the protocol measures each class as if it alone were annotated.
            predictor = Predictor(self.model, device=self.device)
            predictor.cache = cache
            own = [r for r in references if r.class_id == class_id]
            predictor.set_references(own, normalisation)
            predictors.append(predictor)
        return predictors
