"""A long call in a thread: its messages, its result, its mistakes, and leaving it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from napari_vrp_sam.fine_tuning.progress import told

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.control import Control, StopRunError
from napari_vrp_sam.inference.runs.events import Event, Progress


def test_messages_come_in_order_before_the_result() -> None:
    def count(report: Callable[[str], None]) -> int:
        for number in range(3):
            report(f"{number}")
        return 7

    results: list[int] = []

    def run() -> Iterator[Event]:
        results.append((yield from told(count, Control())))

    events = list(run())
    assert results == [7]
    assert events == [Progress(0, 1, "0"), Progress(0, 1, "1"), Progress(0, 1, "2")]


def test_mistakes_arrive() -> None:
    def fail(_: Callable[[str], None]) -> None:
        raise InputError("There is no such model.")

    with pytest.raises(InputError, match="no such model"):
        list(told(fail, Control()))


def test_a_cancelled_run_does_not_wait() -> None:
    control, go_on = Control(), threading.Event()

    def wait(report: Callable[[str], None]) -> None:
        report("waiting")
        go_on.wait(timeout=60)

    run = told(wait, control)
    assert next(run) == Progress(0, 1, "waiting")
    control.cancel()
    try:
        with pytest.raises(StopRunError):
            next(run)
        assert not go_on.is_set()
    finally:
        go_on.set()
