import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction.caches.feature_cache import (
    FeatureCache,
    annotations_digest,
    digest,
    frame_key,
)
from napari_vrp_sam.models.base import FrameFeatures

SIZE = 2 * 100 * 4
"""Bytes of `features`."""


def features(value=0.0):
    return FrameFeatures((10, 10), torch.full((1, 1, 10, 10), value), (torch.zeros(1, 1, 10, 10),))


def test_stored_features_are_returned():
    cache = FeatureCache(10 * SIZE)
    one = features(1.0)
    cache.put(b"one", one)
    assert cache.get(b"two") is None
    assert torch.equal(cache.get(b"one").embedding, one.embedding)
    assert cache.size == SIZE


def test_a_stack_too_large_finds_its_first_frames_again():
    cache = FeatureCache(3 * SIZE)
    keys = [bytes([i]) for i in range(5)]
    found = []
    for _ in range(2):
        cache.start_round()
        found.append([cache.get(key) is not None for key in keys])
        for key, known in zip(keys, found[-1], strict=True):
            if not known:
                cache.put(key, features())
    assert found == [[False] * 5, [True] * 3 + [False] * 2]


def test_another_stack_takes_the_room():
    cache = FeatureCache(3 * SIZE)
    for key in (b"a", b"b", b"c"):
        cache.put(key, features())
    cache.start_round()
    assert cache.get(b"a") is not None
    for key in (b"x", b"y", b"z"):
        cache.put(key, features())
    assert [key for key in (b"a", b"b", b"c", b"x", b"y", b"z") if cache.get(key)] == [
        b"a",
        b"x",
        b"y",
    ]


def test_where_nothing_is_kept_nothing_is_copied():
    on_gpu = features().to("meta")  # a device that nothing can be copied from
    assert FeatureCache(0).put(b"one", on_gpu) is on_gpu


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=60))
def test_the_limit_holds_and_the_size_is_that_of_the_entries(steps):
    cache = FeatureCache(4 * SIZE)
    for key, begins in steps:
        if begins:
            cache.start_round()
        if cache.get(bytes([key])) is None:
            cache.put(bytes([key]), features())
        assert cache.size == len(cache) * SIZE <= cache.limit


FRAME = np.arange(64, dtype=np.uint8).reshape(8, 8)
LIMITS = Normalisation((0.0,), (255.0,))


@pytest.mark.parametrize(
    ("frame", "limits"),
    [
        (FRAME + np.uint8(1), LIMITS),
        (FRAME.astype(np.uint16), LIMITS),
        (FRAME.reshape(4, 16), LIMITS),
        (FRAME.T, LIMITS),
        (FRAME, Normalisation((0.0,), (200.0,))),
    ],
)
def test_keys_differ_for_frames_that_differ_for_the_model(frame, limits):
    assert frame_key(frame, limits) != frame_key(FRAME, LIMITS)
    assert frame_key(FRAME.copy(), Normalisation((0.0,), (255.0,))) == frame_key(FRAME, LIMITS)


def test_parts_do_not_run_together():
    assert digest("ab", "c") != digest("a", "bc")
    assert digest(None, "a") != digest("a", None)
    assert digest(FRAME[::2]) == digest(FRAME[::2].copy())


def test_references_that_differ_in_negative_pixels_only_have_different_digests():
    image, mask = np.zeros((16, 16, 1)), np.eye(16)
    stroke = np.zeros((16, 16), bool)
    stroke[0, 5] = True
    plain = Reference(image, mask, kind="scribble")
    negative = Reference(image, mask, kind="scribble", negative=stroke)
    ignored = Reference(image, mask, kind="scribble", ignored=stroke)
    digests = {annotations_digest([reference]) for reference in (plain, negative, ignored)}
    assert len(digests) == 3
