"""Take the pictures of the window that the documentation shows.

    python docs/make_screenshots.py [FOLDER]

Opens napari (it needs a screen, Xvfb will do), annotates one frame of the sample stack, segments
the stack with the shipped model, lets it learn from four more for a while, and leaves PNG files in
docs/images or FOLDER.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

FRAME, SHOWN = 12, 16
"""The annotated frame, and one that nobody annotated."""
MORE = (1, 6, 19, 23)
"""Annotated before it is fine-tuned."""
VALIDATIONS = 6
"""To see of the fine-tuning."""
SIZE, DOCK_WIDTH = (1280, 800), 300


def main(folder: Path) -> None:
    """Go through the main job, and take a picture of each step."""
    # napari remembers windows and themes; the pictures must not depend on whose they are.
    os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")
    os.environ["VRP_SAM_MODELS"] = tempfile.mkdtemp()
    import napari
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QApplication

    def wait(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.01)

    def take(name: str) -> None:
        wait(1.5)  # until everything is drawn
        viewer.window.screenshot(str(folder / name), flash=False)

    viewer = napari.Viewer()
    viewer.window.resize(*SIZE)
    dock, panel = viewer.window.add_plugin_dock_widget("napari-vrp-sam", "Segment stack")
    dock.parent().resizeDocks([dock], [DOCK_WIDTH], Qt.Orientation.Horizontal)
    widget = panel.segment
    viewer.open_sample("napari-vrp-sam", "stack")
    truth = viewer.layers["ground truth"].data
    viewer.layers.selection.active = viewer.layers["sample stack"]
    viewer.dims.set_current_step(0, FRAME)

    widget.form.draw_buttons["mask"].click()
    masks = viewer.layers["masks"]
    masks.data[FRAME] = truth[FRAME]
    masks.refresh()
    viewer.reset_view(margin=0.02)
    take("annotate-one-frame.png")

    widget.segment_button.click()
    while widget.running:
        wait(0.2)
    viewer.dims.set_current_step(0, SHOWN)
    take("segment-stack.png")

    widget.quality_panel.next_button.click()
    wait(0.5)
    result = viewer.layers["sample stack segmented"]
    viewer.layers.selection.active = result
    corrected = viewer.dims.current_step[0]
    result.data[corrected] = truth[corrected]  # somebody with a patient hand
    result.mode = "paint"
    result.refresh()
    widget.accept_button.click()
    take("accept-frame.png")

    viewer.layers.remove(result)
    for frame in MORE:
        masks.data[frame] = truth[frame]
    masks.refresh()
    tuner = panel.fine_tune
    viewer.dims.set_current_step(0, SHOWN)
    viewer.reset_view(margin=0.02)
    tuner.fine_tune()
    while tuner.running and len(tuner.plot.ious) < VALIDATIONS:
        wait(0.2)
    take("fine-tune.png")
    viewer.close()


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / "images")
    target.mkdir(parents=True, exist_ok=True)
    main(target)
