"""Averages with neighbouring frames give the same labels by every way to run them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties.conftest import examples

from napari_vrp_sam import Reference, Segmenter
from napari_vrp_sam.inference.runs.dask.engine import DaskEngine
from napari_vrp_sam.inference.runs.engine import Engine, ThreadEngine
from napari_vrp_sam.inference.runs.events import Done, FrameResult
from napari_vrp_sam.inference.runs.process.engine import ProcessEngine
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
from napari_vrp_sam.testing import PixelModel

LENGTH, SIDE, ANNOTATED = 6, 300, 2


@pytest.fixture(scope="module")
def stack() -> np.ndarray:
    """A disc that moves by a pixel a frame, in noise that the average with neighbours removes."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((SIDE, SIDE))
    inside = [np.hypot(rows - 140, columns - 150 - z) < 60 for z in range(LENGTH)]
    texture = 12 * np.sin(rows / 3) * np.cos(columns / 4)
    noise = rng.normal(0, 1, (LENGTH, SIDE, SIDE)) * np.array([60, 60, 5, 60, 5, 60])[:, None, None]
    return (90 + 70 * np.stack(inside) + texture + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def job(stack) -> SegmentationJob:
    rows, columns = np.indices((SIDE, SIDE))
    mask = np.hypot(rows - 140, columns - 150 - ANNOTATED) < 60
    return SegmentationJob(
        stack,
        references=[Reference(stack[ANNOTATED], mask, frame=ANNOTATED)],
        axes="ZYX",
        model=PixelModel(),
        device="cpu",
        contrast_limits=(40, 210),
        probabilities=True,
    )


def results(engine: Engine, job: SegmentationJob) -> dict[int, FrameResult]:
    *events, end = engine.submit(job).events()
    found = {event.index: event for event in events if isinstance(event, FrameResult)}
    assert end == Done(len(found)), end
    return found


def assert_same(found, expected) -> None:
    assert found.keys() == expected.keys()
    for index, one in found.items():
        np.testing.assert_array_equal(one.labels, expected[index].labels)
        assert one.confidence == pytest.approx(expected[index].confidence)
        if one.probabilities is not None:
            np.testing.assert_allclose(one.probabilities, expected[index].probabilities, atol=1e-6)


@pytest.fixture(scope="module")
def expected(job) -> dict[int, FrameResult]:
    found = results(ThreadEngine(), job)
    alone = results(ThreadEngine(), replace(job, neighbours=False))
    changed = [z for z in found if not np.array_equal(found[z].labels, alone[z].labels)]
    assert len(changed) >= 3, "neighbours are not used: the properties below say nothing"
    return found


def test_labels_without_probabilities(job, expected):
    assert_same(results(ThreadEngine(), replace(job, probabilities=False)), expected)


def test_tiles(job, expected):
    """The model is local, so that tiles are exact."""
    assert_same(results(ThreadEngine(), replace(job, tile_size=256)), expected)


@given(st.integers(0, LENGTH - 1), st.integers(1, LENGTH), st.sets(st.integers(0, LENGTH - 1)))
@examples(2)
def test_any_frames(job, expected, start, count, accepted):
    stop = min(start + count, LENGTH)
    wanted = {z: expected[z] for z in range(start, stop) if z not in accepted}
    if wanted:
        part = replace(job, frames=(start, stop), accepted=frozenset(accepted))
        assert_same(results(ThreadEngine(), part), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("tile_size", [None, 256])
def test_a_worker_process(job, expected, tile_size):
    engine = ProcessEngine()
    try:
        assert_same(results(engine, replace(job, tile_size=tile_size)), expected)
    finally:
        engine.close()


@pytest.mark.slow
@pytest.mark.parametrize("tile_size", [None, 256])
def test_dask_workers(job, expected, tile_size):
    with DaskEngine(workers=2) as engine:
        assert_same(results(engine, replace(job, tile_size=tile_size)), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["labels.zarr", "labels"])
@pytest.mark.parametrize("workers", [None, 2])
def test_a_resumed_run(stack, job, tmp_path: Path, name, workers):
    """Half of the frames are finished before, so that their neighbours are read anew."""
    segmenter = Segmenter("lite", device="cpu", effort=0.2)
    segmenter.fit(stack, job.references, axes="ZYX")
    whole = segmenter.predict(stack)
    output = tmp_path / name
    segmenter.predict(stack, output=output)
    journal = output.with_name(name + ".journal")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:4]))
    found = segmenter.predict(stack, output=output, resume=True, workers=workers)
    np.testing.assert_array_equal(np.asarray(found.labels), whole.labels)
    np.testing.assert_allclose(found.confidence, whole.confidence, rtol=1e-5)
