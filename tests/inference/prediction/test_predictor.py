import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_vrp_sam.annotations.labels import references_from_labels
from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction.outputs import predict_from_probabilities
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.models.base import Model

RED, GREEN = 3, 8  # the classes of the stack


@pytest.fixture
def normalisation(frames):
    return Normalisation.fit(frames)


@pytest.fixture
def predictor(model, frames, truth, normalisation):
    predictor = Predictor(model, device="cpu")
    references = references_from_labels(truth[1, 1], frames[5], frame=5)
    predictor.set_references(references, normalisation)
    return predictor


def test_probabilities_of_each_class(predictor, frames, truth):
    probabilities = predictor.predict(frames[9])
    assert predictor.class_ids == (RED, GREEN)
    assert probabilities.shape == (2, 40, 48)
    assert probabilities.dtype == np.float32
    for class_id, probability in zip(predictor.class_ids, probabilities, strict=True):
        expected = truth[2, 1] == class_id
        found = probability > 0.5
        assert (found & expected).sum() / (found | expected).sum() > 0.8


def test_an_annotated_frame_is_encoded_once(predictor, model):
    assert model.encoded == 1


def test_references_without_a_frame_share_an_image_too(model, frames, truth, normalisation):
    image, labels = frames[5], truth[1, 1]
    references = [Reference(image, labels == c, c) for c in (RED, GREEN)]
    references.append(Reference(frames[6], truth[1, 2] == RED, RED))
    predictor = Predictor(model, device="cpu")
    predictor.set_references(references, normalisation)
    assert model.encoded == 2
    assert predictor.class_ids == (RED, GREEN)


def test_the_model_gets_the_frames_as_they_were_encoded(model, frames, truth, normalisation):
    seen = []

    class Curious(type(model)):
        def prepare(self, references):
            seen.extend(references)
            return super().prepare(references)

    references = references_from_labels(truth[1, 1], frames[5], frame=5)
    references.append(Reference(frames[6], truth[1, 2] == RED, RED))
    Predictor(Curious(), device="cpu").set_references(references, normalisation)
    assert seen[0].image is seen[1].image
    for reference, index in zip(seen, (5, 5, 6), strict=True):
        expected = normalisation.apply(frames[index])
        np.testing.assert_array_equal(reference.image.numpy(), expected)


def test_features_outlive_the_references(predictor, model, frames, truth, normalisation):
    features = predictor.encode(frames[9])
    encoded = model.encoded
    first = predictor.decode(features)
    predictor.set_references([Reference(frames[9], truth[2, 1] == RED, RED)], normalisation)
    second = predictor.decode(features)
    assert (len(first), len(second)) == (2, 1)
    assert model.encoded == encoded + 1


def test_references_of_other_sizes_than_the_target(model, normalisation, frames, truth):
    predictor = Predictor(model, device="cpu")
    part = Reference(frames[5][:30, :20], truth[1, 1, :30, :20] == RED, RED)
    predictor.set_references([part], normalisation)
    assert predictor.predict(frames[5]).shape == (1, 40, 48)
    assert predictor.predict(frames[5][:16, :17]).shape == (1, 16, 17)


def test_the_model_that_is_given_stays_as_it_is(model, frames, truth, normalisation):
    model.train()
    predictor = Predictor(model, device="cpu", precision="bfloat16", compile=True)
    predictor.set_references([Reference(frames[5], truth[1, 1] == RED, RED)], normalisation)
    predictor.predict(frames[0])
    assert model.training
    assert (model.precision, model.compiled) == ("auto", False)
    assert not predictor.model.training
    assert (predictor.model.precision, predictor.model.compiled) == ("bfloat16", True)
    assert all(parameter.grad is None for parameter in predictor.model.parameters())


def test_predictors_share_the_weights_of_a_model(model):
    first, second = (Predictor(model, device="cpu").model for _ in range(2))
    assert first is not second
    for parameter, other in zip(first.parameters(), second.parameters(), strict=True):
        assert parameter.data_ptr() == other.data_ptr()


def test_a_model_may_train_a_classifier_on_the_references(model, frames, truth, normalisation):
    class Learner(type(model)):
        @torch.enable_grad()
        def prepare(self, references):
            tokens = super().prepare(references)[RED].requires_grad_()
            features = references[0].features.embedding.flatten(2).transpose(1, 2)
            torch.cdist(features, tokens[None]).mean().backward()
            return {RED: (tokens - 0.01 * tokens.grad).detach()}

    predictor = Predictor(Learner(), device="cpu")
    predictor.set_references([Reference(frames[5], truth[1, 1] == RED, RED)], normalisation)
    assert predictor.predict(frames[5]).shape == (1, 40, 48)


def test_a_model_need_not_be_a_module(model, frames, truth, normalisation):
    class Wrapper(Model):
        name = "wrapper"
        training = False
        encode, prepare, prompt, decode = model.encode, model.prepare, model.prompt, model.decode

        def parameters(self):
            return model.parameters()

    predictor = Predictor(Wrapper(), device="cpu")
    predictor.set_references([Reference(frames[5], truth[1, 1] == RED, RED)], normalisation)
    assert predictor.predict(frames[5]).shape == (1, 40, 48)


