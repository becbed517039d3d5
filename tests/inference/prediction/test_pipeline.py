"""Batches of frames on a CPU; a GPU runs the same code."""

from __future__ import annotations

import threading
from contextlib import closing

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_vrp_sam.annotations.labels import references_from_labels
from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction.caches.feature_cache import FeatureCache
from napari_vrp_sam.inference.prediction.outputs import (
    FramePrediction,
    predict_from_probabilities,
)
from napari_vrp_sam.inference.prediction.pipeline import (
    PipelineSettings,
    normalise,
    run_pipeline,
)
from napari_vrp_sam.inference.prediction.predictor import Predictor

RED, GREEN = 3, 8  # the classes of the stack
CPU = torch.device("cpu")


def readers():
    return [t for t in threading.enumerate() if t.name == "vrp-sam-reader"]


@pytest.fixture
def make_predictor(model, frames, truth):
    def make(batch):
        predictor = Predictor(model, device="cpu", batch=batch)
        references = references_from_labels(truth[1, 1], frames[5], frame=5)
        predictor.set_references(references, Normalisation.fit(frames))
        return predictor

    return make


def assert_consistent(prediction: FramePrediction, predictor: Predictor) -> None:
    """Labels and confidence are those that the probabilities of the frame give by themselves."""
    expected = predict_from_probabilities(prediction.probabilities, predictor.class_ids)
    np.testing.assert_array_equal(prediction.labels, expected.labels)
    assert prediction.labels.dtype == expected.labels.dtype
    assert prediction.confidence == pytest.approx(expected.confidence)


@pytest.mark.parametrize("batch", [2, 5, 50])
def test_batches_equal_single_frames(make_predictor, frames, batch):
    predictor = make_predictor(batch)
    found = list(predictor.predict_stream(frames))
    assert len(found) == len(frames)
    for frame, prediction in zip(frames, found, strict=True):
        np.testing.assert_allclose(prediction.probabilities, predictor.predict(frame), atol=1e-5)
        assert_consistent(prediction, predictor)
    assert not readers()


def test_one_by_one_it_is_predict_itself(make_predictor, frames, model):
    predictor = make_predictor(None)  # no batches on a CPU
    stream = predictor.predict_stream(frames)
    before = model.encoded
    prediction = next(stream)
    assert model.encoded == before + 1
    np.testing.assert_array_equal(prediction.probabilities, predictor.predict(frames[0]))
    assert_consistent(prediction, predictor)


def test_cached_features_and_new_frames_are_computed_in_batches(make_predictor, frames, model):
    whole = make_predictor(1)
    expected = [whole.predict(frame) for frame in frames]
    predictor = make_predictor(4)
    predictor.cache = FeatureCache(2**30)
    predictor.encode(frames[2])
    for encoded in ([3, 4, 4], []):  # of twelve frames, one is in the cache
        del model.passes[:]
        found = list(predictor.predict_stream(frames))
        assert model.passes == encoded
        for prediction, probabilities in zip(found, expected, strict=True):
            np.testing.assert_allclose(prediction.probabilities, probabilities, atol=1e-5)
            assert_consistent(prediction, predictor)


def test_tiles_are_encoded_in_batches_of_one_size(model):
    image = np.random.default_rng(0).integers(0, 255, (450, 450, 3), dtype=np.uint8)
    reference = Reference(image, image[..., 0] > 200, RED, frame=0)
    found = {}
    for batch in (1, 4):
        predictor = Predictor(model, device="cpu", tile_size=256, batch=batch)
        predictor.set_references([reference], Normalisation((0,) * 3, (255,) * 3))
        del model.passes[:]
        found[batch] = predictor.predict(image)
    assert sum(model.passes) == 9
    assert len(model.passes) < 9
    np.testing.assert_allclose(found[4], found[1], atol=1e-5)


def test_labels_alone(make_predictor, frames):
    predictor = make_predictor(4)
    both = predictor.predict_stream(frames)
    alone = predictor.predict_stream(frames, probabilities=False)
    for expected, prediction in zip(both, alone, strict=True):
        np.testing.assert_array_equal(prediction.labels, expected.labels)
        assert prediction.confidence == expected.confidence
        assert prediction.probabilities is None


def test_no_frames(make_predictor):
    assert list(make_predictor(4).predict_stream([])) == []


