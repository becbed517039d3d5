"""Projection of many bands to the three planes that the models take, by what is annotated.

The first plane is the linear discriminant of the annotated class. The others are the bands that
add most to it, each averaged with the bands that resemble it. On bands that were mixed from real
photographs, or hidden among bands of other objects, this is nearly as accurate as the photographs,
where the first three bands or principal components are not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.reference import Reference

PLANES = 3
"""Number of planes that a model takes."""

SHRINKAGE = 0.01
"""Share of the mean variance that is added to the covariance of the bands: few annotated pixels of
many similar bands do not determine it."""

MAX_PIXELS = 200_000
"""Largest number of pixels of an annotated frame that are used; more make no difference."""

UNKNOWN = 0.1
"""Weight of an unmarked pixel of a sparse annotation as background."""

Projection = tuple[tuple[float, ...], ...]
"""For each plane the weights of the bands, and an offset."""


@dataclass(frozen=True, eq=False)
class _Separation:
    """Means and covariance of a class and of its background."""

    difference: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def direction(self) -> NDArray[np.float64]:
        """Return the linear discriminant, of length 1."""
        size = len(self.covariance)
        added = SHRINKAGE * np.trace(self.covariance) / size + 1e-9
        found = np.linalg.solve(self.covariance + added * np.eye(size), self.difference)
        length = np.linalg.norm(found)
        return found / length if length else np.full_like(found, len(found) ** -0.5)

    def along(self, rows: NDArray[np.float64]) -> float:
        """Return the squared distance of the means in standard deviations, within some planes."""
        difference = rows @ self.difference
        spread = rows @ self.covariance @ rows.T
        spread += 1e-6 * np.eye(len(rows))
        return float(difference @ np.linalg.solve(spread, difference))


def fit_projection(
    sample: NDArray[np.floating],
    references: Sequence[Reference],
    normalise: Callable[[NDArray[Any]], NDArray[np.float32]],
    percentiles: tuple[float, float],
) -> Projection:
    """Fit a projection of bands to three planes.

    Parameters
    ----------
    sample : ndarray, shape (N, C)
        Normalised pixels of the stack without gaps, which set the range of the planes.
    references : sequence of Reference
        Annotated frames. Without any, the planes are principal components.
    normalise : callable
        Maps a frame (Y, X, C) to bands (C, Y, X) in 0..1.
    percentiles : tuple of float
        Percentiles of the sample that are mapped to 0 and 1.
    """
    count = sample.shape[1]
    class_ids = sorted({r.class_id for r in references})
    bands = [normalise(_thinned(r.image, r)) for r in references]
    found = [_separation(class_id, references, bands) for class_id in class_ids]
    separations = [one for one in found if one is not None]
    if separations:
        discriminants = _discriminants(separations)
        chosen: list[int] = []
        while len(discriminants) + len(chosen) < PLANES:
            rows = np.vstack([discriminants, np.eye(count)[chosen]])
            chosen.append(_best_band(rows, separations, set(range(count)) - {*chosen}))
        rows = np.vstack([discriminants, _groups(sample, chosen)])
    else:
        centred = sample - sample.mean(axis=0)
        rows = np.linalg.svd(centred.T @ centred)[0].T[:PLANES]
        rows *= np.where(rows.sum(axis=1, keepdims=True) < 0, -1, 1)
    planes = sample @ rows.T
    low, high = np.percentile(planes, percentiles, axis=0) if len(planes) else np.zeros((2, PLANES))
    scale = 1 / np.where(high > low, high - low, np.inf)
    scaled = np.column_stack([rows * scale[:, None], -low * scale])
    return tuple(tuple(float(weight) for weight in row) for row in scaled)


def project(bands: NDArray[np.float32], projection: Projection) -> NDArray[np.float32]:
    """Return three planes (3, Y, X) in 0..1 of bands (C, Y, X)."""
    weights = np.asarray(projection, dtype=np.float32)
    planes = np.tensordot(weights[:, :-1], bands, axes=1) + weights[:, -1, None, None]
    return np.asarray(planes.clip(0, 1), dtype=np.float32)


def _discriminants(separations: Sequence[_Separation]) -> NDArray[np.float64]:
    """Return the linear discriminants of up to three classes, or the main ones of more."""
    rows = np.stack([one.direction() for one in separations])
    if len(rows) <= PLANES:
        return rows
    main = np.linalg.svd(rows, full_matrices=False)[2][:PLANES]
    return np.asarray(main * np.where(main.sum(axis=1, keepdims=True) < 0, -1, 1))


def _best_band(
    rows: NDArray[np.float64], separations: Sequence[_Separation], unused: Collection[int]
) -> int:
    """Return the index of the unused band that adds most to some rows."""

    def gain(band: int) -> float:
        single = np.eye(rows.shape[1])[band]
        return sum(one.along(np.vstack([rows, single])) for one in separations)

    return max(sorted(unused), key=gain)


def _groups(sample: NDArray[np.floating], chosen: Sequence[int]) -> NDArray[np.float64]:
    """Return a row for each chosen band, in which bands count as much as they resemble it."""
    centred = sample - sample.mean(axis=0)
    spread = np.sqrt((centred**2).mean(axis=0)) + 1e-9
    alike = (centred[:, list(chosen)].T @ centred) / len(centred)
    alike = alike / spread[list(chosen), None] / spread
    alike = np.where(np.abs(alike) == np.abs(alike).max(axis=0, initial=0), alike, 0)
    rows = alike * np.abs(alike) ** 2
    rows[range(len(chosen)), list(chosen)] = 1  # also of a band without contrast
    return np.asarray(rows, dtype=np.float64)


def _separation(
    class_id: int, references: Sequence[Reference], bands: Sequence[NDArray[np.float32]]
) -> _Separation | None:
    """Return means and covariance of a class; None if it or its background has no pixel."""
    values, inside, outside = [], [], []
    for reference, planes in zip(references, bands, strict=True):
        if reference.class_id == class_id:
            mask, background = _weights(reference)
            values.append(planes.reshape(len(planes), -1).T.astype(np.float64))
            inside.append(_thinned(mask, reference).ravel())
            outside.append(_thinned(background, reference).ravel())
    pixels, weights = np.concatenate(values), np.stack([*map(np.concatenate, (inside, outside))])
    if not weights.any(axis=1).all():
        return None
    means, covariances = [], []
    for weight in weights:
        mean = np.average(pixels, axis=0, weights=weight)
        centred = pixels - mean
        means.append(mean)
        covariances.append((centred * weight[:, None]).T @ centred / weight.sum())
    return _Separation(means[0] - means[1], sum(covariances) / 2)


def _weights(reference: Reference) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the weight of each pixel (Y, X) as one of the class and of its background."""
    mask = reference.mask
    outside = np.where(mask > 0, 0, UNKNOWN if reference.sparse else 1).astype(np.float32)
    if reference.negative is not None:
        outside = np.where(reference.negative, np.float32(1), outside)
    if reference.ignored is not None:
        mask, outside = (np.where(reference.ignored, np.float32(0), w) for w in (mask, outside))
    return mask, outside


def _thinned(image: NDArray[Any], reference: Reference) -> NDArray[Any]:
    """Return evenly spaced pixels of a large frame; all, if few of them are marked."""
    pixels = reference.mask.size
    marked = int((reference.mask > 0).sum())
    step = int(np.sqrt(max(1, min(pixels / MAX_PIXELS, marked / 1000))))
    return image[::step, ::step]
