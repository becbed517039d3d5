"""Check an installed wheel as a user would: start napari, and go through the tour to its end.

    uv venv alone && uv pip install --python alone "dist/FILE.whl[all]"
    xvfb-run alone/bin/python packaging/check_wheel.py

Fails if the package is imported from a source tree, or if a step of the tour is not reached.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

TIME_LIMIT = 600
"""Seconds for each step."""


def wait_for(condition: Callable[[], bool], reason: str) -> None:
    """Process the events of the window until a condition is true."""
    from qtpy.QtTest import QTest

    end = time.monotonic() + TIME_LIMIT
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"In vain: {reason}.")
        QTest.qWait(50)


def main() -> None:
    """Go through the tour."""
    os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")
    import napari

    import napari_vrp_sam

    if "site-packages" not in napari_vrp_sam.__file__:
        raise SystemExit(f"Not the wheel: {napari_vrp_sam.__file__}")
    viewer = napari.Viewer()
    frame, panel = viewer.window.add_plugin_dock_widget("napari-vrp-sam", "Segment stack")
    dock = panel.segment
    tour = dock.tour

    def reach(step: int) -> None:
        number = f"Step {step} of 5" if step < 6 else ""
        wait_for(lambda: tour.count_label.text() == number, f"step {step} of the tour")
        sys.stderr.write(f"{number or 'Done'}: {tour.text.text()[:60]}\n")

    tour.start()
    reach(1)
    dock.form.draw_buttons["scribble"].click()
    reach(2)
    scribbles = viewer.layers["scribbles"]
    truth = viewer.layers["ground truth"].data
    shown = viewer.dims.current_step[0]
    rows, columns = truth[shown].nonzero()
    for row, column in list(zip(rows, columns, strict=True))[:: len(rows) // 8]:
        scribbles.paint((shown, int(row), int(column)), 1)
    reach(3)
    wait_for(dock.segment_button.isEnabled, "the button Segment stack")
    dock.segment_button.click()
    reach(4)
    viewer.dims.set_current_step(0, 3)
    reach(5)
    wait_for(dock.accept_button.isEnabled, "the button Accept frame")
    dock.accept_button.click()
    reach(6)
    result = viewer.layers["sample nuclei segmented"].data
    if not (result > 0).any():
        raise SystemExit("The result is empty.")
    frame.close()
    viewer.close()


if __name__ == "__main__":
    main()
