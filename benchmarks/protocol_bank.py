"""Precomputed features of all images for `paper_protocol.py`.

Images are resized to squares, as in the paper's code. Each class of each image is annotated in all
four ways, on the grid of the VRP encoder.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.annotations.reference import ANNOTATION_KINDS
from napari_vrp_sam.annotations.simulate import simulate_annotation
from napari_vrp_sam.models.lite.network import STRIDE, LiteNetwork
from napari_vrp_sam.models.vrp.feature_augmenter import mask_on_grid
from napari_vrp_sam.research.datasets.dataset import Dataset

COVERAGE = (0.002, 0.97)
"""Smallest and largest fraction of an image that a class may cover."""

DRAWS = 4
"""Number of annotations of a class on a training image, of which each step draws one."""


@dataclass(frozen=True)
class Occurrence:
    """Rows of the annotations of a class on an image, and of the image."""

    annotation: int
    image: int


@dataclass(eq=False)
class Bank:
    """Features, labels and annotations of all images of several datasets.

    Attributes
    ----------
    fine : list of two Tensors, each of shape (N, C_i, h_i, w_i), float16
        Finest maps of the backbone, for the mask decoder.
    stage_3, stage_4 : Tensor, shape (N, C, h, w), float16
        Feature maps for the correlation.
    semantic : Tensor, shape (N, C, h, w), float16
        Input of the VRP encoder.
    embeddings : Tensor, shape (N, D, h, w), float16
    labels : Tensor, shape (N, S, S), uint8
        Class labels; 255 is ignored.
    annotations : dict of str to Tensor, each of shape (A, draws, h, w), bool
        Annotations by kind.
    names : list of str
        Names of the classes.
    values : list of int
        Label value of each class.
    occurrences : list of list of Occurrence
        Occurrences by class.
    """

    fine: list[Tensor]
    stage_3: Tensor
    stage_4: Tensor
    semantic: Tensor
    embeddings: Tensor
    labels: Tensor
    annotations: dict[str, Tensor]
    names: list[str]
    values: list[int]
    occurrences: list[list[Occurrence]]

    def to(self, device: torch.device | str) -> Bank:
        """Move all tensors to a device."""
        self.fine = [m.to(device) for m in self.fine]
        for name in ("stage_3", "stage_4", "semantic", "embeddings", "labels"):
            setattr(self, name, getattr(self, name).to(device))
        self.annotations = {kind: a.to(device) for kind, a in self.annotations.items()}
        return self

    def split(self) -> tuple[Bank, Bank]:
        """Split into base classes (three of four) and novel classes, with the same images."""
        parts = []
        for novel in (False, True):
            chosen = [n for n in range(len(self.names)) if (n % 4 == 3) == novel]
            part = copy(self)
            part.names = [self.names[n] for n in chosen]
            part.values = [self.values[n] for n in chosen]
            part.occurrences = [self.occurrences[n] for n in chosen]
            parts.append(part)
        return parts[0], parts[1]

    def batch(
        self, classes: Sequence[int], episodes: Sequence[Sequence[Occurrence]], draws: Sequence[int]
    ) -> dict[str, Any]:
        """Return a batch of episodes for `VRPModule`.

        Parameters
        ----------
        classes : sequence of int, length B
        episodes : sequence of sequences of Occurrence
            Target, then references, of each episode.
        draws : sequence of int, length B
            Index of the annotation to use.
        """
        device = self.labels.device
        images = torch.tensor([[s.image for s in row] for row in episodes], device=device)
        marked = torch.tensor([[s.annotation for s in row[1:]] for row in episodes], device=device)
        labels = self.labels[images[:, 0]]
        values = torch.tensor([self.values[c] for c in classes], device=device)
        return {
            "references": images[:, 1:],
            "annotations": marked,
            "draws": torch.tensor(draws, device=device)[:, None].expand_as(marked),
            "targets": images[:, 0],
            "target_masks": (labels == values[:, None, None]).float(),
            "valid": labels != IGNORED,
        }


@dataclass(frozen=True, eq=False)
class Picture:
    """An image with its annotations.

    Attributes
    ----------
    dataset : Dataset
    frame : ndarray, shape (3, S, S), uint8
    labels : ndarray, shape (S, S), uint8
    annotations : dict
        Annotations by class and kind, each of shape (draws, h, w).
    """

    dataset: Dataset
    frame: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    annotations: dict[int, dict[str, NDArray[np.bool_]]]


def read_pictures(
    datasets: Sequence[Dataset],
    *,
    size: int,
    training: bool,
    workers: int,
    most: int | None = None,
) -> list[Picture]:
    """Read and annotate all images of datasets.

    Parameters
    ----------
    datasets : sequence of Dataset
    size : int
        Side of the square frames.
    training : bool
        Several annotations per class with 1 to 20 marks, as in training; else one with 20 marks.
    workers : int
        Number of processes.
    most : int, optional
        Number of evenly spaced images per dataset; default: all.
    """
    items = []
    for dataset in datasets:
        step = 1 if most is None else max(1, len(dataset.ids) // most)
        items += [(dataset, image_id) for image_id in dataset.ids[::step][:most]]
    read = partial(_read, size=size, training=training)
    # Forking avoids importing torch again; it must happen before CUDA or threads are used.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, context, torch.set_num_threads, (1,)) as pool:
        return list(pool.map(read, items, chunksize=8))


def build_bank(pictures: Sequence[Picture], network: LiteNetwork, device: torch.device) -> Bank:
    """Encode images; return a bank on the CPU."""
    by_class: dict[tuple[str, int], list[Occurrence]] = {}
    annotations: dict[str, list[NDArray[np.bool_]]] = {kind: [] for kind in ANNOTATION_KINDS}
    titles = {}
    for row, picture in enumerate(pictures):
        for value, drawn in picture.annotations.items():
            occurrence = Occurrence(len(annotations["mask"]), row)
            by_class.setdefault((picture.dataset.name, value), []).append(occurrence)
            name = picture.dataset.classes.get(value, str(value))
            titles[picture.dataset.name, value] = f"{picture.dataset.name}: {name}"
            for kind, masks in drawn.items():
                annotations[kind].append(masks)
    usable = [key for key in sorted(by_class) if len(by_class[key]) > 1]
    first, second, stage_3, stage_4, semantic, embeddings = _encode(
        [p.frame for p in pictures], network, device
    )
    return Bank(
        fine=[first, second],
        stage_3=stage_3,
        stage_4=stage_4,
        semantic=semantic,
        embeddings=embeddings,
        labels=torch.from_numpy(np.stack([p.labels for p in pictures])),
        annotations={kind: torch.from_numpy(np.stack(a)) for kind, a in annotations.items()},
        names=[titles[key] for key in usable],
        values=[value for _, value in usable],
        occurrences=[by_class[key] for key in usable],
    )


def _read(item: tuple[Dataset, str], size: int, *, training: bool) -> Picture:
    dataset, image_id = item
    image = dataset.image(image_id)
    whole = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    frame = Image.fromarray(whole).resize((size, size), Image.Resampling.BILINEAR)
    stored = Image.fromarray(dataset.labels(image_id))
    labels = np.asarray(stored.resize((size, size), Image.Resampling.NEAREST))
    found = {}
    for value in np.unique(labels[(labels > 0) & (labels != IGNORED)]).tolist():
        mask = labels == value
        if COVERAGE[0] <= mask.mean() <= COVERAGE[1]:
            # Seeded by names, so that annotations do not depend on the other datasets.
            seed = [*f"{dataset.name}/{image_id}/{value}".encode()]
            found[value] = _annotated(mask, np.random.default_rng(seed), training=training)
    return Picture(dataset, np.asarray(frame).transpose(2, 0, 1), labels, found)


def _annotated(
    mask: NDArray[np.bool_], rng: np.random.Generator, *, training: bool
) -> dict[str, NDArray[np.bool_]]:
    count, draws = (None, DRAWS) if training else (20, 1)
    grid = (len(mask) // STRIDE, len(mask) // STRIDE)
    annotations: dict[str, NDArray[np.bool_]] = {}
    for kind in ANNOTATION_KINDS:
        random = kind in {"point", "scribble"}
        masks = [
            simulate_annotation(mask, kind, rng, count=count) for _ in range(draws if random else 1)
        ]
        on_grid = mask_on_grid(torch.from_numpy(np.stack(masks))[:, None], grid)[:, 0] > 0.5
        annotations[kind] = on_grid.expand(draws, -1, -1).numpy().copy()
    return annotations


@torch.no_grad()
def _encode(
    frames: Sequence[NDArray[np.uint8]], network: LiteNetwork, device: torch.device
) -> list[Tensor]:
    """Return the two finest maps, stages 3 and 4, the VRP encoder's input, and the embeddings."""
    network.to(device)
    parts = []
    for start in range(0, len(frames), 64):
        stacked = torch.from_numpy(np.stack(frames[start : start + 64])).to(device)
        features = network.encode(stacked.float() / 255)
        first, second, _, third, fourth, *_ = features.semantic
        semantic = network.semantic_features(features)
        maps = (first, second, third, fourth, semantic, features.embedding)
        parts.append([m.half().cpu() for m in maps])
    return [torch.cat(kind) for kind in zip(*parts, strict=True)]


def save(bank: Bank, path: Path) -> None:
    """Write a bank for other processes."""
    torch.save(bank.__dict__, path)


def load(path: Path, device: torch.device) -> Bank:
    """Read a bank."""
    # Trusted file of this run, which contains more than tensors.
    return Bank(**torch.load(path, weights_only=False, mmap=True)).to(device)
