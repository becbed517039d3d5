"""Random numbers that change smoothly with depth through a stack."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

FloatArray = NDArray[np.float32]


class Draws:
    """Random numbers that determine the layout of one frame of a world.

    Each Gaussian number is ``cos(depth) a + sin(depth) b`` with two independent samples a and b:
    its distribution is the same at every depth, and frames at neighbouring depths are similar.
    Everything that depends continuously on such numbers (positions, sizes, textures) thus changes
    from slice to slice as in a stack. Discrete choices use `fixed`, which does not depend on depth.

    Parameters
    ----------
    seed : int
        Seed of the layout; frames with the same seed are slices of one stack.
    depth : float
        Position along the stack in radians; 0.1 moves objects by a few per cent of the frame.
    """

    def __init__(self, seed: int, depth: float = 0.0) -> None:
        self.depth = depth
        self.fixed = np.random.default_rng([seed, 0])
        self._start = np.random.default_rng([seed, 1])
        self._end = np.random.default_rng([seed, 2])

    def normal(self, *shape: int, rate: float = 1.0) -> FloatArray:
        """Draw standard normal numbers; with `rate` > 1 they change faster with depth."""
        start = self._start.standard_normal(shape, dtype=np.float32)
        if self.depth == 0:
            return start
        angle = np.clip(self.depth * rate, -np.pi / 2, np.pi / 2)
        end = self._end.standard_normal(shape, dtype=np.float32)
        mixed = np.float32(np.cos(angle)) * start + np.float32(np.sin(angle)) * end
        return np.asarray(mixed, dtype=np.float32)

    def uniform(self, low: float, high: float, *shape: int, rate: float = 1.0) -> FloatArray:
        """Draw uniform numbers in low..high."""
        return np.asarray(low + (high - low) * ndtr(self.normal(*shape, rate=rate)), np.float32)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform; `low` if the range is empty."""
    high = max(low, high)  # ranges may be empty in small frames
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def chance(rng: np.random.Generator, probability: float) -> bool:
    """Return True with the given probability."""
    return bool(rng.random() < probability)


def pick(rng: np.random.Generator, options: Sequence[str], weights: Sequence[float] = ()) -> str:
    """Draw one of the options by relative weight; default: equal weights."""
    shares = np.asarray(weights, dtype=float) if weights else np.ones(len(options))
    return options[int(rng.choice(len(options), p=shares / shares.sum()))]
