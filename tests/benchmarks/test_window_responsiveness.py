"""Statistics of the benchmark of the window."""

from __future__ import annotations

import numpy as np
import pytest
from tests.scripts import load_script


def test_waiting_time_agrees_with_simulated_events():
    benchmark = load_script("benchmarks/window_responsiveness.py")
    rng = np.random.default_rng(0)
    gaps = rng.exponential(10, 500)
    ends = gaps.cumsum()
    moments = rng.uniform(0, ends[-1], 200_000)
    waits = ends[np.searchsorted(ends, moments)] - moments
    assert benchmark.waiting_time(gaps, 0.99) == pytest.approx(np.percentile(waits, 99), rel=0.02)