def test_gray_frames_need_no_channel_axis(model, frames, truth):
    gray = frames[5][..., 0]
    predictor = Predictor(model, device="cpu")
    predictor.set_references([Reference(gray, truth[1, 1] == RED)], Normalisation((0,), (255,)))
    np.testing.assert_array_equal(predictor.predict(gray), predictor.predict(gray[..., None]))


def large(labels, size=(520, 700), seed=0):
    """A red disc where labels say so, on a frame of several tiles; picture and truth."""
    rows, columns = np.indices(size)
    truth = np.zeros(size, bool)
    for row, column in labels:
        truth |= (rows - row) ** 2 + (columns - column) ** 2 <= 900
    picture = np.random.default_rng(seed).integers(0, 20, (*size, 3), dtype=np.uint8)
    picture[..., 0] += truth * np.uint8(200)
    return picture, truth


def test_tiles_of_a_local_model_equal_the_whole_frame(model):
    image, truth = large([(100, 100), (256, 250), (400, 600)])
    other, wanted = large([(256, 384), (130, 500)], seed=1)
    reference = Reference(image, truth, RED, frame=0)
    normalisation = Normalisation((0,) * 3, (255,) * 3)
    whole, tiled = Predictor(model, device="cpu"), Predictor(model, device="cpu", tile_size=256)
    for predictor in (whole, tiled):
        predictor.set_references([reference], normalisation)
    before = model.encoded
    found = tiled.predict(other)
    assert model.encoded - before == 4 * 5
    np.testing.assert_allclose(found, whole.predict(other), atol=1e-4)
    assert ((found[0] > 0.5) == wanted).mean() > 0.99


def test_models_that_resize_learn_from_parts_as_large_as_tiles(model):
    seen = []

    class Resized(type(model)):
        input_side = 64

        def prepare(self, references):
            seen.extend(references)
            return super().prepare(references)

    image, truth = large([(100, 100)])
    predictor = Predictor(Resized(), device="cpu", tile_size=256)
    predictor.set_references(
        [Reference(image, truth, RED, frame=0)], Normalisation((0,) * 3, (255,) * 3)
    )
    assert [r.image.shape for r in seen] == [(3, 256, 256)]
    assert seen[0].mask.sum() == truth.sum()


def test_another_tile_size_is_learned_again(model, frames, truth, normalisation):
    predictor = Predictor(model, device="cpu")
    references = references_from_labels(truth[1, 1], frames[5], frame=5)
    predictor.set_references(references, normalisation)
    predictor.tile_size = 4096
    predictor.set_references(references, normalisation)
    assert model.encoded == 2


class TestBadInput:
    def test_no_reference(self, model, normalisation):
        with pytest.raises(InputError, match="no annotation"):
            Predictor(model, device="cpu").set_references([], normalisation)

    def test_references_not_set(self, model, frames):
        with pytest.raises(InputError, match="set_references"):
            Predictor(model, device="cpu").predict(frames[0])

    def test_other_channels_than_the_references(self, predictor, frames):
        with pytest.raises(InputError, match="1 channels where 3"):
            predictor.predict(frames[0][..., :1])

    def test_a_frame_too_small(self, predictor, frames):
        with pytest.raises(InputError, match="15 x 48 pixels are too small"):
            predictor.predict(frames[0][:15])

    def test_a_device_that_is_not_there(self, model):
        with pytest.raises(InputError, match="no CUDA device 'cuda:99'"):
            Predictor(model, device="cuda:99")


def test_the_highest_probability_over_a_half_wins():
    probabilities = np.array([[[0.6, 0.7, 0.5, 0.1]], [[0.9, 0.6, 0.5, 0.2]]], dtype=np.float32)
    labels = predict_from_probabilities(probabilities, (RED, GREEN)).labels
    assert labels.tolist() == [[GREEN, RED, 0, 0]]


@pytest.mark.parametrize(
    ("highest", "dtype"), [(1, "uint8"), (255, "uint8"), (256, "uint16"), (70000, "uint32")]
)
def test_labels_have_the_smallest_dtype(highest, dtype):
    labels = predict_from_probabilities(np.ones((1, 2, 2), np.float32), (highest,)).labels
    assert labels.dtype == dtype
    assert (labels == highest).all()


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.just(5), st.just(6)),
        elements=st.floats(0, 1, width=32),
    )
)
def test_labels_agree_with_the_definition(probabilities):
    class_ids = np.arange(1, len(probabilities) + 1) * 2
    labels = predict_from_probabilities(probabilities, class_ids.tolist()).labels
    for position in np.ndindex(5, 6):
        values = probabilities[:, *position]
        if labels[position] == 0:
            assert (values <= 0.5).all()
        else:
            chosen = values[class_ids.tolist().index(labels[position])]
            assert chosen > 0.5
            assert chosen == values.max()
