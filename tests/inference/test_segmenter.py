"""`Segmenter`: the same labels as `segment_stack`, on any stack, also after saving."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.inference.conftest import GREEN, RED

from napari_vrp_sam import InputError, Segmenter, segment_stack
from napari_vrp_sam.inference.relabelling.relabel import RelabelSettings
from napari_vrp_sam.inference.segmenter_file import read_segmenter, write_segmenter
from napari_vrp_sam.io.images.stacks import read_stack
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.testing import PixelModel


@pytest.fixture
def segmenter(model, stack, truth):
    return Segmenter(model, device="cpu").fit(stack, truth[1, 1], reference_frame=(1, 1))


def test_predict_gives_labels_confidence_and_probabilities(segmenter, stack):
    result = segmenter.predict(stack, probabilities=True)
    assert result.labels.shape == (3, 4, 40, 48)
    assert result.class_ids == segmenter.class_ids_ == (RED, GREEN)
    assert result.confidence.shape == (3, 4, 2)
    assert result.probabilities.shape == (3, 4, 2, 40, 48)
    for index in np.ndindex(3, 4):
        for number, class_id in enumerate(result.class_ids):
            found = (result.labels[index] == class_id).any()
            assert found == np.isfinite(result.confidence[index][number])
    np.testing.assert_array_equal(result.probabilities, segmenter.predict_proba(stack))


def test_a_result_is_exported_with_its_axes_and_confidence(segmenter, stack, tmp_path: Path):
    result = segmenter.predict(stack)
    result.export(tmp_path / "a.tif")
    found, axes = read_stack(tmp_path / "a.tif")
    assert axes == "TZYX"
    np.testing.assert_array_equal(np.asarray(found), result.labels)
    with pytest.raises(InputError, match="predict with `probabilities=True`"):
        result.relabel(0.3)


def test_relabelling_is_a_setting(lite):
    stack, segmenter = lite
    wanted = RelabelSettings({1: 0.3}, min_size=20, fill_holes=True, smoothing=1.0)
    by_hand = segmenter.predict(stack, probabilities=True).relabel(
        0.3, min_size=20, fill_holes=True, smoothing=1.0
    )
    assert (by_hand.labels != segmenter.predict(stack).labels).any()
    segmenter.relabelling = wanted
    try:
        np.testing.assert_array_equal(segmenter.predict(stack).labels, by_hand.labels)
    finally:
        segmenter.relabelling = None


def test_segment_stack_is_short_for_it(segmenter, model, stack, truth):
    expected = segmenter.predict(stack).labels
    labels = segment_stack(stack, truth[1, 1], reference_frame=(1, 1), model=model, device="cpu")
    np.testing.assert_array_equal(labels, expected)


def test_frames_come_one_by_one_in_order(segmenter, stack):
    whole = segmenter.predict(stack)
    for frame in segmenter.predict_iter(stack, frames=(2, 5)):
        position = np.unravel_index(frame.index, (3, 4))
        np.testing.assert_array_equal(frame.labels, whole.labels[position])
        assert frame.probabilities.shape == (2, 40, 48)
    assert frame.index == 4


def test_a_single_frame_of_another_day(segmenter, stack):
    probabilities = segmenter.predict_proba(stack[2, 3])
    whole = segmenter.predict(stack, probabilities=True).probabilities
    np.testing.assert_allclose(probabilities, whole[2, 3], atol=1e-6)


def test_axes_in_an_unusual_order_are_remembered(model, stack, truth):
    usual = stack[..., 0].reshape(12, 40, 48)[:5]
    unusual = np.moveaxis(usual, 0, -1)  # as ZYX, its frames would be 48 x 5 pixels
    expected = Segmenter(model, device="cpu").fit(usual, truth[0, 1], reference_frame=1)
    fitted = Segmenter(model, device="cpu")
    fitted.fit(unusual, truth[0, 1], axes="YXZ", reference_frame=1)
    np.testing.assert_array_equal(fitted.predict(unusual).labels, expected.predict(usual).labels)


def test_accepted_frames_are_left_out(segmenter, stack):
    result = segmenter.predict(stack, accepted=[0, 5])
    assert not result.labels[0, 0].any()
    assert np.isnan(result.confidence[1, 1]).all()
    assert result.labels[2, 3].any()


def test_progress_has_three_arguments(segmenter, stack):
    calls = []
    segmenter.predict(stack, progress=lambda *given: calls.append(given))
    assert calls[0] == (0, 12, "Loading the model")
    assert calls[-1] == (12, 12, "Frame 12 of 12")


def test_output_is_written_and_read_lazily(segmenter, stack, tmp_path: Path):
    expected = segmenter.predict(stack)
    path = tmp_path / "labels.zarr"
    result = segmenter.predict(stack, output=path)
    np.testing.assert_array_equal(np.asarray(result.labels), expected.labels)
    np.testing.assert_array_equal(result.confidence, expected.confidence)
    with pytest.raises(InputError, match="already exists: choose another output"):
        segmenter.predict(stack, output=path)
    again = segmenter.predict(stack, output=path, overwrite=True)
    np.testing.assert_array_equal(np.asarray(again.labels), expected.labels)


def test_output_in_the_order_of_ome_zarr_is_read_in_that_of_the_stack(stack, truth, tmp_path: Path):
    """OME-Zarr requires T before Z, whatever the order of the stack."""
    turned, annotation = stack.swapaxes(0, 1), truth[1, 1]
    axes = "ZT" + "YXC"[: turned.ndim - 2]
    segmenter = Segmenter(PixelModel(), device="cpu")
    segmenter.fit(turned, annotation, axes=axes, reference_frame=(1, 1))
    expected = segmenter.predict(turned, axes=axes)
    result = segmenter.predict(turned, axes=axes, output=tmp_path / "labels.zarr")
    np.testing.assert_array_equal(np.asarray(result.labels), expected.labels)
    np.testing.assert_array_equal(result.labels[2], expected.labels[2])
    stored, stored_axes = read_stack(tmp_path / "labels.zarr")
    assert stored_axes == "TZYX"
    np.testing.assert_array_equal(np.asarray(stored), expected.labels.swapaxes(0, 1))


def test_old_names_still_work_with_a_warning(model, stack, truth):
    with pytest.warns(DeprecationWarning, match="'frame' of fit.. has been renamed"):
        old = Segmenter(model, device="cpu").fit(stack, truth[1, 1], frame=(1, 1))
    assert [reference.frame for reference in old.references_] == [5, 5]


class TestErrors:
    def test_predict_before_fit(self, model, stack):
        with pytest.raises(InputError, match="call `fit` first"):
            Segmenter(model).predict(stack)

    def test_a_loaded_model_cannot_be_saved(self, segmenter, tmp_path):
        with pytest.raises(InputError, match="name or a file"):
            segmenter.save(tmp_path / "x.vrpsam")

    def test_nothing_to_resume(self, segmenter, stack):
        with pytest.raises(InputError, match="give an output"):
            segmenter.predict(stack, resume=True)


@pytest.fixture(scope="module")
def lite():
    stack, truth = sample_stack(seed=2, size=96, frames=3)
    fitted = Segmenter("lite", device="cpu", contrast_limits=(0, 240), effort=0.2)
    return stack, fitted.fit(stack, truth[1], reference_frame=1)


def test_a_saved_segmenter_predicts_the_same(lite, tmp_path: Path):
    stack, fitted = lite
    path = tmp_path / "mitochondria.vrpsam"
    fitted.save(path)
    loaded = Segmenter.load(path, device="cpu")
    assert loaded.contrast_limits == (0, 240)
    assert loaded.expected_iou_ == fitted.expected_iou_
    expected, found = (one.predict(stack, probabilities=True) for one in (fitted, loaded))
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def test_a_file_keeps_negative_and_ignored_pixels(tmp_path: Path):
    stack, truth = sample_stack(seed=2, size=64, frames=2)
    labels = truth[1].copy()
    labels[:2], labels[-2:] = 8, 9
    fitted = Segmenter("lite", device="cpu", effort=0.2).fit(
        stack, labels, reference_frame=1, annotation_kind="partial", background=8, ignore=9
    )
    job = fitted._job(None)
    write_segmenter(tmp_path / "a.vrpsam", job, axes="ZYX", expected_iou={})
    (before,), (after,) = job.references, read_segmenter(tmp_path / "a.vrpsam")[0].references
    assert after.kind == before.kind == "partial"
    for name in ("mask", "negative", "ignored"):
        assert getattr(before, name).any()
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged"),
        (b"not a segmenter at all, but text that is long enough", "damaged"),
        (None, "does not exist"),
    ],
)
def test_damaged_files(tmp_path: Path, content: bytes | None, message: str):
    path = tmp_path / "x.vrpsam"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        Segmenter.load(path)


def test_a_file_of_another_kind(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    save_file({"a": np.zeros(3)}, path)
    with pytest.raises(InputError, match="is not a segmenter"):
        Segmenter.load(path)


def test_a_truncated_file(lite, tmp_path: Path):
    path = tmp_path / "x.vrpsam"
    lite[1].save(path)
    content = path.read_bytes()
    for length in (9, 200, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match="damaged"):
            Segmenter.load(path)
