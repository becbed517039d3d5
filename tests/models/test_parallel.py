"""Independent computations side by side."""

from __future__ import annotations

import threading

import pytest
import torch

from napari_vrp_sam.models.interruption import check_interrupted, interruptible
from napari_vrp_sam.models.parallel import run_parallel


def test_results_have_the_order_of_the_calls_and_no_gradients() -> None:
    weight = torch.ones(3, requires_grad=True)
    results = run_parallel([lambda k=k: k * weight for k in range(5)])  # type: ignore[misc]
    assert [int(r[0]) for r in results] == [0, 1, 2, 3, 4]
    assert not any(r.requires_grad for r in results)


def test_calls_run_side_by_side_with_one_thread_each() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        barrier = threading.Barrier(2, timeout=60)  # breaks if the second call waits for the first

        def call() -> int:
            barrier.wait()
            return torch.get_num_threads()

        assert run_parallel([call, call]) == [1, 1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_calls_may_have_calls_of_their_own() -> None:
    def outer(k: int) -> list[int]:
        return run_parallel([lambda: 10 * k, lambda: 10 * k + 1])

    assert run_parallel([lambda: outer(1), lambda: outer(2)]) == [[10, 11], [20, 21]]


def test_calls_are_interruptible_and_restore_the_number_of_threads() -> None:
    before = torch.get_num_threads()

    def stop() -> None:
        raise KeyboardInterrupt

    with interruptible(stop), pytest.raises(KeyboardInterrupt):
        run_parallel([check_interrupted, check_interrupted])
    assert torch.get_num_threads() == before


def test_a_failure_stops_the_other_calls() -> None:
    started = threading.Event()

    def fail() -> None:
        started.wait(60)
        raise ValueError("no")

    def endless() -> None:
        started.set()
        while True:
            check_interrupted()

    with pytest.raises(ValueError, match="no"):
        run_parallel([endless, fail])
