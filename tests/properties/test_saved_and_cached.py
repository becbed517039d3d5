"""Caches of features, saved segmenters and cut journals give identical results."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.properties.conftest import examples, scratch

from napari_vrp_sam import Reference, Segmenter
from napari_vrp_sam.inference.relabelling.relabel import RelabelSettings
from napari_vrp_sam.io.labels.journal import journal_path
from napari_vrp_sam.io.samples import sample_stack

FRAMES = 5
FRAME = 64, 64


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, np.ndarray]:
    return sample_stack(seed=3, size=FRAME[0], frames=FRAMES)


def fitted(sample, model="lite", **settings) -> Segmenter:
    stack, truth = sample
    segmenter = Segmenter(model, device="cpu", effort=0.2, **settings)
    return segmenter.fit(stack, truth[2], axes="ZYX", reference_frame=2)


@pytest.fixture(scope="module")
def segmenter(sample) -> Segmenter:
    return fitted(sample)


class Expected:
    """Result without a representation of all its pixels."""

    def __init__(self, result) -> None:
        self.__dict__ |= vars(result) | {"labels": np.asarray(result.labels)}


@pytest.fixture(scope="module")
def expected(segmenter, sample) -> Expected:
    return Expected(segmenter.predict(sample[0], probabilities=True))


def assert_same(found, expected) -> None:
    np.testing.assert_array_equal(np.asarray(found.labels), expected.labels)
    np.testing.assert_array_equal(found.confidence, expected.confidence)


@pytest.mark.slow
@given(st.sets(st.integers(0, FRAMES - 1)))
@examples(6)
def test_features_in_memory_change_nothing(segmenter, sample, expected, known):
    """None, some or all of the frames were encoded before."""
    segmenter._predictors.clear()
    for index in known:
        segmenter.predict(sample[0], frames=(index, index + 1))
    found = segmenter.predict(sample[0], probabilities=True)
    assert_same(found, expected)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


SCRIPT = """
import sys
import numpy as np
from napari_vrp_sam import Segmenter
from napari_vrp_sam.io.samples import sample_stack
stack, truth = sample_stack(seed=3, size=64, frames=5)
segmenter = Segmenter("lite", device="cpu", effort=0.2, cache=True)
segmenter.fit(stack, truth[2], axes="ZYX", reference_frame=2)
np.save(sys.argv[1], segmenter.predict(stack).labels)
"""


@pytest.mark.slow
def test_features_on_disk_change_nothing(sample, tmp_path, monkeypatch):
    """Empty, full, half full, damaged, and shared by two processes at the same time."""
    monkeypatch.setenv("VRP_SAM_FEATURES", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("VRP_SAM_CACHE", str(tmp_path))

    def labels() -> np.ndarray:
        return fitted(sample, cache=True).predict(sample[0]).labels

    first = labels()
    files = sorted(tmp_path.rglob("*.zarr.zip"))
    assert len(files) >= FRAMES
    np.testing.assert_array_equal(labels(), first)
    for file in files[::2]:
        file.unlink()
    np.testing.assert_array_equal(labels(), first)
    files[0].write_bytes(files[1].read_bytes()[:100])
    np.testing.assert_array_equal(labels(), first)
    for file in files:
        file.unlink(missing_ok=True)
    paths = [tmp_path / f"{number}.npy" for number in range(2)]
    both = [subprocess.Popen([sys.executable, "-c", SCRIPT, str(path)]) for path in paths]
    assert [process.wait() for process in both] == [0, 0]
    for path in paths:
        np.testing.assert_array_equal(np.load(path), first)
    assert len(list(tmp_path.rglob("*.zarr.zip"))) == len(files)


masks = hnp.arrays(np.bool_, FRAME, elements=st.booleans())
optional_masks = st.none() | masks
numbers = st.floats(-1e6, 1e6, width=32)


@st.composite
def segmenters(draw) -> Segmenter:
    """Segmenters with any settings, and references with any pixels."""
    low = draw(numbers)
    limits = draw(st.none() | st.tuples(st.just(low), st.floats(low + 1, 2e6)))
    class_ids = draw(st.sets(st.integers(1, 60000), min_size=1, max_size=3))
    relabelling = st.builds(
        RelabelSettings,
        st.dictionaries(st.sampled_from(sorted(class_ids)), st.floats(0.05, 0.95)),
        min_size=st.integers(0, 500),
        fill_holes=st.booleans(),
        smoothing=st.floats(0, 5),
    )
    segmenter = Segmenter(
        "lite",
        device="cpu",
        precision=draw(st.sampled_from(("auto", "float32"))),
        contrast_limits=limits,
        tile_size=draw(st.none() | st.integers(256, 4096)),
        cache=draw(st.none() | st.booleans()),
        effort=draw(st.floats(0.01, 1)),
        neighbours=draw(st.booleans()),
        relabelling=draw(st.none() | relabelling),
    )
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    image = rng.integers(0, 255, (*FRAME, 1)).astype(draw(st.sampled_from(("u1", "u2", "f4"))))
    references = []
    for class_id in sorted(class_ids):
        mask, negative = draw(masks), draw(optional_masks)
        mask[0, :2], mask[-1, -1] = True, False  # a class needs background, too
        if negative is not None:
            negative &= ~mask
        kind = draw(st.sampled_from(("mask", "partial", "scribble", "box", "point")))
        references.append(Reference(image, mask, class_id, kind, 0, negative=negative))
    return segmenter.fit(image[None, ..., 0], references, axes="ZYX")


def content(path: Path) -> tuple[dict, bytes]:
    """Return the header and the arrays of a file of safetensors, whose header has no order."""
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


@given(segmenters())
@examples(8)
def test_a_saved_segmenter_is_the_identity(monkeypatch, given_one):
    monkeypatch.setattr(Segmenter, "expected_iou_", {})  # learned when it is first needed
    with scratch() as folder:
        given_one.save(folder / "a.vrpsam")
        loaded = Segmenter.load(folder / "a.vrpsam", device="cpu")
        loaded.save(folder / "b.vrpsam")
        first, second = (content(folder / name) for name in ("a.vrpsam", "b.vrpsam"))
    assert first == second
    settings = (
        "model",
        "precision",
        "contrast_limits",
        "tile_size",
        "cache",
        "effort",
        "neighbours",
        "relabelling",
    )
    for name in (*settings, "class_ids_", "normalisation_", "_axes", "_channels", "_nodata"):
        assert getattr(loaded, name) == getattr(given_one, name), name
    for one, other in zip(loaded.references_, given_one.references_, strict=True):
        for name in ("image", "mask", "negative", "ignored"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert (one.class_id, one.kind, one.frame) == (other.class_id, other.kind, other.frame)


@pytest.fixture(scope="module", params=["labels.zarr", "labels"])
def interrupted(request, segmenter, sample, tmp_path_factory) -> Path:
    """Output of a complete run: resumed with a part of its journal, it was interrupted."""
    output = tmp_path_factory.mktemp("run") / request.param
    segmenter.predict(sample[0], output=output)
    return output


def resume(interrupted: Path, segmenter, sample, expected, cut: int) -> None:
    """Resume a copy of the run, of whose journal some bytes are left."""
    with scratch() as folder:
        output = folder / interrupted.name
        shutil.copytree(interrupted, output)
        journal_path(output).write_bytes(journal_path(interrupted).read_bytes()[:cut])
        result = segmenter.predict(sample[0], output=output, resume=True)
        assert_same(result, expected)
        assert journal_path(output).read_bytes().count(b"\n") == 1 + FRAMES


@given(st.data())
@examples(5)
def test_a_journal_cut_at_any_byte_resumes(interrupted, segmenter, sample, expected, data):
    cut = data.draw(st.integers(0, len(journal_path(interrupted).read_bytes())))
    resume(interrupted, segmenter, sample, expected, cut)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_journal_cut_at_each_byte_resumes(interrupted, segmenter, sample, expected):
    for cut in range(len(journal_path(interrupted).read_bytes()) + 1):
        resume(interrupted, segmenter, sample, expected, cut)


def test_a_journal_without_its_first_line_resumes(interrupted, segmenter, sample, expected):
    """The frames that are left are finished, and the others are normalised like them."""
    journal = journal_path(interrupted)
    whole = journal.read_bytes()
    try:
        lines = whole.split(b"\n")
        journal.write_bytes(b"\n".join([bytes(len(lines[0])), *lines[2:4], b""]))
        resume(interrupted, segmenter, sample, expected, len(whole))
    finally:
        journal.write_bytes(whole)
