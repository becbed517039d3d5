"""Statistics of the benchmark of the window."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "window_responsiveness.py"


def test_waiting_time_agrees_with_simulated_events():
    spec = importlib.util.spec_from_file_location("window_responsiveness", SCRIPT)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    rng = np.random.default_rng(0)
    gaps = rng.exponential(10, 500)
    ends = gaps.cumsum()
    moments = rng.uniform(0, ends[-1], 200_000)
    waits = ends[np.searchsorted(ends, moments)] - moments
    assert benchmark.waiting_time(gaps, 0.99) == pytest.approx(np.percentile(waits, 99), rel=0.02)
