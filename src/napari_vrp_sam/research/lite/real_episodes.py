"""Episodes of random crops of annotated datasets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.lite.training_sets import Task, TrainingSet
from napari_vrp_sam.training.augmentation import Appearance, Window, turn
from napari_vrp_sam.training.episode import Episode, make_episode
from napari_vrp_sam.training.episodes import draw_orientations
from napari_vrp_sam.training.synthetic.draws import FloatArray, chance, log_uniform

_TRIES = 6
_NEAR = 6
_COVERAGE = (0.002, 0.97)


class RealEpisodes:
    """Episodes of random crops of annotated data sets.

    Parameters
    ----------
    datasets : iterable of Dataset
        Sets that may be trained on.
    shape : tuple of int, default: (256, 256)
        Height and width of the crops; the same, so that crops can be turned.
    weights : mapping of str to float, optional
        Weights by name for sets that are not to be drawn by the square root of their size.
    absent : float, default: 0.1
        Probability that a target is a frame without the class, where there are such frames.
    same_frame : float, default: 0.15
        Probability that a target is another crop of the reference's frame.

    Raises
    ------
    InputError
        If a set is reserved for evaluation, none is given, or none offers a task.
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
        self.sets = [TrainingSet(dataset) for dataset in datasets]
        if not self.sets:
            raise InputError("No data set to train on: name at least one.")
        if shape[0] != shape[1]:
            raise InputError(f"Crops must be square to be turned, not {shape}.")
        self.shape = shape
        self.absent = absent
        self.same_frame = same_frame
        given = weights or {}
        shares = np.array([given.get(s.name, np.sqrt(len(s))) for s in self.sets], dtype=float)
        self._shares = shares / shares.sum()

    def sample(self, rng: np.random.Generator, references: int = 1, targets: int = 2) -> Episode:
        """An episode of one data set; see `EpisodeSource.sample`."""
        while True:
            chosen = self.sets[int(rng.choice(len(self.sets), p=self._shares))]
            if not chosen.tasks:
                raise InputError(f"{chosen.name} has no class that occurs in two frames.")
            # classes are drawn evenly: a rare one is as much a task as a common one
            task = chosen.tasks[int(rng.integers(len(chosen.tasks)))]
            episode = self._episode(chosen, task, rng, references, targets)
            if episode is not None:
                return episode

    def _episode(
        self,
        chosen: TrainingSet,
        task: Task,
        rng: np.random.Generator,
        references: int,
        targets: int,
    ) -> Episode | None:
        frames = self._frames(task, rng, references, targets)
        zoom = log_uniform(rng, 0.5, 2.0)
        spread = 1.6 if chance(rng, 0.2) else 1.15
        # slices seen through one window, as a user scrolls through them
        fixed = task.follow or (task.ordered and chance(rng, 0.4))
        near: Window | None = None
        appearance = Appearance.sample(rng)
        turns = draw_orientations(rng, len(frames), common=1.0 if fixed else 0.7)
        images: list[FloatArray] = []
        labels: list[NDArray[np.uint8]] = []
        for number, item in enumerate(frames):
            scale = zoom * log_uniform(rng, 1 / spread, spread)
            required = number < references
            if near is not None:
                window: Window | None = near.shaken(rng, chosen.size(item))
            else:
                window = self._window(chosen, task, item, scale, rng, required=required)
            if window is None:
                return None
            near = window if fixed else None
            cut = self._cut(chosen, task, item, window)
            if required and not (cut[1] == 1).any():
                return None
            # now and then a target looks different altogether: another day, another instrument
            odd = not required and chance(rng, 0.1)
            look = Appearance.sample(rng) if odd else appearance.jittered(rng)
            images.append(turn(look.apply(cut[0], rng), turns[number]))
            labels.append(turn(cut[1], turns[number]))
        return make_episode(images, labels, references, rng, chosen.name)

    def _frames(
        self, task: Task, rng: np.random.Generator, references: int, targets: int
    ) -> list[str]:
        """References first; in a stack, half of the time the frames lie near each other."""
        present = list(task.present)
        centre = int(rng.integers(len(present)))
        if task.follow or (task.ordered and chance(rng, 0.5)):
            present = present[max(0, centre - _NEAR) : centre + _NEAR + 1]
        # without replacement as far as the frames reach
        order = [present[i] for i in rng.permutation(len(present))]
        drawn = [order[i % len(order)] for i in range(references + targets)]
        for number in range(references, len(drawn)):
            if task.missing and chance(rng, self.absent):
                drawn[number] = task.missing[int(rng.integers(len(task.missing)))]
            elif chance(rng, self.same_frame):
                drawn[number] = drawn[0]
        return drawn

    def _window(
        self,
        chosen: TrainingSet,
        task: Task,
        item: str,
        scale: float,
        rng: np.random.Generator,
        *,
        required: bool,
    ) -> Window | None:
        """What to see of a frame; None if the class is required and not to be had."""
        labels = chosen.labels(item, task)
        inside = np.flatnonzero(labels == 1)
        frame = chosen.size(item)
        for _ in range(_TRIES):
            point = None
            if len(inside) and (required or chance(rng, 0.8)):
                row, column = divmod(int(inside[rng.integers(len(inside))]), frame[1])
                point = (row, column)
            stretch = log_uniform(rng, 0.85, 1.18)
            size = (self.shape[0] / scale * stretch, self.shape[1] / scale / stretch)
            # a frame smaller than the window is enlarged; its proportions stay
            fit = min(1.0, frame[0] / size[0], frame[1] / size[1])
            window = Window.around(rng, frame, (size[0] * fit, size[1] * fit), point)
            cut = window.crop_labels(labels, self.shape)
            covered = float(np.mean(cut == 1))
            if not required or _COVERAGE[0] <= covered <= _COVERAGE[1]:
                return window
            if covered > _COVERAGE[1]:
                scale *= 0.7  # see more than the inside of one object
        return None

    def _cut(
        self, chosen: TrainingSet, task: Task, item: str, window: Window
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Image and labels within a window."""
        image = window.crop(chosen.image(item), self.shape)
        return image, window.crop_labels(chosen.labels(item, task), self.shape)
