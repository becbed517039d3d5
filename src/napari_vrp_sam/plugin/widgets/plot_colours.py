"""Colours of plots."""

from __future__ import annotations

from qtpy.QtGui import QColor

BLUE, AMBER, ACCEPTED = QColor("#3b8ed0"), QColor("#d99a00"), QColor("#3fa34d")
"""Colours that differ in brightness too, for those who tell hues apart badly."""
