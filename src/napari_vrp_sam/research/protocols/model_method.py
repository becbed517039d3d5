"""VRP-SAM models as methods of the evaluation protocols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import class_ids_of
from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.research.protocols.few_shot import FewShotMethod
from napari_vrp_sam.research.protocols.one_slice import FrameMasks, SegmentFrame

if TYPE_CHECKING:
    from napari_vrp_sam.inference.prediction.caches.feature_cache import FeatureCache
    from napari_vrp_sam.inference.prediction.outputs import FramePrediction
    from napari_vrp_sam.inference.prediction.predictor import Predictor
    from napari_vrp_sam.models.base import Model
    from napari_vrp_sam.models.sam.prompting import Prompting

FULL_RANGE = Normalisation.from_limits((0, 255), 3)
"""Normalisation of photographs, whose intensities are used unchanged."""


def few_shot_method(
    model: Model,
    device: str = "auto",
    *,
    normalisation: Normalisation = FULL_RANGE,
    cache: FeatureCache | None = None,
) -> FewShotMethod:
    """Return a model as a method of the few-shot protocol.

    Parameters
    ----------
    model : Model
    device : str
    normalisation : Normalisation
        Normalisation of all images.
    cache : FeatureCache, optional
        Cache shared by methods with the same encoders.
    """
    from napari_vrp_sam.inference.prediction.predictor import Predictor

    predictor = Predictor(model, device=device)
    predictor.cache = cache

    def segment(image: NDArray[np.uint8], references: Sequence[Reference]) -> NDArray[np.bool_]:
        if cache is not None:
            cache.start_round()
        predictor.set_references(references, normalisation)
        mask: NDArray[np.bool_] = predictor.predict(image)[0] > 0.5
        return mask

    return segment


def prompted_methods(
    model: Model,
    promptings: Sequence[Prompting],
    device: str = "auto",
    *,
    normalisation: Normalisation = FULL_RANGE,
) -> dict[str, FewShotMethod]:
    """Return a method, by name, for each way to prompt a full-size model.

    The methods share a cache, so that each image is encoded once.

    Parameters
    ----------
    model : Model
    promptings : sequence of str
        Names of the prompting; if empty, a single method with the name of the model is returned.
    device, normalisation
        See `few_shot_method`.

    Raises
    ------
    InputError
        If the model does not support a prompting.
    """
    from napari_vrp_sam.inference.prediction.caches.feature_cache import FeatureCache
    from napari_vrp_sam.models.sam.full_size_model import FullSizeModel

    if not promptings:
        return {model.name: few_shot_method(model, device, normalisation=normalisation)}
    if not isinstance(model, FullSizeModel):
        raise InputError(f"The prompting of '{model.name}' is fixed: do not choose one.")
    cache = FeatureCache()
    return {
        prompting: few_shot_method(
            model.with_prompting(prompting), device, normalisation=normalisation, cache=cache
        )
        for prompting in promptings
    }


class ModelMethod:
    """A model as a method of the one-slice protocol, prompted with one class at a time.

    Parameters
    ----------
    model : Model
    device : str
    """

    def __init__(self, model: Model, device: str = "auto") -> None:
        self.model = model
        self.device = device

    def __call__(
        self, frames: Sequence[NDArray[Any]], references: Sequence[Reference]
    ) -> SegmentFrame:
        """Learn the references; see `one_slice.Method`."""
        return self.segment_with(self.predictors(frames, references), frames, references)

    @staticmethod
    def segment_with(
        predictors: Sequence[Predictor],
        frames: Sequence[NDArray[Any]],
        references: Sequence[Reference],
    ) -> SegmentFrame:
        """Return the function that segments frames with the result of `predictors`."""
        from napari_vrp_sam.inference.prediction.outputs import predict_from_probabilities

        cache = predictors[0].cache
        assert cache is not None
        number = {id(frame): index for index, frame in enumerate(frames)}
        streams = [_SequencePredictions(p, frames, references) for p in predictors]

        def segment(frame: NDArray[Any]) -> FrameMasks:
            # The cache encodes a frame once for all classes.
            cache.start_round()
            index = number.get(id(frame))
            found = [
                predict_from_probabilities(p.predict(frame), p.class_ids)
                if index is None
                else stream[index]
                for p, stream in zip(predictors, streams, strict=True)
            ]
            expected = [
                one.confidence.get(p.class_ids[0], np.nan)
                for one, p in zip(found, predictors, strict=True)
            ]
            return FrameMasks(np.stack([one.labels > 0 for one in found]), np.array(expected))

        return segment

    def predictors(
        self, frames: Sequence[NDArray[Any]], references: Sequence[Reference]
    ) -> list[Predictor]:
        """Make a predictor for each class, with the normalisation of the sequence."""
        from napari_vrp_sam.inference.prediction.caches.feature_cache import FeatureCache
        from napari_vrp_sam.inference.prediction.predictor import Predictor

        normalisation = Normalisation.fit(frames)
        cache = FeatureCache()
        predictors = []
        for class_id in class_ids_of(references):
            # The protocol evaluates each class as if no other were annotated.
            predictor = Predictor(self.model, device=self.device)
            predictor.cache = cache
            of_class = [r for r in references if r.class_id == class_id]
            predictor.set_references(of_class, normalisation)
            predictors.append(predictor)
        return predictors


class _SequencePredictions:
    """Predictions of the frames of a sequence, as a run makes them.

    Parameters
    ----------
    predictor : Predictor
        It has learned one class.
    frames : sequence of ndarray
    references : sequence of Reference
    """

    def __init__(
        self,
        predictor: Predictor,
        frames: Sequence[NDArray[Any]],
        references: Sequence[Reference],
    ) -> None:
        from napari_vrp_sam.inference.prediction.outputs import FramePrediction
        from napari_vrp_sam.inference.prediction.smoothing.stack_smoothing import StackSmoother

        self._found: list[FramePrediction] = []
        smoother = StackSmoother(
            predictor,
            frames.__getitem__,
            lambda index: [at for at in (index - 1, index + 1) if 0 <= at < len(frames)],
            [r for r in references if r.class_id in predictor.class_ids],
        )
        self._stream = (
            item
            for item in smoother.stream(range(len(frames)), probabilities=False)
            if isinstance(item, FramePrediction)
        )

    def __getitem__(self, index: int) -> FramePrediction:
        while len(self._found) <= index:
            self._found.append(next(self._stream))
        return self._found[index]
