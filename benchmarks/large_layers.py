"""Freezes of napari's window when an annotation layer is added to a large image and first drawn in.

    python benchmarks/large_layers.py --json large-layers.json
    python benchmarks/large_layers.py --baseline OTHER_CHECKOUT/src --json large-layers.json

A timer of 10 ms measures the gaps between the events that the event loop processes, in wall time
and in CPU time of the GUI thread; the longest gap after each action is the freeze. `within` lists
the functions of the plugin, napari and vispy in which the thread was during the longest gap in CPU
time, and their share of it, sampled every 5 ms; `plugin` is the share of the plugin's own code.
Each image has a window in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from napari_vrp_sam.annotations.reference import AnnotationKind

app = typer.Typer(pretty_exceptions_enable=False)
HERE = Path(__file__).resolve()
IMAGES = {"6000 x 6000": (6000, 6000), "20 x 6000 x 6000, dask": (20, 6000, 6000)}
PACKAGES = "napari_vrp_sam", "napari", "vispy"
SETTLED_SECONDS = 2.0
LISTED = 6
ATTEMPTS = 3
"""Trials of an image: sampling the stack of another thread has crashed some of them."""


class Sampler(threading.Thread):
    """Innermost function of the plugin, napari or vispy in the main thread, over time."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.samples: list[tuple[float, str]] = []
        self._main = threading.main_thread().ident
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End the thread, before the window is closed."""
        self._stopped.set()
        self.join()

    def run(self) -> None:
        """Sample until `stop`."""
        while not self._stopped.wait(0.005):
            frame = sys._current_frames().get(self._main or 0)  # noqa: SLF001
            while frame is not None:
                module = frame.f_globals.get("__name__", "")
                if module.partition(".")[0] in PACKAGES:
                    self.samples.append(
                        (time.perf_counter(), f"{module}.{frame.f_code.co_qualname}")
                    )
                    break
                frame = frame.f_back

    def within(self, start: float, end: float) -> dict[str, Any]:
        """Return the plugin's share of a gap, and the functions in which most of it was spent."""
        names = [name for at, name in self.samples if start <= at <= end]
        if not names:
            return {}
        own = sum(name.startswith(PACKAGES[0]) for name in names)
        within = {name: round(n / len(names), 2) for name, n in Counter(names).most_common(LISTED)}
        return {"plugin": round(own / len(names), 2), "within": within}


class Gaps:
    """Gaps between the events of a timer."""

    def __init__(self, sampler: Sampler) -> None:
        from qtpy.QtCore import Qt, QTimer

        self._sampler = sampler
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._gaps: list[tuple[float, float, float]] = []
        self._last = time.perf_counter(), time.thread_time()
        self._timer.start(10)

    def _tick(self) -> None:
        now = time.perf_counter(), time.thread_time()
        self._gaps.append((now[0] - self._last[0], now[1] - self._last[1], now[0]))
        self._last = now

    def after(self, action: Callable[[], object]) -> dict[str, Any]:
        """Act, wait until the window is at rest, and return the longest gaps in milliseconds."""
        from qtpy.QtCore import QEventLoop, QTimer

        loop = QEventLoop()
        self._gaps.clear()
        QTimer.singleShot(0, action)
        QTimer.singleShot(int(1000 * SETTLED_SECONDS), loop.quit)
        loop.exec()
        wall = max(self._gaps)
        cpu = max(self._gaps, key=lambda gap: gap[1])
        return {
            "wall_ms": round(1000 * wall[0]),
            "cpu_ms": round(1000 * cpu[1]),
            **self._sampler.within(cpu[2] - cpu[0], cpu[2]),
        }


@app.command(hidden=True)
def trial(name: str) -> None:
    """Run one trial and print its gaps as JSON."""
    import dask.array as da
    import napari
    import numpy as np
    from qtpy.QtCore import QEventLoop, QTimer

    from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget

    shape = IMAGES[name]
    frame = np.random.default_rng(0).integers(0, 255, shape[-2:], np.uint8)
    image = frame if len(shape) == 2 else da.stack([da.from_array(frame)] * shape[0])
    viewer = napari.Viewer()
    viewer.add_image(image, name="large", contrast_limits=(0, 255))
    dock = SegmentStackWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Segment stack")
    sampler = Sampler()
    sampler.start()
    loop = QEventLoop()
    QTimer.singleShot(6000, loop.quit)
    loop.exec()
    lead = [3] * (len(shape) - 2)
    corners = np.array([[*lead, y, x] for y, x in ((9, 9), (9, 90), (90, 90), (90, 9))])
    gaps = Gaps(sampler)
    found = {"at rest": gaps.after(lambda: None)}
    strokes: dict[AnnotationKind, Callable[[Any], object]] = {
        "box": lambda layer: layer.add_rectangles(corners),
        "point": lambda layer: layer.add([[*lead, 50, 50]]),
        "mask": lambda layer: layer.paint((*lead, 50, 50), 1),
        "scribble": lambda layer: layer.paint((*lead, 500, 500), 1),
    }
    for kind, stroke in strokes.items():
        found[f"add: {kind}"] = gaps.after(dock.form.draw_buttons[kind].click)
        layer = viewer.layers.selection.active
        found[f"first stroke: {kind}"] = gaps.after(partial(stroke, layer))
    sampler.stop()
    dock.window().hide()  # ends the worker
    sys.stdout.write("RESULT " + json.dumps(found) + "\n")
    sys.stdout.flush()
    os._exit(0)  # nothing of this process is measured any more


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
    baseline: Annotated[Path | None, typer.Option(help="folder src of another checkout")] = None,
) -> None:
    """Measure all images, and print or write the longest gaps."""
    if context.invoked_subcommand is not None:
        return
    results: dict[str, Any] = {"load": os.getloadavg()[0]}
    sources = {"before": baseline, "after": HERE.parents[1] / "src"}
    for version, source in sources.items():
        if source is not None:
            results[version] = {name: _measure(name, source) for name in IMAGES}
    text = json.dumps(results, indent=1)
    if json_file is not None:
        json_file.write_text(text + "\n", "utf-8")
    typer.echo(text)


def _measure(name: str, source: Path) -> dict[str, Any]:
    command = [sys.executable, str(HERE), "trial", name]
    environment = os.environ | {"PYTHONPATH": str(source)}
    for _ in range(ATTEMPTS):
        lines = subprocess.run(
            command, check=False, stdout=subprocess.PIPE, text=True, env=environment
        ).stdout.splitlines()
        for line in lines:
            if line.startswith("RESULT "):
                result: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
                return result
    raise RuntimeError(f"No trial of {name} gave a result.")


if __name__ == "__main__":
    app()