def test_sizes_may_change_and_gray_needs_no_channel_axis(model, frames, truth):
    predictor = Predictor(model, device="cpu", batch=3)
    gray = [frame[..., 0] for frame in frames]
    references = references_from_labels(truth[1, 1], frames[5][..., :1], frame=5)
    predictor.set_references(references, Normalisation((0,), (255,)))
    mixed = [gray[0], gray[1], gray[2][:30], gray[3][:30], gray[4]]
    found = list(predictor.predict_stream(mixed))
    assert [prediction.labels.shape for prediction in found] == [frame.shape for frame in mixed]
    for frame, prediction in zip(mixed, found, strict=True):
        np.testing.assert_allclose(prediction.probabilities, predictor.predict(frame), atol=1e-5)


def test_a_loop_that_is_left_ends_the_reading(make_predictor, frames):
    read = []

    def endless():
        while True:
            read.append(None)
            yield frames[len(read) % len(frames)]

    with closing(make_predictor(2).predict_stream(endless())) as stream:
        next(stream)
    count = len(read)
    assert not readers()
    assert count <= 2 * 10  # what is ahead has a bound
    assert len(read) == count


def test_read_errors_are_raised_after_earlier_frames(make_predictor, frames):
    def breaking():
        yield from (frames[0], frames[1])
        raise InputError("The disk is gone.")

    stream = make_predictor(2).predict_stream(breaking())
    with pytest.raises(InputError, match="disk is gone"):
        list(stream)
    assert not readers()


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("damaged", [1, 5, 9])
def test_every_frame_before_one_that_cannot_be_read_is_predicted(
    make_predictor, frames, damaged, cached
):
    def breaking():
        for index in range(len(frames)):
            if index == damaged:
                raise OSError("The chunk is damaged.")
            yield frames[index]

    predictor = make_predictor(4)
    predictor.cache = FeatureCache(2**20) if cached else None
    found = []
    with pytest.raises(OSError, match="damaged"):
        found.extend(prediction for prediction in predictor.predict_stream(breaking()))
    assert len(found) == damaged
    assert not readers()


def test_frames_that_do_not_fit_are_reported(make_predictor, frames):
    predictor = make_predictor(2)
    for wrong, sentence in ((frames[0][:10], "too small"), (frames[0][..., :1], "channels")):
        with pytest.raises(InputError, match=sentence):
            list(predictor.predict_stream([frames[0], wrong]))


def test_batches_before_one_that_exceeds_the_memory_are_finished():
    calls = []

    def logits(images):
        calls.append(len(images))
        if len(calls) == 3:
            raise torch.cuda.OutOfMemoryError
        return images[:, :1] - 0.5

    frames = np.random.default_rng(0).random((7, 20, 20, 1)).astype(np.float32)
    work = PipelineSettings(logits, Normalisation((0,), (1,)), (1,), CPU, batch=2)
    found = []
    with pytest.raises(torch.cuda.OutOfMemoryError):
        found.extend(prediction.labels for prediction in run_pipeline(frames, work))
    np.testing.assert_array_equal(found, frames[:4, ..., 0] > 0.5)
    assert not readers()


def test_a_fixed_batch_is_filled_up():
    shapes = []

    def logits(images):
        shapes.append(tuple(images.shape))
        return images[:, :1] - 0.5

    frames = np.random.default_rng(0).random((5, 20, 20, 1)).astype(np.float32)
    work = PipelineSettings(logits, Normalisation((0,), (1,)), (1,), CPU, batch=4, fixed=True)
    assert len(list(run_pipeline(frames, work))) == 5
    assert set(shapes) == {(4, 3, 20, 20)}


@given(
    dtype=st.sampled_from([np.uint8, np.uint16]),
    channels=st.integers(1, 3),
    low=st.floats(0, 1e4),
    span=st.one_of(st.just(0.0), st.floats(1e-3, 7e4)),
    seed=st.integers(0, 2**32 - 1),
)
def test_frames_are_normalised_to_the_bit(dtype, channels, low, span, seed):
    values = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (6, 7, channels), dtype)
    normalisation = Normalisation((low,) * channels, (low + span,) * channels)
    given_frames = torch.from_numpy(values.view(np.int16) if dtype == np.uint16 else values)[None]
    found = normalise(given_frames, normalisation)[0]
    np.testing.assert_array_equal(found.numpy(), normalisation.apply(values))
