"""A blocking call in another thread: its reports, result, errors, and cancellation."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.control import Control, StopRunError
from napari_vrp_sam.inference.runs.events import Event, Progress
from napari_vrp_sam.inference.runs.reporting import (
    LOADING,
    ReportProgress,
    download_progress,
    format_elapsed,
    progress_events,
)


def test_messages_come_in_order_before_the_result() -> None:
    def count(report: ReportProgress) -> int:
        for number in range(3):
            report(Progress(number, 3, f"{number}"))
        return 7

    results: list[int] = []

    def run() -> Iterator[Event]:
        results.append((yield from progress_events(count, Control())))

    events = list(run())
    assert results == [7]
    assert events == [Progress(number, 3, f"{number}") for number in range(3)]


def test_errors_arrive() -> None:
    def fail(_: ReportProgress) -> None:
        raise InputError("There is no such model.")

    with pytest.raises(InputError, match="no such model"):
        list(progress_events(fail, Control()))


def test_a_cancelled_run_does_not_wait() -> None:
    control, go_on = Control(), threading.Event()

    def wait(report: ReportProgress) -> None:
        report(Progress(0, 1, "waiting"))
        go_on.wait(timeout=60)

    run = progress_events(wait, control)
    assert next(run) == Progress(0, 1, "waiting")
    control.cancel()
    try:
        with pytest.raises(StopRunError):
            next(run)
        assert not go_on.is_set()
    finally:
        go_on.set()


def test_a_cancelled_run_stops_the_call_at_its_next_report() -> None:
    control, stopped = Control(), threading.Event()

    def count(report: ReportProgress) -> None:
        try:
            for number in range(10**6):
                report(Progress(number, 10**6, ""))
        except StopRunError:
            stopped.set()
            raise

    run = progress_events(count, control)
    next(run)
    control.cancel()
    with pytest.raises(StopRunError):
        list(run)
    assert stopped.wait(timeout=30)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (65, "1 min 5 s"), (3600, "1 h 0 min")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert format_elapsed(seconds) == words


def test_a_download_is_followed_by_loading() -> None:
    events: list[Progress] = []
    on_bytes = download_progress(events.append, 7)
    for received in (0, 1, 500_000, 1_000_000):
        on_bytes(received, 1_000_000, "lite")
    assert [(event.message, event.stage) for event in events] == [
        ("Downloading lite: 0 % of 1 MB", "downloading"),
        ("Downloading lite: 50 % of 1 MB", "downloading"),
        ("Downloading lite: 100 % of 1 MB", "downloading"),
        (LOADING, "loading"),
    ]
    assert {(event.done, event.total) for event in events} == {(0, 7)}
    on_bytes(5, 0, "lite")  # of unknown size
    assert events[-1].message == "Downloading lite: 0 MB"
