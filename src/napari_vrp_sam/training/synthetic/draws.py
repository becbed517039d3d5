"""Random draws of one view, which change smoothly with depth through a stack."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

FloatArray = NDArray[np.float32]


class Draw:
    """Random numbers that one view of a world is made of.

    Every Gaussian number is ``cos(depth) a + sin(depth) b`` with two independent samples a and b:
    its distribution is the same at every depth, and views at near depths are nearly alike. Whatever
    is computed continuously from such numbers (positions, sizes, textures) is then a stack of
    slices; discrete decisions come from `fixed`, which knows no depth.

    Parameters
    ----------
    seed : int
        Of the layout; views with the same seed are slices of one stack.
    depth : float
        Position along the stack in radians; 0.1 moves objects by some per cent of the frame.
    """

    def __init__(self, seed: int, depth: float = 0.0) -> None:
        self.depth = depth
        self.fixed = np.random.default_rng([seed, 0])
        self._start = np.random.default_rng([seed, 1])
        self._end = np.random.default_rng([seed, 2])

    def normal(self, *shape: int, rate: float = 1.0) -> FloatArray:
        """Standard normal numbers; `rate` > 1 lets fine texture change faster than layout."""
        start = self._start.standard_normal(shape, dtype=np.float32)
        if self.depth == 0:
            return start
        angle = np.clip(self.depth * rate, -np.pi / 2, np.pi / 2)
        end = self._end.standard_normal(shape, dtype=np.float32)
        mixed = np.float32(np.cos(angle)) * start + np.float32(np.sin(angle)) * end
        return np.asarray(mixed, dtype=np.float32)

    def uniform(self, low: float, high: float, *shape: int, rate: float = 1.0) -> FloatArray:
        """Uniform numbers in low..high."""
        return np.asarray(low + (high - low) * ndtr(self.normal(*shape, rate=rate)), np.float32)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """One number whose logarithm is uniform: sizes have no favourite scale.

    `low` where the range is empty, as it may be in small frames.
    """
    high = max(low, high)
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def chance(rng: np.random.Generator, probability: float) -> bool:
    """True with the given probability."""
    return bool(rng.random() < probability)


def pick(rng: np.random.Generator, options: Sequence[str], weights: Sequence[float] = ()) -> str:
    """One of the options, by relative weight (equal when none are given)."""
    shares = np.asarray(weights, dtype=float) if weights else np.ones(len(options))
    return options[int(rng.choice(len(options), p=shares / shares.sum()))]
