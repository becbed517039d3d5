"""Jobs before the run do its work ahead: loading, encoding and learning."""

import numpy as np
import pytest
from scipy import ndimage
from tests.inference.conftest import frame_results

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.inference.runs.control import StopRunError
from napari_vrp_sam.inference.runs.engine import ThreadEngine
from napari_vrp_sam.inference.runs.events import Done, Failed, FrameResult, Learned, Loaded
from napari_vrp_sam.inference.runs.prepare_job import PrepareJob
from napari_vrp_sam.inference.runs.preview_job import PREVIEW_EFFORT, PreviewJob
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
from napari_vrp_sam.models.interruption import interruptible
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.zoo.registry import load_model

SETTINGS = {"device": "cpu", "contrast_limits": (0, 255)}


@pytest.fixture
def references(stack, truth):
    # Wide objects: frames with thin ones are encoded again, enlarged, after they were annotated.
    wide = ndimage.maximum_filter(truth[0], 9, axes=(-2, -1))
    return gather_references(Frames(stack[0]), wide, reference_frame=1)


@pytest.fixture
def calls(monkeypatch):
    """Record the efforts of learning and the number of frames encoded."""
    found = {"efforts": [], "encoded": 0}
    prepare, encode = LiteModel.prepare, LiteModel.encode

    def counted_prepare(self, references):
        found["efforts"].append(self.effort)
        return prepare(self, references)

    def counted_encode(self, frames):
        found["encoded"] += len(frames)
        return encode(self, frames)

    monkeypatch.setattr(LiteModel, "prepare", counted_prepare)
    monkeypatch.setattr(LiteModel, "encode", counted_encode)
    return found


@pytest.mark.slow
def test_a_preview_is_quick_first_and_the_run_learns_nothing_again(stack, references, calls):
    engine = ThreadEngine(PredictorCache())
    settings = {"references": references, "neighbours": False, **SETTINGS}
    events = list(engine.submit(PreviewJob(stack[0], frames=(1, 2), **settings)).events())

    kinds = [type(event) for event in events if isinstance(event, Learned | FrameResult)]
    assert kinds == [Learned, FrameResult, Learned, FrameResult]
    assert events[-1] == Done(2)
    assert calls == {"efforts": [PREVIEW_EFFORT, 1.0], "encoded": 1}

    job = SegmentationJob(stack[0], frames=(1, 2), **settings)
    (result,) = [e for e in engine.submit(job).events() if isinstance(e, FrameResult)]
    assert calls == {"efforts": [PREVIEW_EFFORT, 1.0], "encoded": 1}
    final = [event for event in events if isinstance(event, FrameResult)][-1]
    np.testing.assert_array_equal(result.labels, final.labels)
    np.testing.assert_array_equal(result.labels, frame_results(job)[0].labels)

    # What is known already is shown at once, for any frame.
    again = list(engine.submit(PreviewJob(stack[0], frames=(2, 3), **settings)).events())
    assert len([event for event in again if isinstance(event, FrameResult)]) == 1


def test_a_prepared_worker_only_learns(stack, references, calls):
    engine = ThreadEngine(PredictorCache())
    prepared = list(engine.submit(PrepareJob(stack[0], first_frame=1, **SETTINGS)).events())
    assert any(isinstance(event, Loaded) for event in prepared)
    assert prepared[-1] == Done(0)
    assert calls == {"efforts": [], "encoded": 1}

    job = PreviewJob(stack[0], references=references, frames=(1, 2), effort=0.1, **SETTINGS)
    results = [e for e in engine.submit(job).events() if isinstance(e, FrameResult)]
    assert len(results) == 1
    assert calls == {"efforts": [0.1], "encoded": 1}


def test_learning_can_be_interrupted_and_repeated(stack, references):
    predictor = Predictor(load_model("lite", device="cpu"), device="cpu")
    normalisation = Normalisation((0.0,) * 3, (255.0,) * 3)
    checks = []

    def stop():
        checks.append(1)
        if len(checks) == 5:
            raise StopRunError

    with pytest.raises(StopRunError), interruptible(stop):
        predictor.set_references(references, normalisation, effort=0.1)
    assert not predictor.has_learned(references, normalisation, effort=0.1)
    predictor.set_references(references, normalisation, effort=0.1)
    assert predictor.has_learned(references, normalisation, effort=0.1)
    assert not predictor.has_learned(references, normalisation)
    assert 5 <= len(checks) < 10  # probes are fitted side by side


@pytest.mark.parametrize("effort", [0, -1, 1.5])
def test_efforts_out_of_range_are_refused(stack, references, effort):
    job = SegmentationJob(stack[0], references=references, effort=effort, **SETTINGS)
    event = list(ThreadEngine().submit(job).events())[-1]
    assert isinstance(event, Failed)
    assert "effort" in event.message


def test_the_effort_is_kept_with_a_segmenter(stack, truth, tmp_path):
    from napari_vrp_sam import Segmenter

    segmenter = Segmenter("lite", device="cpu", contrast_limits=(0, 255), effort=0.1)
    segmenter.fit(stack[0], truth[0], axes="ZYXS", reference_frame=1)
    assert segmenter.expected_iou_ == dict.fromkeys(segmenter.class_ids_)
    segmenter.save(tmp_path / "quick.vrpsam")
    assert Segmenter.load(tmp_path / "quick.vrpsam", device="cpu").effort == 0.1
    segmenter.effort = 2
    with pytest.raises(InputError, match="effort"):
        segmenter.predict(stack[0])
