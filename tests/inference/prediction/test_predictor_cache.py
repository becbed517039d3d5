import gc
import os
import weakref
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
from tests.inference.conftest import frame_results

from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
from napari_vrp_sam.models.zoo import user_models as store


@pytest.fixture
def job(stack, truth, model):
    references = gather_references(Frames(stack[0]), truth[0], reference_frame=1)
    return SegmentationJob(stack[0], references=references, model=model, device="cpu")


def labels(job, memory=None):
    return {result.index: result.labels for result in frame_results(job, memory)}


def test_a_second_run_encodes_nothing_and_gives_the_same(job, model, stack, truth):
    memory = PredictorCache()
    first = labels(job, memory)
    encoded = model.encoded
    assert encoded == 4  # the annotated frame is one of them
    again = labels(job, memory)
    other = SegmentationJob(
        stack[0],
        references=gather_references(Frames(stack[0]), truth[0], reference_frame=2),
        model=model,
        device="cpu",
    )
    corrected = labels(other, memory)

    assert model.encoded == encoded
    plain = labels(other)
    for index in range(4):
        np.testing.assert_array_equal(again[index], first[index])
        np.testing.assert_array_equal(corrected[index], plain[index])


def test_a_worker_that_keeps_nothing_looks_for_nothing(job, tmp_path, monkeypatch):
    assert PredictorCache(0).predictor(job).cache is None
    assert PredictorCache(1).predictor(job).cache is not None
    monkeypatch.setenv("VRP_SAM_CACHE", str(tmp_path))
    monkeypatch.setenv("VRP_SAM_FEATURES", "1")
    cached = PredictorCache(0).predictor(replace(job, model="lite", cache=True)).cache
    assert cached is not None
    assert cached.limit == 0


def test_the_same_references_are_learned_once(job, model, stack, truth):
    learned = []
    prepare = model.prepare
    model.prepare = lambda references: learned.append(len(references)) or prepare(references)
    memory = PredictorCache()
    for _ in range(2):
        labels(job, memory)
    assert learned == [2]
    labels(
        SegmentationJob(
            stack[0],
            references=gather_references(Frames(stack[0]), truth[0], reference_frame=0),
            model=model,
            device="cpu",
        ),
        memory,
    )
    assert learned == [2, 2]


def test_another_intensity_range_is_another_frame(job, model, stack):
    memory = PredictorCache()
    labels(job, memory)
    encoded = model.encoded
    labels(
        SegmentationJob(
            stack[0], references=job.references, model=model, device="cpu", contrast_limits=(0, 90)
        ),
        memory,
    )
    assert model.encoded == encoded + 4


def test_one_model_at_a_time(job, stack, model):
    memory = PredictorCache()
    labels(job, memory)
    first = weakref.ref(memory.predictor(job))
    assert memory.predictor(job) is first()
    second = memory.predictor(
        SegmentationJob(stack[0], references=job.references, model=type(model)())
    )
    gc.collect()
    assert first() is None
    memory.clear()
    assert (
        memory.predictor(SegmentationJob(stack[0], references=job.references, model=model))
        is not second
    )


def test_a_rewritten_model_file_is_another_model(tmp_path, job, stack):
    from importlib.resources import files

    weights = (files("napari_vrp_sam.models") / "weights" / "lite.safetensors").read_bytes()
    path = tmp_path / "mine.safetensors"
    path.write_bytes(weights)
    memory = PredictorCache()
    of_file = SegmentationJob(stack[0], references=job.references, model=path, device="cpu")
    first = memory.predictor(of_file)
    assert memory.predictor(of_file) is first
    path.unlink()
    path.write_bytes(weights)
    assert memory.predictor(of_file) is not first


def test_another_model_with_the_same_name_is_loaded_again(job, user_models):
    packaged = resources.files("napari_vrp_sam") / "models/weights/lite.safetensors"
    with resources.as_file(packaged) as path:
        model = store.add(path, "mito")
    memory = PredictorCache()
    job = replace(job, model="mito")
    first = memory.predictor(job)
    assert memory.predictor(job) is first
    weights = model.path.read_bytes()
    store.delete("mito")
    model.path.write_bytes(weights)
    os.utime(model.path, ns=(0, 0))
    assert memory.predictor(job) is not first
