"""The benchmark of the first minute keeps the best trial of each phase."""

from tests.scripts import load_script


def test_the_best_trial_of_each_phase_and_clock_is_kept():
    benchmark = load_script("benchmarks/first_minute.py")
    best = {}
    benchmark._keep_best(best, {"panel": {"wall": 2.0, "cpu": 1.0}})
    benchmark._keep_best(best, {"panel": {"wall": 1.0, "cpu": 1.5}, "run": {"wall": 3.0, "cpu": 1}})
    assert best == {"panel": {"wall": 1.0, "cpu": 1.0}, "run": {"wall": 3.0, "cpu": 1}}
