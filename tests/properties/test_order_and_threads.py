"""The order of classes and references, the batch size and the number of threads change nothing."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties.conftest import examples

from napari_vrp_sam import Reference, Segmenter
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.normalisation import fit_normalisation
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.io.samples import sample_stack


@pytest.fixture(scope="module")
def stack() -> np.ndarray:
    return sample_stack(seed=1, size=64, frames=4)[0]


@pytest.fixture(scope="module")
def references(stack) -> list[Reference]:
    """Two classes on frames 0 and 2: the sample's class, and the darkest pixels."""
    truth = sample_stack(seed=1, size=64, frames=4)[1].copy()
    truth[(stack < np.percentile(stack, 10)) & (truth == 0)] = 7
    truth[[1, 3]] = 0
    return gather_references(Frames(stack, "ZYX"), truth)


@pytest.fixture(scope="module")
def by_lite(lite_model, stack, references):
    return predict(lite_model, stack, references)


def predict(model, stack, references, **settings):
    segmenter = Segmenter(model, device="cpu", effort=0.2, **settings)
    return segmenter.fit(stack, references, axes="ZYX").predict(stack, probabilities=True)


def assert_same(found, expected) -> None:
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    np.testing.assert_array_equal(found.confidence, expected.confidence)


@given(st.data())
@examples(5)
def test_the_order_of_references_changes_nothing(pixel_model, stack, references, data):
    shuffled = data.draw(st.permutations(references))
    expected = predict(pixel_model, stack, references)
    assert_same(predict(pixel_model, stack, shuffled), expected)


def test_the_order_of_references_changes_nothing_for_lite(lite_model, stack, references, by_lite):
    assert_same(predict(lite_model, stack, [references[at] for at in (3, 1, 2, 0)]), by_lite)


@pytest.mark.slow
def test_references_without_frames_may_have_any_order(pixel_model, lite_model, stack, references):
    loose = [replace(r, frame=None) for r in references]
    for model in (pixel_model, lite_model):
        expected = predict(model, stack, loose)
        assert_same(predict(model, stack, loose[::-1]), expected)


@pytest.mark.slow
def test_the_numbers_of_classes_change_only_the_labels(lite_model, stack, references, by_lite):
    """Classes 1 and 7 as 200 and 3, so that their order is reversed."""
    new_ids = {1: 200, 7: 3}
    renamed = [replace(r, class_id=new_ids[r.class_id]) for r in references]
    expected = by_lite
    found = predict(lite_model, stack, renamed)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities[:, ::-1])
    back = {0: 0, 200: 1, 3: 7}
    named = np.vectorize(back.get)(np.asarray(found.labels))
    assert (named == expected.labels).mean() > 0.9999  # a tie goes to the class that comes first


@pytest.mark.parametrize(
    "name", ["pixel_model", pytest.param("lite_model", marks=pytest.mark.slow)]
)
def test_the_batch_size_changes_nothing(request, name, stack, references):
    model = request.getfixturevalue(name)
    frames = Frames(stack, "ZYX")
    normalisation = fit_normalisation(frames)
    found = []
    for batch in (1, 3, 4):
        predictor = Predictor(model, device="cpu", batch=batch)
        predictor.set_references(references, normalisation, effort=0.2)
        found.append(list(predictor.predict_stream(frames)))
    for other in found[1:]:
        for one, expected in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(one.labels, expected.labels)
            np.testing.assert_allclose(one.probabilities, expected.probabilities, atol=1e-5)


SCRIPT = """
import sys
import numpy as np, torch
from napari_vrp_sam import Segmenter
from napari_vrp_sam.io.samples import sample_stack
torch.set_num_threads(int(sys.argv[1]))
stack, truth = sample_stack(seed=1, size=96, frames=3)
segmenter = Segmenter("lite", device="cpu", effort=float(sys.argv[2]))
result = segmenter.fit(stack, truth[1], axes="ZYX", reference_frame=1).predict(stack)
np.savez(sys.argv[3], labels=result.labels, confidence=result.confidence)
assert torch.get_num_threads() == int(sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("effort", [0.2, 1.0])
def test_two_runs_give_the_same_labels_for_any_number_of_threads(effort, tmp_path):
    """Processes of their own: a process cannot be trusted to forget its threads."""
    results = []
    for number, threads in enumerate((1, 2, 2)):
        path = tmp_path / f"{number}.npz"
        command = [sys.executable, "-c", SCRIPT, str(threads), str(effort), str(path)]
        subprocess.run(command, check=True)
        results.append(np.load(path))
    one, two, again = results
    assert one["labels"].any()
    np.testing.assert_array_equal(two["labels"], one["labels"])
    # Sums of more than one thread are rounded in another order.
    np.testing.assert_allclose(two["confidence"], one["confidence"], rtol=0, atol=1e-5)
    for name in ("labels", "confidence"):
        np.testing.assert_array_equal(again[name], two[name])
