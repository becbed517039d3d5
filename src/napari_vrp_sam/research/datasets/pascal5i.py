"""Pascal-5i: VOC 2012 with the outlines of SBD, five novel classes a fold (Shaban et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.few_shot_sets import FewShotSet, Part, Split, counts

VOC = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar"
SBD = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz"
PLACES = (".", "VOC2012", "VOCdevkit/VOC2012")
SBD_PLACES = (".", "benchmark_RELEASE", "../benchmark_RELEASE", "../../benchmark_RELEASE")

LEARNED = "voc_sbd_merge_noduplicate"
"""List of the 5,953 images that PFENet, BAM and the paper's code learn from; in their code."""

COCO_NAMES = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
"""What COCO calls classes that both data sets have; the others share their names."""


class Pascal5i(FewShotSet):
    """VOC 2012, in whose folder or beside it are the masks of SBD.

    Those come either merged with VOC's, as `SegmentationClassAug`, or as they are published, as
    `benchmark_RELEASE/dataset/cls/*.mat`; there VOC's own mask counts where it has one.
    """

    name = "pascal5i"
    evenly = False
    class_names = (
        "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
        "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
        "train", "tvmonitor",
    )  # fmt: skip

    @property
    def folder(self) -> Path:
        """VOC's own."""
        folders = [self.root / place for place in PLACES]
        return next((f for f in folders if (f / "JPEGImages").is_dir()), folders[-1])

    def parts(self) -> list[Part]:
        """What belongs to it, and how much of that is there."""
        folder = self.folder
        merged = folder / "SegmentationClassAug"
        parts = [
            Part(folder / "JPEGImages", _count(folder / "JPEGImages", "*.jpg"), 17_125, VOC),
            Part(self._list("val"), int(self._list("val").is_file()), 1, VOC),
        ]
        if merged.is_dir():
            return [*parts, Part(merged, _count(merged, "*.png"), 12_031, SBD)]
        own, outlines = folder / "SegmentationClass", self._sbd()
        return [
            *parts,
            Part(own, _count(own, "*.png"), 2_913, VOC),
            Part(outlines, _count(outlines, "*.mat"), 11_355, SBD),
        ]

    def novel(self, fold: int) -> tuple[int, ...]:
        """Five consecutive classes."""
        self._check_fold(fold)
        return tuple(range(5 * fold + 1, 5 * fold + 6))

    def novel_to(self, training: str, fold: int) -> tuple[int, ...]:
        """Classes that training on a fold has not seen; of COCO-20i four to six.

        With COCO-20i this is the domain shift of Boudiaf et al. (CVPR 2021) and Min et al. (ICCV
        2021), which the paper's Table 4 follows.
        """
        from napari_vrp_sam.research.datasets.coco20i import Coco20i

        if training != Coco20i.name:
            return super().novel_to(training, fold)
        coco = Coco20i(self.root)
        unseen = {coco.class_names[class_id - 1] for class_id in coco.novel(fold)}
        names = enumerate(self.class_names, start=1)
        return tuple(n for n, name in names if COCO_NAMES.get(name, name) in unseen)

    def ids(self, split: Split) -> Sequence[str]:
        """VOC's `val` to be measured on; to learn from, every other image with a mask.

        Where the published list of images to learn from (`LEARNED`) lies beside VOC's own lists,
        those alone.
        """
        return _ids(self, split)

    def image(self, split: Split, image_id: str) -> NDArray[np.uint8]:  # noqa: ARG002 # one folder
        """An image, shape (Y, X, 3)."""
        path = self.folder / "JPEGImages" / f"{image_id}.jpg"
        try:
            with Image.open(path) as image:
                return np.asarray(image.convert("RGB"))
        except OSError as error:
            raise InputError(f"{path} cannot be read: get it from {VOC}.") from error

    def mask(self, split: Split, image_id: str, class_id: int) -> NDArray[np.uint8]:  # noqa: ARG002
        """Where a class is, shape (Y, X): 1, elsewhere 0, and 255 where nobody knows."""
        labels = self._labels(image_id)
        mask: NDArray[np.uint8] = (labels == class_id).astype(np.uint8)
        mask[labels == IGNORED] = IGNORED
        return mask

    def areas_on(self, split: Split, image_id: str) -> dict[int, int]:  # noqa: ARG002
        """Pixels of each class on an image that shows any."""
        counted = counts(self._labels(image_id))
        return {value: pixels for value, pixels in counted.items() if value not in {0, IGNORED}}

    def _labels(self, image_id: str) -> NDArray[np.uint8]:
        """Class of every pixel, from wherever it is told."""
        for folder in ("SegmentationClassAug", "SegmentationClass"):
            path = self.folder / folder / f"{image_id}.png"
            if path.is_file():
                try:
                    with Image.open(path) as image:  # a palette's numbers are the classes
                        return np.asarray(image, dtype=np.uint8)
                except OSError as error:
                    raise InputError(f"{path} is damaged: unpack it again.") from error
        from scipy.io import loadmat

        path = self._sbd() / f"{image_id}.mat"
        try:
            return np.asarray(loadmat(path)["GTcls"]["Segmentation"][0, 0], dtype=np.uint8)
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise InputError(f"{path} holds no mask: get it from {SBD}.") from error

    def _sbd(self) -> Path:
        folders = [self.folder / place / "dataset" / "cls" for place in SBD_PLACES]
        return next((f for f in folders if f.is_dir()), folders[1])

    def _list(self, name: str) -> Path:
        return self.folder / "ImageSets" / "Segmentation" / f"{name}.txt"


@lru_cache(maxsize=8)
def _ids(data: Pascal5i, split: Split) -> tuple[str, ...]:
    path = data._list("val")  # noqa: SLF001 # of this module
    try:
        test = tuple(path.read_text("utf-8").split())
    except OSError as error:
        raise InputError(f"{path} is not there: get it from {VOC}.") from error
    if split == "test":
        return test
    folder, merged = data.folder, data.folder / "SegmentationClassAug"
    if merged.is_dir():
        names = {file.stem for file in merged.glob("*.png")}
    else:
        names = {file.stem for file in (folder / "SegmentationClass").glob("*.png")}
        names |= {file.stem for file in data._sbd().glob("*.mat")}  # noqa: SLF001
    listed = data._list(LEARNED)  # noqa: SLF001
    if listed.is_file():
        # A line names an image and its mask.
        lines = listed.read_text("utf-8").splitlines()
        names &= {Path(line.split()[0]).stem for line in lines if line.strip()}
    learned = tuple(sorted(names - set(test)))
    if not learned:
        raise InputError(f"{folder} has no masks to learn from: get them from {VOC} and {SBD}.")
    return learned


def _count(folder: Path, pattern: str) -> int:
    return sum(1 for _ in folder.glob(pattern))
