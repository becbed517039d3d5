"""Golden results: IoU per class of the shipped `lite` model after annotating one frame.

A change of more than 0.005 is a change of the product: find out why before you update a number.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data, filters, measure, morphology

from napari_vrp_sam import Segmenter
from napari_vrp_sam.io.samples import sample_nuclei, sample_stack

pytestmark = pytest.mark.full_learning

Image = NDArray[np.generic]


def iou(found: Image, truth: Image) -> float:
    return float((found & truth).sum() / (found | truth).sum())


def halves(image: Image, truth: Image) -> tuple[Image, Image]:
    """Two halves of one image as a stack: one to annotate, the other to segment."""
    width = image.shape[1] // 2
    cut = [slice(0, width), slice(image.shape[1] - width, None)]
    return np.stack([image[:, c] for c in cut]), np.stack([truth[:, c] for c in cut])


def tissue() -> tuple[Image, Image]:
    return sample_stack(seed=0, size=192, frames=5)


def nuclei() -> tuple[Image, Image]:
    return sample_nuclei(seed=0, size=192, frames=3)


def coins() -> tuple[Image, Image]:
    """A photograph in scikit-image, with a threshold as ground truth that misses some coins."""
    image = data.coins()[:, :384]
    smooth = filters.gaussian(image, 1, preserve_range=True)
    background = morphology.white_tophat(smooth, morphology.disk(30))
    mask = ndimage.binary_fill_holes(background > filters.threshold_otsu(background))
    return halves(image, morphology.opening(mask, morphology.disk(5)).astype(np.uint8))


def fluorescence() -> tuple[Image, Image]:
    """Nuclei in stardist's wheel, with the masks that experts drew."""
    spec = find_spec("stardist")
    assert spec is not None, "run it with `tox -e slow`"
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "data/images"
    image, ids = (tifffile.imread(folder / name) for name in ("img2d.tif", "mask2d.tif"))
    return halves(image, (ids > 0).astype(np.uint8))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (tissue, {1: 0.800}),
        (nuclei, {1: 0.967}),
        pytest.param(coins, {1: 0.862}, marks=pytest.mark.slow),
        pytest.param(fluorescence, {1: 0.860}, marks=pytest.mark.slow),
    ],
    ids=["tissue", "nuclei", "coins", "fluorescence"],
)
def test_iou_of_the_shipped_model(
    make: Callable[[], tuple[Image, Image]], expected: dict[int, float]
) -> None:
    stack, truth = make()
    annotated = 0 if len(stack) == 2 else len(stack) // 2
    segmenter = Segmenter("lite", device="cpu")
    labels = segmenter.fit(stack, truth[annotated], reference_frame=annotated).predict(stack).labels
    others = [index for index in range(len(stack)) if index != annotated]
    found = {
        class_id: iou(labels[others] == class_id, truth[others] == class_id)
        for class_id in expected
    }
    assert found == pytest.approx(expected, abs=0.005)


def test_objects_of_coins_can_be_counted() -> None:
    _, truth = coins()
    assert 8 <= measure.label(truth[1]).max() <= 16
