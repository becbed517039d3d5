"""Baseline of the one-slice protocol: a random forest on classical image filters.

Interactive segmentation tools work this way (ilastik, Labkit, Trainable Weka, and the "trainable
segmentation" of scikit-image): multi-scale Gaussian, gradient and Hessian features of each pixel,
classified by a random forest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier

from napari_vrp_sam.annotations.labels import class_ids_of
from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.research.protocols.one_slice import FrameMasks, SegmentFrame

MAX_FOREGROUND = 8_000
MAX_BACKGROUND = 24_000


class RandomForest:
    """Method of the one-slice protocol that trains a forest for each class.

    Parameters
    ----------
    trees, depth : int
        Number of trees and their maximum depth.
    seed : int
        Seed of the pixel sample and of the forest.
    workers : int
        Number of threads.
    """

    def __init__(
        self, *, trees: int = 100, depth: int = 20, seed: int = 0, workers: int = 2
    ) -> None:
        self.trees = trees
        self.depth = depth
        self.seed = seed
        self.workers = workers

    def __call__(
        self, _frames: Sequence[NDArray[Any]], references: Sequence[Reference]
    ) -> SegmentFrame:
        """Train on the references alone; see `one_slice.Method`."""
        forests = [
            self.fit([r for r in references if r.class_id == class_id])
            for class_id in class_ids_of(references)
        ]

        def segment(frame: NDArray[Any]) -> FrameMasks:
            features = self.features(frame)
            return FrameMasks(np.stack([self.predict(forest, features) for forest in forests]))

        return segment

    def features(self, frame: NDArray[Any]) -> NDArray[np.float32]:
        """Compute features, shape (Y, X, F): intensity, edges and texture at sigma 1-16."""
        features: NDArray[np.float32] = multiscale_basic_features(
            frame, sigma_min=1, sigma_max=16, channel_axis=-1, workers=self.workers
        )
        return features

    def fit(self, references: Sequence[Reference]) -> RandomForestClassifier:
        """Train on the same number of pixels of each reference of a class.

        All unmarked pixels count as background, even for sparse annotations, because a forest
        cannot be trained without negative examples.
        """
        rng = np.random.default_rng(self.seed)
        pixels, labels = [], []
        for reference in references:
            marked = reference.mask.ravel() > 0.5
            unmarked = ~marked
            if reference.ignored is not None:
                unmarked &= ~reference.ignored.ravel()
            foreground, background = np.flatnonzero(marked), np.flatnonzero(unmarked)
            sample = np.concatenate(
                [
                    rng.permutation(foreground)[: MAX_FOREGROUND // len(references)],
                    rng.permutation(background)[: MAX_BACKGROUND // len(references)],
                ]
            )
            features = self.features(reference.image)
            pixels.append(features.reshape(-1, features.shape[-1])[sample])
            labels.append(marked[sample])
        forest = RandomForestClassifier(
            self.trees, max_depth=self.depth, n_jobs=self.workers, random_state=self.seed
        )
        return forest.fit(np.concatenate(pixels), np.concatenate(labels))

    def predict(
        self, forest: RandomForestClassifier, features: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """Predict the mask of the class, shape (Y, X)."""
        labels: NDArray[np.bool_] = forest.predict(features.reshape(-1, features.shape[-1]))
        return labels.reshape(features.shape[:2])
