"""Full memory: batches shrink, then tiles, then the model moves to the CPU, and it is reported."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.inference.conftest import RED, TinyModel

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction import learned_model
from napari_vrp_sam.inference.prediction.caches.feature_cache import FeatureCache
from napari_vrp_sam.inference.prediction.learned_model import LearnedModel
from napari_vrp_sam.inference.prediction.memory import UnfinishedFrames, next_step
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache
from napari_vrp_sam.inference.runs.engine import ThreadEngine
from napari_vrp_sam.inference.runs.events import Done, Failed, FrameResult, Loaded, RunWarning
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob

UNIT = Normalisation((0,) * 3, (255,) * 3)


class SmallMemory(TinyModel):
    """A model on a device whose memory holds a number of pixels; the CPU holds all."""

    def __init__(self, pixels: float, error: Exception | None = None) -> None:
        super().__init__()
        self.pixels, self.on_gpu = pixels, True
        self.error = error or torch.OutOfMemoryError("CUDA out of memory.")

    def configured(self, device, **settings):
        model = super().configured(device, **settings)
        model.on_gpu = not getattr(self, "copied", False)
        model.copied = True
        return model

    def encode(self, frames):
        if self.on_gpu and len(frames) * frames.shape[-1] * frames.shape[-2] > self.pixels:
            raise self.error
        return super().encode(frames)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 255, (5, 288, 600, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    """Choose the steps of a GPU until the model has moved, although there may be none."""

    apply = LearnedModel._apply

    def step(batch, tile_size, device, *, tiles):
        return next_step(batch, tile_size, "cpu" if moved else "cuda", tiles=tiles)

    def applied(predictor, taken):
        moved.extend([taken] * taken.cpu)
        apply(predictor, taken)

    moved: list[object] = []
    monkeypatch.setattr(learned_model, "next_step", step)
    monkeypatch.setattr(LearnedModel, "_apply", applied)
    return moved


def predictor_of(model, image, *, batch=None):
    predictor = Predictor(model, device="cpu", batch=batch)
    predictor.set_references(references_of(image), UNIT)
    return predictor


def references_of(image, frame=None):
    part = image[0][:64, :64]
    return [Reference(part, part[..., 0] > 128, RED, frame=frame)]


FRAME = 288 * 600


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    ("pixels", "steps"),
    [
        (4 * FRAME, []),
        (2 * FRAME, [2]),
        (FRAME, [2, 1]),
        (FRAME - 1, [2, 1, 288]),
        (288 * 288 - 1, [2, 1, 288, "cpu"]),
    ],
)
def test_the_labels_are_those_of_enough_memory(image, pixels, steps, cached, caplog):
    enough = predictor_of(TinyModel(), image)
    predictor = predictor_of(SmallMemory(pixels), image, batch=4)
    predictor.cache = FeatureCache(2**30) if cached else None
    found = list(predictor.predict_stream(iter(image)))
    assert [s.batch or s.tile_size or "cpu" for s in predictor.memory_steps] == steps
    assert [record.message for record in caplog.records] == [
        step.message for step in predictor.memory_steps
    ]
    assert len(found) == len(image)
    for frame, prediction in zip(image, found, strict=True):
        np.testing.assert_allclose(prediction.probabilities, enough.predict(frame), atol=1e-4)
    assert not [t for t in threading.enumerate() if t.name == "vrp-sam-reader"]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError("Unable to allocate 8 GiB"),
    ],
)
def test_every_way_to_say_it_is_understood(image, error):
    predictor = predictor_of(SmallMemory(FRAME - 1, error), image)
    assert predictor.predict(image[0]).shape == (1, 288, 600)
    assert [step.tile_size for step in predictor.memory_steps] == [288]


def test_other_errors_are_not_swallowed(image):
    predictor = predictor_of(SmallMemory(FRAME - 1, RuntimeError("device-side assert")), image)
    with pytest.raises(RuntimeError, match="assert"):
        predictor.predict(image[0])
    assert not predictor.memory_steps


def test_references_that_do_not_fit_are_learned_on_the_cpu(image):
    predictor = predictor_of(SmallMemory(100), image)
    assert [step.cpu for step in predictor.memory_steps] == [True]
    assert predictor.moved
    assert predictor.has_learned(
        [Reference(image[0][:64, :64], image[0][:64, :64, 0] > 128, RED)], UNIT
    )
    expected = predictor_of(TinyModel(), image).predict(image[1])
    np.testing.assert_allclose(predictor.predict(image[1]), expected, atol=1e-5)


def test_a_model_that_resizes_frames_skips_the_tiles():
    assert next_step(2, 2048, "cuda", tiles=False).batch == 1
    assert next_step(1, 2048, "cuda", tiles=False).cpu
    assert next_step(1, 2048, "cpu", tiles=True).tile_size == 1024
    with pytest.raises(InputError, match="not enough memory"):
        next_step(1, 500, "cpu", tiles=True)


class AlwaysFull(TinyModel):
    def decode(self, features, prompts):
        raise torch.OutOfMemoryError("out of memory")


class FullAfterLearning(SmallMemory):
    def __init__(self):
        super().__init__(np.inf)

    def prepare(self, references):
        self.pixels = 64 * 64 - 1
        return super().prepare(references)


@pytest.fixture
def job(image):
    return SegmentationJob(
        image[:, :64, :64],
        references=references_of(image, frame=0),
        axes="ZYXS",
        device="cpu",
        neighbours=False,
    )


def test_a_job_that_fits_nowhere_fails_in_one_sentence(job):
    events = list(ThreadEngine().submit(replace(job, model=AlwaysFull())).events())
    assert isinstance(events[-1], Failed)
    assert events[-1].message.startswith("There is not enough memory")
    assert events[-1].detail == ""


@pytest.mark.parametrize("neighbours", [False, True])
def test_each_step_is_an_event_and_the_next_job_begins_anew(job, gpu, neighbours):
    job = replace(job, model=FullAfterLearning(), neighbours=neighbours)
    cache = PredictorCache()
    for _ in range(2):
        gpu.clear()
        events = list(ThreadEngine(cache).submit(job).events())
        assert isinstance(events[-1], Done)
        assert sum(isinstance(event, FrameResult) for event in events) == 5
        (at,) = [n for n, event in enumerate(events) if isinstance(event, RunWarning)]
        assert "the model runs on the CPU" in events[at].message
        assert events[at + 1] == Loaded("cpu", "CPU")


def test_weights_move_one_by_one(model):
    """The memory of a full GPU has no room for a second model."""
    moved = model.configured(torch.device("meta"))
    assert {p.device.type for p in moved.parameters()} == {"meta"}
    assert {p.device.type for p in model.parameters()} == {"cpu"}
    assert [p.requires_grad for p in moved.parameters()] == [
        p.requires_grad for p in model.parameters()
    ]


def test_frames_are_repeated_with_the_error_at_their_end():
    def breaking():
        yield from (np.zeros(1), np.ones(1))
        raise OSError("The chunk is damaged.")

    frames = UnfinishedFrames(breaking())
    assert frames.peek() == 0
    assert [next(frames) for _ in range(2)] == [0, 1]
    frames.finish()
    for _ in range(2):
        with pytest.raises(OSError, match="damaged"):
            next(frames)
    assert frames.rewind() == 1
    assert next(frames) == 1
    with pytest.raises(OSError, match="damaged"):
        next(frames)
