"""The stage of the half hour: a viewer with the dock, its mouse, and what a user can see."""

from __future__ import annotations

from math import cos, sin

import numpy as np
from qtpy.QtCore import QRect, Qt
from qtpy.QtTest import QTest
from skimage.measure import label, regionprops
from tests.plugin.fitting import misfits
from tests.plugin.mouse import Mouse, wait_until

from napari_vrp_sam.plugin.layers.outputs.results import is_result_layer

SIZE, DOCK_WIDTH = (1280, 800), 300
RUN_SECONDS = 900
"""Time limit of anything that the worker does."""


class Play:
    """Viewer with the dock of the plugin, played with the mouse.

    Attributes
    ----------
    viewer : napari.viewer.Viewer
    folder : Path
        For exported files.
    panel : Panel
    mouse : Mouse
    scrolled_to : list of str
        Controls that were out of view when they were needed.
    """

    def __init__(self, viewer, folder, size=SIZE):
        self.viewer = viewer
        self.folder = folder
        self.window = viewer.window._qt_window
        self.scrolled_to = []
        self.frame, self.panel = viewer.window.add_plugin_dock_widget(
            "napari-vrp-sam", "Segment stack"
        )
        self.mouse = Mouse(viewer)
        self.resize(*size)
        QTest.qWait(500)

    @property
    def dock(self):
        return self.panel.segment

    @property
    def status(self):
        return self.dock.status.text()

    @property
    def results(self):
        return [layer for layer in self.viewer.layers if is_result_layer(layer)]

    @property
    def truth(self):
        return self.viewer.layers["ground truth"].data > 0

    @property
    def frame_shown(self):
        return self.viewer.dims.current_step[0]

    def resize(self, width, height):
        """Set the size of the window."""
        set_size(self.window, self.frame, (width, height))
        self.viewer.reset_view(margin=0.02)

    def press(self, button):
        """Click on a button of the dock, which must be enabled; scroll to it if necessary."""
        self.show_control(button)
        assert button.isVisible(), f"{button.text()} is hidden"
        assert button.isEnabled(), f"{button.text()} is disabled"
        self.mouse.click(button)

    def show_control(self, widget):
        """Scroll the dock until a control is in view."""
        QTest.qWait(150)  # for the layout
        scroll = self.panel.current.scroll
        if scroll.widget().isAncestorOf(widget) and not in_view(widget, scroll):
            name = getattr(widget, "text", lambda: type(widget).__name__)()
            self.scrolled_to.append(name)
            scroll.ensureWidgetVisible(widget)
            QTest.qWait(150)

    def clipped(self):
        """Return the controls whose text or frame does not fit."""
        return misfits(self.panel, self.panel.current.scroll)

    def look(self):
        """Check what must be true at every moment."""
        for _ in range(50):  # until the layout is final
            if not self.clipped():
                break
            QTest.qWait(100)
        clipped = self.clipped()
        assert not clipped, clipped

    def wait_for_preview(self):
        """Wait until the outline of the last change is shown."""
        box = self.dock.preview_box
        QTest.qWait(100)
        wait_until(
            lambda: box.state.phase in ("up to date", "failed"), RUN_SECONDS, "the live preview"
        )
        assert box.state_label.full_text == "up to date"

    def wait_for_run(self):
        """Wait until a run has ended."""
        wait_until(lambda: not self.dock.running, RUN_SECONDS, "the run")

    def bodies(self, frame):
        """Return the objects of the ground truth on a frame, as regions, large ones first."""
        return sorted(regions(self.truth[frame]), key=lambda body: -body.area)

    def paint(self, layer, body):
        """Paint an object with one stroke along its axis, with a brush as wide as the object."""
        self.viewer.layers.selection.active = layer
        layer.mode, layer.brush_size = "paint", max(2, round(body.axis_minor_length * 0.95))
        reach = (body.axis_major_length - body.axis_minor_length) / 2
        along = reach * np.array([cos(body.orientation), sin(body.orientation)])
        self.mouse.draw(body.centroid - along, body.centroid + along, steps=2)


def in_view(widget, scroll):
    """Return True if no part of a control is scrolled out of view."""
    viewport = scroll.viewport()
    place = QRect(widget.mapTo(viewport.parent(), widget.rect().topLeft()), widget.size())
    return viewport.geometry().contains(place)


def set_size(window, frame, size=SIZE):
    """Set the size of a window, and the width of a dock in it."""
    window.setGeometry(0, 0, *size)
    window.resizeDocks([frame], [DOCK_WIDTH], Qt.Orientation.Horizontal)
    QTest.qWait(300)


def regions(mask):
    """Return the connected regions of a mask."""
    return regionprops(label(mask > 0))


def iou(found, wanted):
    """Return the intersection over union of two masks."""
    found, wanted = found > 0, wanted > 0
    return (found & wanted).sum() / max((found | wanted).sum(), 1)
