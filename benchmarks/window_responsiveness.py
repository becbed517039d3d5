"""Measure how long napari's window blocks its user during a run, and its memory.

    python benchmarks/window_responsiveness.py segment
    python benchmarks/window_responsiveness.py fine-tune

Opens a window, in which nothing must be done meanwhile. A timer of 2 ms measures the gaps between
the events that the event loop processes: first without a run, then while a script scrolls through
the stack (and paints, during fine-tuning) and the worker process computes on the CPU.
"""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

import napari
import numpy as np
import psutil
import typer
from numpy.typing import NDArray
from qtpy.QtCore import QElapsedTimer, QEventLoop, Qt, QTimer

from napari_vrp_sam.io.samples import sample_stack
from napari_vrp_sam.plugin.fine_tune.widget import FineTuneWidget
from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget

app = typer.Typer()


class Stopwatch:
    """Gaps in milliseconds between the events of a timer."""

    def __init__(self) -> None:
        self._clock = QElapsedTimer()
        self._gaps: list[float] = []
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._clock.start()
        self._timer.start(2)

    def _tick(self) -> None:
        self._gaps.append(self._clock.nsecsElapsed() / 1e6)
        self._clock.restart()

    def stop(self) -> NDArray[np.float64]:
        """Stop the timer, and return the gaps."""
        self._timer.stop()
        return np.asarray(self._gaps)


def waiting_time(gaps: NDArray[np.float64], share: float) -> float:
    """Return the quantile of the waiting time of an event at a random moment, in milliseconds."""
    # Within a gap g, all waits from 0 to g are equally likely: P(wait > w) is the sum of
    # max(g - w, 0) over the gaps, divided by the sum of the gaps.
    waits = np.linspace(0, gaps.max(), 10_000)
    longer = [np.maximum(gaps - wait, 0).sum() for wait in waits]
    return float(np.interp(share, 1 - np.asarray(longer) / gaps.sum(), waits))


def report(name: str, gaps: NDArray[np.float64]) -> None:
    typer.echo(
        f"{name}, {gaps.sum() / 1000:.0f} s: 99 % of events wait less than "
        f"{waiting_time(gaps, 0.99):.0f} ms; 99 % of {len(gaps)} gaps are shorter than "
        f"{np.percentile(gaps, 99):.0f} ms, the longest is {gaps.max():.0f} ms"
    )


def wait(milliseconds: int) -> None:
    """Process events for some time."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def measure(act: Callable[[int], None], until: Callable[[], bool], rounds: int) -> Any:
    """Act as a user, at most for a number of rounds; return the gaps."""
    stopwatch = Stopwatch()
    for number in range(rounds):
        act(number)
        if until():
            break
    return stopwatch.stop()


def compare(
    dock: Any, act: Callable[[int], None], start: Callable[[], None], until: Callable[[], bool]
) -> None:
    """Measure without a run, during a run, and its cancellation; print the results."""
    wait(5000)
    gc.collect()
    idle = measure(act, lambda: False, 20)
    memory = psutil.Process().memory_info().rss
    start()
    busy = measure(act, lambda: until() or not dock.running, 600)
    grown = (psutil.Process().memory_info().rss - memory) / 1e6
    if not until():
        raise RuntimeError(dock.status.text())
    begun = time.monotonic()
    dock.cancel()
    while dock.running:
        wait(10)
    cancelled = time.monotonic() - begun
    report("Without a run", idle)
    report("During the run", busy)
    typer.echo(f"Memory grew by {grown:.0f} MB; cancelled in {cancelled:.2f} s.")


@app.command()
def segment(frames: int = 50, side: int = 1024, watched: int = 12) -> None:
    """Measure while the first WATCHED frames of a stack are segmented."""
    viewer = napari.Viewer()
    small, ground_truth = sample_stack(size=side // 4, frames=8)
    enlarge = np.ones((4, 4), np.uint8)
    stack = np.stack([np.kron(small[z % 8], enlarge) for z in range(frames)])
    viewer.add_image(stack, name="stack")
    dock = SegmentStackWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Segment stack")
    labels = viewer.add_labels(np.zeros(stack.shape, np.uint8), name="masks")
    labels.data[3] = np.kron(ground_truth[3], enlarge)
    viewer.dims.set_current_step(0, 3)
    dock.preview_box.setChecked(False)

    def scroll(number: int) -> None:
        wait(500)
        viewer.dims.set_current_step(0, number % frames)

    compare(dock, scroll, dock.segment, lambda: dock.progress.value() >= watched)
    viewer.close()


@app.command()
def fine_tune(frames: int = 24, side: int = 512, watched: int = 12) -> None:
    """Measure during the first WATCHED training steps."""
    viewer = napari.Viewer()
    stack, ground_truth = sample_stack(size=side, frames=frames)
    viewer.add_image(stack, name="stack")
    labels = viewer.add_labels(np.zeros(stack.shape, np.uint8), name="masks")
    labels.data[3] = ground_truth[3]
    notes = viewer.add_labels(np.zeros(stack.shape, np.uint8), name="notes")
    notes.brush_size, notes.mode = 20, "paint"
    dock = FineTuneWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Fine-tune")
    dock.form.annotation_list.tick(notes, on=False)
    dock.form.device_box.setCurrentText("cpu")
    viewer.dims.set_current_step(0, 3)

    def scroll_and_paint(number: int) -> None:
        wait(250)
        frame = number % frames
        viewer.dims.set_current_step(0, frame)
        wait(250)
        notes.paint((frame, 50 + 4 * (number % 90), 100), 1)

    compare(dock, scroll_and_paint, dock.fine_tune, lambda: len(dock.plot.losses) >= watched)
    viewer.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["VRP_SAM_MODELS"] = folder  # for checkpoints of the cancelled run
        app()
