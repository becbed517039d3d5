"""Missing pixels: nodata values, NaN and masked arrays."""

from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from napari_vrp_sam import Segmenter, segment_stack
from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction.caches.feature_cache import frame_key
from napari_vrp_sam.inference.prediction.pipeline import PipelineSettings, run_pipeline
from napari_vrp_sam.inference.prediction.tiles.tile_plan import plan_tiles
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.inference.runs.dask.content import PickledJob
from napari_vrp_sam.inference.runs.dask.tasks import segment_tile
from napari_vrp_sam.inference.runs.events import FrameResult
from napari_vrp_sam.inference.runs.process.engine import ProcessEngine
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob, normalisation_of

NODATA = -9999.0


@pytest.fixture(scope="module")
def scene():
    """Two frames of bright discs, where they are, and which pixels have data."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:96, :112]
    truth = np.zeros((2, 96, 112), np.uint8)
    for frame in truth:
        for _ in range(12):
            row, column, radius = rng.integers(8, 88), rng.integers(8, 104), rng.integers(5, 8)
            frame[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = 1
    image = 300 + 10.0 * truth + rng.normal(0, 1.2, truth.shape)
    valid = columns + 0.7 * rows < 120
    return image.astype(np.float32), truth * valid, valid


def gaps(image, valid, kind):
    """The image with missing pixels, and the arguments that say so."""
    filled = np.where(valid, image, np.float32(NODATA))
    masked = np.ma.array(filled, mask=~np.broadcast_to(valid, image.shape))
    match kind:
        case "nodata":
            return filled, {"nodata": NODATA}
        case "integers":
            return filled.round().astype(np.int16), {"nodata": NODATA}
        case "NaN":
            return np.where(valid, image, np.nan), {}
        case "masked":
            return masked, {}
        case "dask":
            return da.from_array(masked, chunks=(1, 50, 50)), {}
        case "xarray":
            dims = ["time", "y", "x"]
            return xr.DataArray(filled, dims=dims, attrs={"_FillValue": NODATA}), {}
        case "dask in xarray":
            chunks = da.from_array(masked, chunks=(1, 50, 50))
            return xr.DataArray(chunks, dims=["time", "y", "x"]), {}
    raise AssertionError(kind)


KINDS = ["nodata", "integers", "NaN", "masked", "dask", "xarray", "dask in xarray"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_gap_is_read_as_nan(scene, kind):
    image, _, valid = scene
    data, arguments = gaps(image, valid, kind)
    for index, frame in enumerate(Frames(data, "TYX", **arguments)):
        np.testing.assert_array_equal(np.isnan(frame[..., 0]), ~valid)
        np.testing.assert_allclose(frame[valid, 0], image[index][valid], atol=0.5)


def test_data_without_gaps_keep_their_dtype(scene):
    assert Frames(scene[0].astype(np.uint16), "TYX")[0].dtype == np.uint16


def test_gaps_are_outside_of_the_contrast_limits(scene):
    image, _, valid = scene
    data, arguments = gaps(image, valid, "nodata")
    found = Normalisation.fit(Frames(data, "TYX", **arguments))
    low, high = np.percentile(image[:, valid], (0.5, 99.5))
    assert found.low[0] == pytest.approx(low, abs=0.01)
    assert found.high[0] == pytest.approx(high, abs=0.01)


def test_gaps_are_not_learned():
    image, mask = np.zeros((32, 32)), np.zeros((32, 32))
    mask[:8], image[:4], image[20:] = 1, np.nan, np.nan
    reference = Reference(image, mask)
    np.testing.assert_array_equal(reference.ignored, np.isnan(image))
    assert reference.mask.sum() == 4 * 32
    masked = Reference(np.ma.array(np.zeros((32, 32)), mask=np.isnan(image)), mask)
    np.testing.assert_array_equal(masked.ignored, reference.ignored)
    image[:] = np.nan
    with pytest.raises(InputError, match="lies on pixels without data only"):
        Reference(image, mask)


def test_a_value_that_the_dtype_cannot_hold_marks_nothing():
    assert not np.isnan(Frames(np.zeros((16, 16), np.uint8), nodata=NODATA)[0]).any()
    lowest = float(np.finfo(np.float32).min)
    image = np.full((16, 16), lowest, np.float32)
    assert np.isnan(Frames(image, nodata=float(str(lowest)))[0]).all()
    with pytest.raises(InputError, match="`nodata` is 'none'"):
        Frames(image, nodata="none")


@pytest.mark.parametrize("kind", ["nodata", "dask"])
def test_gaps_get_no_label(scene, model, kind):
    image, truth, valid = scene
    data, arguments = gaps(image, valid, kind)
    segmenter = Segmenter(model, device="cpu")
    segmenter.fit(data, truth[0], axes="TYX", reference_frame=0, **arguments)
    result = segmenter.predict(data, probabilities=True)
    labels, probabilities = np.asarray(result.labels), np.asarray(result.probabilities)
    assert labels[:, valid].any()
    assert not labels[:, ~valid].any()
    assert not probabilities[:, 0, ~valid].any()
    assert not segmenter.predict_proba(data)[:, 0, ~valid].any()


@pytest.mark.thorough
@pytest.mark.slow
def test_other_processes_know_the_gaps(scene):
    image, truth, valid = scene
    data, _ = gaps(image, valid, "xarray")
    references = gather_references(Frames(data), truth[0], reference_frame=0)
    job = SegmentationJob(data, references=references, device="cpu", effort=0.2)
    engine = ProcessEngine()
    try:
        results = [e for e in engine.submit(job).events() if isinstance(e, FrameResult)]
    finally:
        engine.close()
    assert [result.index for result in results] == [0, 1]
    for result in results:
        assert result.labels[valid].any()
        assert not result.labels[~valid].any()

    masked, _ = gaps(image, valid, "masked")
    sent = replace(job, data=masked, axes="TYX")
    sent = replace(sent, normalisation=normalisation_of(sent, sent.view()), tile_size=256)
    pickled = PickledJob.of("gaps", sent, None)
    (tile,) = plan_tiles((96, 112), 256, context=False).tiles
    _, logits = segment_tile(pickled, 1, 0, tile, None)
    assert (logits[0] < -1000).tolist() == (~valid).tolist()


def test_gaps_in_tiles_and_batches(model):
    rng = np.random.default_rng(0)
    image = rng.normal(0, 1, (1, 300, 320, 1)).astype(np.float32)
    image[0, 100:140, 100:140] += 20
    image[0, 200:] = np.nan
    mask = np.zeros((300, 320), np.uint8)
    mask[100:140, 100:140] = 1
    segmenter = Segmenter(model, device="cpu", tile_size=256)
    result = segmenter.fit(image, mask, axes="ZYXC", reference_frame=0).predict(
        image, probabilities=True
    )
    assert not np.asarray(result.probabilities)[..., 200:, :].any()
    assert (np.asarray(result.labels)[0, :200] == mask[:200]).mean() > 0.95

    predictor = segmenter._predictors.predictor(segmenter._job(None))
    frames = [image[0], image[0, :, ::-1], image[0, ::-1]]
    settings = PipelineSettings(
        predictor._batches.logits(predictor.prepared),
        segmenter.normalisation_,
        (1,),
        predictor.device,
        2,
    )
    for frame, found in zip(frames, run_pipeline(frames, settings), strict=True):
        assert not found.probabilities[0, np.isnan(frame[..., 0])].any()
        assert found.probabilities.any()


def test_the_cache_tells_gaps_apart():
    frame = np.zeros((16, 16, 1), np.float32)
    gap = frame.copy()
    gap[3, 4] = np.nan
    normalisation = Normalisation((0.0,), (1.0,))
    assert frame_key(frame, normalisation) != frame_key(gap, normalisation)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["nodata", "NaN", "masked"])
def test_gaps_cost_no_accuracy(scene, kind):
    image, truth, valid = scene
    data, arguments = gaps(image, valid, kind)
    labels = segment_stack(
        data, truth[0], axes="TYX", reference_frame=0, device="cpu", effort=0.2, **arguments
    )
    assert not labels[:, ~valid].any()
    for found, expected in zip(labels > 0, truth > 0, strict=True):
        assert (found & expected).sum() / (found | expected).sum() > 0.85
