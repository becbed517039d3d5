"""Jobs that compare models on the annotated frames of a stack."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.comparison.hold_out import HeldOut, hold_out_parts
from napari_vrp_sam.inference.comparison.peak_memory import PeakMemory
from napari_vrp_sam.inference.comparison.result import Comparison, ModelResult
from napari_vrp_sam.inference.exporting import RgbFrames
from napari_vrp_sam.inference.runs.control import Control, StopRunError
from napari_vrp_sam.inference.runs.events import Event, JobEvent, Progress
from napari_vrp_sam.inference.runs.segmentation import model_events
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob, normalisation_of, plan

if TYPE_CHECKING:
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.normalisation import Normalisation
    from napari_vrp_sam.inference.prediction.predictor import Predictor

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ComparisonJob(SegmentationJob):
    """Learn the references with several models, one after the other.

    The fields of a segmentation job apply to each model; `first_frame` is the frame that the
    picture shows. The prompting is that of each model.

    Attributes
    ----------
    models : sequence of str
        Names or weights files.
    """

    patience: ClassVar[float] = 60.0
    handler: ClassVar[str] = "napari_vrp_sam.inference.comparison.job:comparison_events"
    models: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Compared(JobEvent):
    """The comparison is complete."""

    comparison: Comparison


def comparison_events(
    job: ComparisonJob, control: Control, _cache: object = None
) -> Generator[Event]:
    """Compare the models of a job; see `Job.events`.

    A model that cannot be downloaded, loaded or used is reported in its `ModelResult`, and the
    others go on.

    Yields
    ------
    Progress
        Models done, and models in total.
    ModelResult
        After each model.
    Compared
        At the end.
    """
    if not job.models:
        raise InputError("There is no model to compare: choose one or more.")
    frames, _ = plan(job)
    shown = _shown_frame(job, len(frames))
    normalisation = normalisation_of(job, frames)
    parts = hold_out_parts(job.references)
    results: list[ModelResult] = []
    total = len(job.models)
    for name in job.models:
        yield Progress(len(results), total, f"{name}: loading", "loading")
        try:
            result = yield from _compare_one(
                name, job, frames, shown, normalisation, parts, control, len(results)
            )
        except StopRunError:
            raise
        except InputError as error:
            result = ModelResult(name, problem=" ".join(str(error).split()))
        except Exception as error:  # such as no memory; the other models go on
            logger.warning("%s cannot be compared", name, exc_info=True)
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            result = ModelResult(name, problem=f"It failed: {reason}")
        results.append(result)
        yield result
    yield Progress(total, total, "Compared", "evaluating")
    picture = RgbFrames(frames, normalisation)[shown]
    yield Compared(Comparison(tuple(results), picture, shown, _held_out_text(parts)))


def _compare_one(
    name: str,
    job: ComparisonJob,
    frames: Frames,
    shown: int,
    normalisation: Normalisation,
    parts: Sequence[HeldOut],
    control: Control,
    done: int,
) -> Generator[Event, None, ModelResult]:
    from napari_vrp_sam.inference.prediction.caches.feature_cache import FeatureCache
    from napari_vrp_sam.models.devices import resolve_device
    from napari_vrp_sam.models.interruption import interruptible

    total = len(job.models)
    known = {f.name: getattr(job, f.name) for f in fields(SegmentationJob)}
    one = SegmentationJob(**known | {"model": name, "prompting": None, "cache": False})
    with PeakMemory(str(resolve_device(job.device))) as memory:
        predictor = yield from model_events(one, total, control)
        yield Progress(done, total, f"{name}: learning", "learning")
        with interruptible(control.check):
            start = time.perf_counter()
            predictor.set_references(job.references, normalisation, effort=job.effort)
            learning = time.perf_counter() - start
        control.check()
        yield Progress(done, total, f"{name}: segmenting", "segmenting")
        labels, seconds = _predict(predictor, frames, shown)
        predictor.cache = FeatureCache()  # frames are encoded once for all parts
        iou = {}
        yield Progress(done, total, f"{name}: measuring the accuracy", "evaluating")
        with interruptible(control.check):
            iou = _held_out_iou(predictor, parts, normalisation, job.effort)
    return ModelResult(name, iou, seconds, learning, memory.peak, labels)


def _predict(predictor: Predictor, frames: Frames, index: int) -> tuple[np.ndarray, float]:
    """Return the labels of a frame, and the seconds of the second of two times."""
    seconds = 0.0
    for _ in range(2 if predictor.device.type == "cuda" else 1):
        start = time.perf_counter()
        (prediction,) = predictor.predict_stream([frames[index]], probabilities=False)
        seconds = time.perf_counter() - start
    return prediction.labels, seconds


def _held_out_iou(
    predictor: Predictor, parts: Sequence[HeldOut], normalisation: Normalisation, effort: float
) -> dict[int, float]:
    overlap: dict[int, int] = {}
    union: dict[int, int] = {}
    for part in parts:
        predictor.set_references(part.training, normalisation, effort=effort)
        (prediction,) = predictor.predict_stream([part.image], probabilities=False)
        for class_id, truth in part.truth.items():
            found = (prediction.labels == class_id) & part.known[class_id]
            wanted = truth & part.known[class_id]
            overlap[class_id] = overlap.get(class_id, 0) + int((found & wanted).sum())
            union[class_id] = union.get(class_id, 0) + int((found | wanted).sum())
    return {c: overlap[c] / max(union[c], 1) for c in sorted(union)}


def _shown_frame(job: ComparisonJob, count: int) -> int:
    """Return the frame of the picture: the chosen one, or one without annotation in the middle."""
    if job.first_frame is not None:
        if not 0 <= job.first_frame < count:
            raise InputError(
                f"There is no frame {job.first_frame}: choose one from 0 to {count - 1}."
            )
        return job.first_frame
    annotated = job.annotated
    others = [index for index in range(count) if index not in annotated] or list(range(count))
    return min(others, key=lambda index: abs(index - count // 2))


def _held_out_text(parts: Sequence[HeldOut]) -> str:
    if not parts:
        return ""
    if len({id(part.image) for part in parts}) > 1:
        return "annotated frames that were held out, one at a time"
    return "halves of the annotated frame that were held out, one at a time"
