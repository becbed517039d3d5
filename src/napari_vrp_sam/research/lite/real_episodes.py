"""Episodes of random crops of annotated datasets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.lite.training_sets import SegmentationTask, TrainingDataset
from napari_vrp_sam.training.augmentation import Appearance, Crop, reorient
from napari_vrp_sam.training.episode import Episode, make_episode
from napari_vrp_sam.training.episodes import draw_orientations
from napari_vrp_sam.training.synthetic.parts.draws import FloatArray, chance, log_uniform

_TRIES = 6
_NEIGHBOURS = 6
_COVERAGE = (0.002, 0.97)
"""Smallest and largest fraction of a reference that the class may cover."""


class RealEpisodes:
    """Training episodes from random crops of annotated datasets.

    Parameters
    ----------
    datasets : iterable of Dataset
    shape : tuple of int, default: (256, 256)
        Height and width of the crops; equal, so that crops can be rotated.
    weights : mapping of str to float, optional
        Relative shares of datasets by name; default: the square root of the dataset's size.
    absent : float, default: 0.1
        Probability that a target is a frame without the class, if there are such frames.
    same_frame : float, default: 0.15
        Probability that a target is another crop of the reference's frame.

    Raises
    ------
    InputError
        If there is no dataset, or one is reserved for evaluation or offers no task.
    """

    def __init__(
        self,
        datasets: Iterable[Dataset],
        *,
        shape: tuple[int, int] = (256, 256),
        weights: Mapping[str, float] | None = None,
        absent: float = 0.1,
        same_frame: float = 0.15,
    ) -> None:
        self.datasets = [TrainingDataset(dataset) for dataset in datasets]
        if not self.datasets:
            raise InputError("There is nothing to train on: pass at least one dataset.")
        if shape[0] != shape[1]:
            raise InputError(f"Crops of shape {shape} cannot be rotated: use square crops.")
        self.shape = shape
        self.absent = absent
        self.same_frame = same_frame
        shares = [(weights or {}).get(d.name, np.sqrt(len(d))) for d in self.datasets]
        self._shares = np.array(shares, dtype=float) / np.sum(shares)

    def sample(self, rng: np.random.Generator, references: int = 1, targets: int = 2) -> Episode:
        """Draw an episode of one dataset; see `EpisodeSource.sample`."""
        while True:
            dataset = self.datasets[int(rng.choice(len(self.datasets), p=self._shares))]
            if not dataset.tasks:
                raise InputError(f"{dataset.name} has no class that occurs in two frames.")
            # Rare classes are drawn as often as common ones.
            task = dataset.tasks[int(rng.integers(len(dataset.tasks)))]
            episode = self._episode(dataset, task, rng, references, targets)
            if episode is not None:
                return episode

    def _episode(
        self,
        dataset: TrainingDataset,
        task: SegmentationTask,
        rng: np.random.Generator,
        references: int,
        targets: int,
    ) -> Episode | None:
        frames = self._frames(task, rng, references, targets)
        zoom = log_uniform(rng, 0.5, 2.0)
        spread = 1.6 if chance(rng, 0.2) else 1.15
        # Nearly the same crop of all frames, as a user sees it who scrolls through them.
        aligned = task.tracked or (task.ordered and chance(rng, 0.4))
        previous: Crop | None = None
        appearance = Appearance.sample(rng)
        orientations = draw_orientations(rng, len(frames), common=1.0 if aligned else 0.7)
        images: list[FloatArray] = []
        labels: list[NDArray[np.uint8]] = []
        for number, item in enumerate(frames):
            scale = zoom * log_uniform(rng, 1 / spread, spread)
            required = number < references
            mask = dataset.labels(item, task)
            if previous is not None:
                crop: Crop | None = previous.jittered(rng, dataset.size(item))
            else:
                crop = self._crop(mask, scale, rng, required=required)
            if crop is None:
                return None
            previous = crop if aligned else None
            image = crop.extract(dataset.image(item), self.shape)
            mask = crop.extract_labels(mask, self.shape)
            if required and not (mask == 1).any():
                return None
            # Some targets look different, as if acquired on another day or instrument.
            different = not required and chance(rng, 0.1)
            look = Appearance.sample(rng) if different else appearance.jittered(rng)
            images.append(reorient(look.apply(image, rng), orientations[number]))
            labels.append(reorient(mask, orientations[number]))
        return make_episode(images, labels, references, rng, dataset.name)

    def _frames(
        self, task: SegmentationTask, rng: np.random.Generator, references: int, targets: int
    ) -> list[str]:
        """Draw frames, references first; in a stack half of the draws are close to each other."""
        present = list(task.present)
        centre = int(rng.integers(len(present)))
        if task.tracked or (task.ordered and chance(rng, 0.5)):
            present = present[max(0, centre - _NEIGHBOURS) : centre + _NEIGHBOURS + 1]
        # Frames are repeated only if there are too few.
        order = [present[i] for i in rng.permutation(len(present))]
        drawn = [order[i % len(order)] for i in range(references + targets)]
        for number in range(references, len(drawn)):
            if task.absent and chance(rng, self.absent):
                drawn[number] = task.absent[int(rng.integers(len(task.absent)))]
            elif chance(rng, self.same_frame):
                drawn[number] = drawn[0]
        return drawn

    def _crop(
        self, labels: NDArray[np.uint8], scale: float, rng: np.random.Generator, *, required: bool
    ) -> Crop | None:
        """Draw a crop; None if the class is required and no suitable crop was found."""
        inside = np.flatnonzero(labels == 1)
        frame = (labels.shape[0], labels.shape[1])
        for _ in range(_TRIES):
            point = None
            if len(inside) and (required or chance(rng, 0.8)):
                row, column = divmod(int(inside[rng.integers(len(inside))]), frame[1])
                point = (row, column)
            stretch = log_uniform(rng, 0.85, 1.18)
            size = (self.shape[0] / scale * stretch, self.shape[1] / scale / stretch)
            # Crops that exceed the frame are scaled down without changing their proportions.
            fit = min(1.0, frame[0] / size[0], frame[1] / size[1])
            crop = Crop.random(rng, frame, (size[0] * fit, size[1] * fit), point)
            covered = float(np.mean(crop.extract_labels(labels, self.shape) == 1))
            if not required or _COVERAGE[0] <= covered <= _COVERAGE[1]:
                return crop
            if covered > _COVERAGE[1]:
                scale *= 0.7  # zoom out to see more than the inside of an object
        return None
