"""Class list of the dock, and keys on the canvas."""

import pytest
from qtpy.QtCore import Qt


@pytest.fixture
def class_list(dock):
    return dock.form.class_list


@pytest.fixture
def press_key(qtbot, canvas):
    """Press Alt and a key over the canvas."""
    alt = Qt.KeyboardModifier.AltModifier
    return lambda text: qtbot.keyClick(canvas, getattr(Qt.Key, f"Key_{text}"), alt)
