"""Actions of a user on the dock 'Segment stack'."""

from qtpy.QtCore import Qt

from napari_vrp_sam.plugin.layers.outputs.results import is_result_layer


def press(qtbot, button):
    """Click a button."""
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def run(qtbot, dock, engine, frames=1000):
    """Segment the stack and wait until the run has ended."""
    engine.let_through(frames)
    press(qtbot, dock.segment_button)
    qtbot.waitUntil(lambda: not dock.running, timeout=60_000)


def results(viewer):
    """Return the result layers."""
    return [layer for layer in viewer.layers if is_result_layer(layer)]
