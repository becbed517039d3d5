import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari_vrp_sam.inference.prediction.whole_frame import STRIDE, _cells, _owned, _padded

from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.prediction import whole_frame as overview
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.inference.prediction.tiling import WIDE_OVERLAP, spans
from napari_vrp_sam.inference.references import gather_references
from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.models.zoo.registry import load_model


@given(length=st.integers(16, 6000), tile=st.integers(256, 1200), step=st.integers(1, 5))
def test_every_so_manieth_cell_is_looked_at_once(length, tile, step):
    tiles = spans(length, tile, WIDE_OVERLAP)
    seen = []
    for span, own in zip(tiles, _owned(tiles), strict=True):
        cells = np.arange(_padded(span.stop) // STRIDE - span.start // STRIDE)
        seen += (cells + span.start // STRIDE)[_cells(span, own, step)].tolist()
    assert seen == list(range(0, _padded(length) // STRIDE, step))


@pytest.fixture(scope="module")
def predictor():
    stack, truth = sample_stack(seed=3, size=128, frames=2)
    frames = Frames(stack)
    predictor = Predictor(load_model("lite", device="cpu"), device="cpu")
    predictor.set_references(gather_references(frames, truth, frame=0), Normalisation.fit(frames))
    return predictor


@pytest.fixture(scope="module")
def strip():
    """A frame so narrow that it is quick, so long that it takes three tiles."""
    stack, _ = sample_stack(seed=3, size=128, frames=2)
    noise = np.random.default_rng(0).integers(0, 9, (128, 2016), dtype=np.uint8)
    return np.pad(stack[1], ((0, 0), (0, 2016 - 128)), mode="symmetric").clip(0, 246) + noise


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.slow
def test_tiles_give_what_the_whole_frame_gives(predictor, strip, monkeypatch):
    assert predictor.calibrations[1].decoder_share > 0.2
    whole = predictor.predict(strip)[0] > 0.5
    monkeypatch.setattr(predictor, "tile", 1024)
    tiles = predictor.predict(strip)[0] > 0.5
    assert iou(tiles, whole) > 0.995
    # Tokens of its own for each tile, as models have that attend to nothing else.
    monkeypatch.setattr(overview, "Surveying", type("Nobody", (), {}))
    by_itself = predictor.predict(strip)[0] > 0.5
    assert iou(by_itself, whole) < iou(tiles, whole)


@pytest.mark.slow
def test_of_very_large_frames_a_part_is_looked_at(predictor, strip, monkeypatch):
    monkeypatch.setattr(predictor, "tile", 512)
    glimpses = []
    glimpse = predictor.model.glimpse

    def noted(*arguments):
        glimpses.append(glimpse(*arguments))
        return glimpses[-1]

    monkeypatch.setattr(predictor.model, "glimpse", noted)
    monkeypatch.setattr(overview, "PIXELS", 2 * 512**2)
    monkeypatch.setattr(overview, "CELLS", 200)
    predictor.predict(strip)
    assert len(glimpses) == 2
    assert 80 < sum(g.image.shape[1] for g in glimpses) <= 200
