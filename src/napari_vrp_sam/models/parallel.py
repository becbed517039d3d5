"""Independent computations on a CPU, each in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from typing import TypeVar

import torch

T = TypeVar("T")

_lock = threading.Lock()
_nested: ContextVar[bool] = ContextVar("_nested", default=False)


def run_parallel(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Run independent computations of PyTorch side by side, each with one thread.

    Operations on small tensors gain nothing from a second thread; whole computations do. With one
    thread each, their results do not depend on the number of CPU cores either.

    Parameters
    ----------
    calls : sequence of callable
        They run without gradients and in copies of this context, so that `interruptible` works.

    Returns
    -------
    list
        What the callables return, in their order.
    """
    if _nested.get():
        return _run(calls)
    # PyTorch hands the number of threads of the process to each new thread; one caller at a time.
    with _lock:
        threads = torch.get_num_threads()
        try:
            return _run(calls)
        finally:
            torch.set_num_threads(threads)


def _run(calls: Sequence[Callable[[], T]]) -> list[T]:
    with ThreadPoolExecutor(
        len(calls), "vrp-sam-learn", initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        futures = [pool.submit(copy_context().run, _without_gradients, call) for call in calls]
        return [future.result() for future in futures]


def _without_gradients(call: Callable[[], T]) -> T:
    _nested.set(True)
    with torch.no_grad():
        return call()
