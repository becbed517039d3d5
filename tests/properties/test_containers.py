"""Any axes order, dtype, shape, chunking and container gives the labels of the plain array."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.properties.conftest import examples, scratch

from napari_vrp_sam import Segmenter, segment_stack
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.normalisation import fit_normalisation
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.testing import (
    CONTAINERS,
    StackExample,
    axes_orders,
    containers,
    stacks,
    store,
)
from napari_vrp_sam.testing.containers import can_hold

ANY_AXES = axes_orders(channels=("", "C", "S"))
WHOLE_NUMBERS = ("uint8", "int8", "uint16", ">u2", "int16", "float32", ">f4")


def labels_of(example: StackExample, model, data=None, axes=None, **settings) -> np.ndarray:
    """Labels of a stack, in the order of the usual axes."""
    found = segment_stack(
        example.data if data is None else data,
        example.annotation,
        axes=example.axes if data is None else axes,
        reference_frame=example.reference_frame,
        model=model,
        device="cpu",
        one_class=True,
        **settings,
    )
    order = sorted(example.label_axes, key="TZYX".index)
    return np.asarray(found).transpose([example.label_axes.index(axis) for axis in order])


@given(stacks(axes=ANY_AXES), st.data())
@examples(10)
def test_any_container_gives_the_labels_of_the_plain_array(pixel_model, example, data):
    container = data.draw(containers())
    assume(can_hold(container, example))
    expected = labels_of(example.plain(), pixel_model)
    assert expected.shape == example.plain().truth.shape
    squeezed = np.squeeze(expected)  # files may lack axes of size 1
    with scratch() as folder:
        stored = store(example, container, folder, chunk=data.draw(st.integers(1, 48)))
        found = labels_of(stored.example, pixel_model, stored.data, stored.axes)
        np.testing.assert_array_equal(np.squeeze(found), squeezed)


@pytest.mark.parametrize("container", CONTAINERS)
def test_each_container_is_tried(container, pixel_model, tmp_path):
    frames, truth = sample_stack(seed=0, size=48, frames=3)
    example = StackExample(frames, "ZYX", truth)
    stored = store(example, container, tmp_path)
    np.testing.assert_array_equal(
        labels_of(example, pixel_model, stored.data, stored.axes), labels_of(example, pixel_model)
    )


@given(stacks(dtype=st.just(np.dtype("uint8"))), st.sampled_from(WHOLE_NUMBERS))
@examples(6)
def test_the_same_numbers_in_another_dtype_give_the_same_labels(pixel_model, example, name):
    dtype = np.dtype(name)
    halved = StackExample(example.data // 2, example.axes, example.truth)  # int8 holds them, too
    other = StackExample(halved.data.astype(dtype), example.axes, example.truth)
    np.testing.assert_array_equal(labels_of(other, pixel_model), labels_of(halved, pixel_model))


@given(stacks(dtype=st.just(np.dtype("uint8"))), st.sampled_from(("int32", "uint64", "float64")))
@examples(6)
def test_wider_dtypes_differ_by_their_rounding_only(pixel_model, example, name):
    other = StackExample(example.data.astype(name), example.axes, example.truth)
    equal = labels_of(other, pixel_model) == labels_of(example, pixel_model)
    assert equal.mean() > 0.999


@given(stacks())
@examples(6)
def test_the_discs_are_found(pixel_model, example):
    """The properties above would hold for a model that finds nothing."""
    plain = example.plain()
    found = labels_of(plain, pixel_model, neighbours=False) > 0
    truth = plain.truth > 0
    assert (found & truth).sum() > 0.7 * (found | truth).sum()


@pytest.mark.slow
@given(st.sampled_from(CONTAINERS), st.integers(0, 2), st.integers(8, 100))
@examples(8)
def test_lite_gives_the_same_labels_for_any_container(fitted, container, seed, chunk):
    frames, truth = sample_stack(seed=seed, size=64, frames=2)
    example = StackExample(frames, "ZYX", truth)
    with scratch() as folder:
        stored = store(example, container, folder, chunk=chunk)
        found = fitted.predict(stored.data, axes=stored.axes)
        expected = fitted.predict(frames, axes="ZYX")
        np.testing.assert_array_equal(np.asarray(found.labels), expected.labels)
        np.testing.assert_array_equal(found.confidence, expected.confidence)


@pytest.fixture(scope="module")
def fitted(lite_model) -> Segmenter:
    frames, truth = sample_stack(seed=0, size=64, frames=2)
    segmenter = Segmenter(lite_model, device="cpu", effort=0.2)
    return segmenter.fit(frames, truth[1], axes="ZYX", reference_frame=1)


@given(stacks(axes=st.sampled_from(("TZYX", "ZTYX", "YTXZ", "YXZT")), frames=(3, 5)))
@examples(10)
def test_contrast_limits_do_not_depend_on_the_order_of_the_axes(example):
    """A sample of many frames is read."""
    fitted, plain = (
        fit_normalisation(Frames(one.data, one.axes)) for one in (example, example.plain())
    )
    assert fitted == plain
