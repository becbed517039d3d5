"""Pascal-5i: VOC 2012 with masks of SBD, 5 novel classes per fold (Shaban et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.coco20i import Coco20i
from napari_vrp_sam.research.datasets.dataset import class_mask
from napari_vrp_sam.research.datasets.few_shot_sets import (
    FewShotDataset,
    RequiredFiles,
    Split,
    count_labels,
)

VOC = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar"
SBD = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz"
VOC_FOLDERS = (".", "VOC2012", "VOCdevkit/VOC2012")
SBD_FOLDERS = (".", "benchmark_RELEASE", "../benchmark_RELEASE", "../../benchmark_RELEASE")

TRAINING_LIST = "voc_sbd_merge_noduplicate"
"""List of the 5,953 training images in the code of PFENet, BAM and the paper."""

COCO_NAMES = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
"""COCO's names of the classes that have another name in VOC."""


class Pascal5i(FewShotDataset):
    """VOC 2012 with the masks of SBD.

    The masks are either merged with those of VOC, as `SegmentationClassAug`, or as published, as
    `benchmark_RELEASE/dataset/cls/*.mat`; in that case masks of VOC take precedence.
    """

    name = "pascal5i"
    balanced = False
    class_names = (
        "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
        "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
        "train", "tvmonitor",
    )  # fmt: skip

    @property
    def folder(self) -> Path:
        """Folder of VOC 2012."""
        folders = [self.root / folder for folder in VOC_FOLDERS]
        return next((f for f in folders if (f / "JPEGImages").is_dir()), folders[-1])

    @property
    def sbd_folder(self) -> Path:
        """Folder of SBD's masks."""
        folders = [self.folder / folder / "dataset" / "cls" for folder in SBD_FOLDERS]
        return next((f for f in folders if f.is_dir()), folders[1])

    def list_file(self, name: str) -> Path:
        """Return the path of a list of images."""
        return self.folder / "ImageSets" / "Segmentation" / f"{name}.txt"

    def required_files(self) -> list[RequiredFiles]:
        """List the files of the benchmark, and how many of them exist."""
        folder, val = self.folder, self.list_file("val")
        masks = folder / "SegmentationClass"
        merged = folder / "SegmentationClassAug"

        def files(path: Path, pattern: str, expected: int, source: str) -> RequiredFiles:
            return RequiredFiles(path, sum(1 for _ in path.glob(pattern)), expected, source)

        required = [
            files(folder / "JPEGImages", "*.jpg", 17_125, VOC),
            RequiredFiles(val, int(val.is_file()), 1, VOC),
        ]
        if merged.is_dir():
            return [*required, files(merged, "*.png", 12_031, SBD)]
        required.append(files(masks, "*.png", 2_913, VOC))
        return [*required, files(self.sbd_folder, "*.mat", 11_355, SBD)]

    def novel_classes(self, fold: int) -> tuple[int, ...]:
        """Return five consecutive classes."""
        self._check_fold(fold)
        return tuple(range(5 * fold + 1, 5 * fold + 6))

    def unseen_classes(self, training: str, fold: int) -> tuple[int, ...]:
        """Return the classes that a model trained on a fold has not seen; of COCO-20i four to six.

        With COCO-20i this is the domain shift of Boudiaf et al. (CVPR 2021) and Min et al. (ICCV
        2021), and of the paper's table 4.
        """
        if training != Coco20i.name:
            return super().unseen_classes(training, fold)
        coco = Coco20i(self.root)
        unseen = {coco.class_names[class_id - 1] for class_id in coco.novel_classes(fold)}
        names = enumerate(self.class_names, start=1)
        return tuple(n for n, name in names if COCO_NAMES.get(name, name) in unseen)

    def image_ids(self, split: Split) -> Sequence[str]:
        """Return VOC's `val` list for testing, and every other image with a mask for training.

        If VOC's folder of lists contains `TRAINING_LIST`, only its images are trained on.
        """
        return _image_ids(self, split)

    def image(self, split: Split, image_id: str) -> NDArray[np.uint8]:  # noqa: ARG002 # one folder
        """Read an image, shape (Y, X, 3)."""
        path = self.folder / "JPEGImages" / f"{image_id}.jpg"
        try:
            with Image.open(path) as image:
                return np.asarray(image.convert("RGB"))
        except OSError as error:
            raise InputError(f"{path} cannot be read: download {VOC}.") from error

    def mask(self, split: Split, image_id: str, class_id: int) -> NDArray[np.uint8]:  # noqa: ARG002
        """See `FewShotDataset.mask`."""
        return class_mask(self._labels(image_id), class_id)

    def image_class_areas(self, split: Split, image_id: str) -> dict[int, int]:  # noqa: ARG002
        """See `FewShotDataset.image_class_areas`."""
        areas = count_labels(self._labels(image_id))
        return {value: pixels for value, pixels in areas.items() if value not in {0, IGNORED}}

    def _labels(self, image_id: str) -> NDArray[np.uint8]:
        for folder in ("SegmentationClassAug", "SegmentationClass"):
            path = self.folder / folder / f"{image_id}.png"
            if path.is_file():
                try:
                    with Image.open(path) as image:  # palette indices are class ids
                        return np.asarray(image, dtype=np.uint8)
                except OSError as error:
                    raise InputError(f"{path} is damaged: unpack it again.") from error
        from scipy.io import loadmat

        path = self.sbd_folder / f"{image_id}.mat"
        try:
            return np.asarray(loadmat(path)["GTcls"]["Segmentation"][0, 0], dtype=np.uint8)
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise InputError(f"{path} has no mask: download {SBD}.") from error


@lru_cache(maxsize=8)
def _image_ids(data: Pascal5i, split: Split) -> tuple[str, ...]:
    path = data.list_file("val")
    try:
        test = tuple(path.read_text("utf-8").split())
    except OSError as error:
        raise InputError(f"{path} does not exist: download {VOC}.") from error
    if split == "test":
        return test
    folder = data.folder
    names = {file.stem for file in (folder / "SegmentationClassAug").glob("*.png")}
    if not (folder / "SegmentationClassAug").is_dir():
        names = {file.stem for file in (folder / "SegmentationClass").glob("*.png")}
        names |= {file.stem for file in data.sbd_folder.glob("*.mat")}
    training_list = data.list_file(TRAINING_LIST)
    if training_list.is_file():
        # Each line contains the paths of an image and of its mask.
        lines = training_list.read_text("utf-8").splitlines()
        names &= {Path(line.split()[0]).stem for line in lines if line.strip()}
    train = tuple(sorted(names - set(test)))
    if not train:
        raise InputError(f"{folder} has no masks to train on: download {VOC} and {SBD}.")
    return train
