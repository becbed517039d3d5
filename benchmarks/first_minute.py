"""Waiting times of a user in the first minute: panel, first preview, first frame of a run.

    python benchmarks/first_minute.py --repeats 3 --json first-minute.json
    python benchmarks/first_minute.py --baseline OTHER_CHECKOUT/src --json before-and-after.json

Each trial opens a window, in which nothing must be done meanwhile, in a process of its own. Cold:
the user draws as soon as the panel is there. Warm: the worker is at rest after an earlier preview.
The best of several trials is reported, in wall time, and in CPU time of window and worker together.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer

app = typer.Typer(pretty_exceptions_enable=False)
HERE = Path(__file__).resolve()
ANNOTATED = 3


class Log:
    """Times of what happens, and of the phases between progress messages."""

    def __init__(self) -> None:
        self._start: tuple[float, float] = (0.0, 0.0)
        self._phase = ""
        self._phase_start = self._now()
        self.times: dict[str, dict[str, float]] = {}
        self.results = self.ends = 0

    def _now(self) -> tuple[float, float]:
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        cpu = 0.0
        for process in processes:
            try:
                cpu += sum(process.cpu_times()[:2])
            except psutil.NoSuchProcess:
                continue
        return time.perf_counter(), cpu

    def start(self) -> None:
        """Start the clock."""
        self._start = self._phase_start = self._now()
        self._phase = "start of the job"

    def stop(self, name: str) -> None:
        """Note the time since `start`, the first time that this is called with a name."""
        self._note(name, self._start)

    def progress(self, prefix: str, message: str) -> None:
        """Note the time of the phase that a message ends."""
        if self._phase:
            self._note(f"{prefix}: {self._phase}", self._phase_start)
        self._phase, self._phase_start = message, self._now()

    def _note(self, name: str, start: tuple[float, float]) -> None:
        now = self._now()
        wall, cpu = (round(after - before, 3) for before, after in zip(start, now, strict=True))
        self.times.setdefault(name, {"wall": wall, "cpu": cpu})


@app.command(hidden=True)
def trial(kind: str, side: int = 512, frames: int = 8) -> None:
    """Run one trial and print its times as JSON."""
    import napari
    from qtpy.QtCore import QEventLoop, QTimer

    from napari_vrp_sam.inference.runs import engine as engines
    from napari_vrp_sam.inference.runs.events import Cancelled, Done, Failed, FrameResult, Progress
    from napari_vrp_sam.io.samples import sample_stack

    log = Log()
    prefix = [kind]
    read = engines.Run._read  # noqa: SLF001 # older versions of the package have no other hook

    def record(run: Any, event: Any) -> Any:
        if isinstance(event, Progress):
            log.progress(prefix[0], event.message)
        elif isinstance(event, FrameResult):
            log.progress(prefix[0], "")
            log.results += 1
        elif isinstance(event, Failed):
            raise RuntimeError(f"{event.message} {event.detail}")
        log.ends += isinstance(event, Done | Failed | Cancelled)
        return read(run, event)

    engines.Run._read = record  # type: ignore[assignment, method-assign] # noqa: SLF001

    def wait(until: Callable[[], bool], seconds: float = 600) -> None:
        deadline = time.monotonic() + seconds
        while not until():
            if time.monotonic() > deadline:
                raise TimeoutError(json.dumps(log.times))
            loop = QEventLoop()
            QTimer.singleShot(5, loop.quit)
            loop.exec()

    stack, truth = sample_stack(size=side, frames=frames)
    viewer = napari.Viewer()
    image = viewer.add_image(stack, name="stack")
    viewer.dims.set_current_step(0, ANNOTATED)
    settled = time.monotonic() + 2
    wait(lambda: time.monotonic() > settled)

    log.start()
    from napari_vrp_sam.plugin.classes.annotation_layers import new_annotation_layer
    from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget

    dock = SegmentStackWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Segment stack")
    wait(dock.segment_button.isVisible)
    log.stop("panel")
    dock.preview_box.setChecked(kind == "preview")

    layer = new_annotation_layer(viewer, image, "mask")
    rows, columns = np.nonzero(truth[ANNOTATED] == 1)

    def draw(count: int) -> None:
        layer.data_setitem((np.full(count, ANNOTATED), rows[:count], columns[:count]), 1)

    draw(len(rows) * 9 // 10)
    if kind == "preview":
        wait(lambda: log.results > 0)
        log.stop("first preview, cold, from the opening of the panel")
        wait(lambda: dock.preview_box._run is None)  # noqa: SLF001 # refined
        prefix[0], log.results = "warm preview", 0
        log.start()
        draw(len(rows))
        wait(lambda: log.results > 0)
        log.stop("preview, warm, from the stroke")
        wait(lambda: dock.preview_box._run is None)  # noqa: SLF001
        prefix[0] = "warm run"
    else:
        prefix[0] = "cold run"
    log.results = 0
    if kind == "preview":
        log.start()
    dock.segment_button.click()
    wait(lambda: log.results > 0)
    log.stop(
        "first frame, warm, from the button"
        if kind == "preview"
        else "first frame, cold, from the opening of the panel"
    )
    typer.echo(json.dumps(log.times))
    sys.stdout.flush()
    dock._end_worker()  # noqa: SLF001
    os._exit(0)  # the rest of the run does not matter


@app.callback(invoke_without_command=True)
def measure(
    context: typer.Context,
    repeats: int = 3,
    baseline: Annotated[Path | None, typer.Option(help="`src` folder of another checkout.")] = None,
    json_path: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Measure this version, and another one if it is given, in turn."""
    if context.invoked_subcommand:
        return
    sources = {"after": HERE.parents[1] / "src"}
    if baseline is not None:
        sources = {"before": baseline.resolve(), **sources}
    best: dict[str, dict[str, dict[str, float]]] = {name: {} for name in sources}
    for number in range(repeats + 1):  # the first round writes the compiled modules
        for name, source in sources.items():
            for kind in ("preview", "run"):
                times = _run(kind, source)
                if number:
                    _keep_best(best[name], times)
        if json_path is not None and number:
            load = psutil.getloadavg()[0]
            content = {"cores": os.cpu_count(), "load": load, "repeats": number, **best}
            json_path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    for phase in best["after"]:
        cells = [best[name].get(phase) for name in sources]
        shown = [
            "      -      " if c is None else f"{c['wall']:6.2f} {c['cpu']:6.2f}" for c in cells
        ]
        typer.echo(f"{phase:60s} {'  '.join(shown)}")


def _run(kind: str, source: Path) -> dict[str, dict[str, float]]:
    environment = {**os.environ, "PYTHONPATH": str(source)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, str(HERE), "trial", kind],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    times: dict[str, dict[str, float]] = json.loads(done.stdout.strip().splitlines()[-1])
    return times


def _keep_best(best: dict[str, dict[str, float]], times: dict[str, dict[str, float]]) -> None:
    for phase, one in times.items():
        known = best.setdefault(phase, dict(one))
        for clock, value in one.items():
            known[clock] = min(known[clock], value)


if __name__ == "__main__":
    app()
