"""The benchmark of the first minute keeps the best trial of each phase."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "first_minute.py"


def test_the_best_trial_of_each_phase_and_clock_is_kept():
    spec = importlib.util.spec_from_file_location("first_minute", SCRIPT)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    best = {}
    benchmark._keep_best(best, {"panel": {"wall": 2.0, "cpu": 1.0}})
    benchmark._keep_best(best, {"panel": {"wall": 1.0, "cpu": 1.5}, "run": {"wall": 3.0, "cpu": 1}})
    assert best == {"panel": {"wall": 1.0, "cpu": 1.0}, "run": {"wall": 3.0, "cpu": 1}}
