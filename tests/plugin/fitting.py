"""Texts that are wider or higher than the controls that show them."""

import re

from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtGui import QTextDocument
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QLabel,
    QProgressBar,
    QRadioButton,
    QSpinBox,
    QStyle,
    QStyleOptionButton,
    QStyleOptionComboBox,
    QTabBar,
    QWidget,
)

from napari_vrp_sam.plugin.inputs.image_box import ImageBox
from napari_vrp_sam.plugin.inputs.model_box import ModelBox
from napari_vrp_sam.plugin.widgets.controls import ElidedButton
from napari_vrp_sam.plugin.widgets.focus.outline import Outline

NAMES = ImageBox, ModelBox, ElidedButton
"""Controls that show names of layers and files: they elide them and have tooltips."""


def text_width(widget, text):
    """Return the width of a text in pixels, without the markers of shortcuts."""
    return widget.fontMetrics().horizontalAdvance(text.replace("&&", "&"))


def spin_texts(box):
    """Return the longest texts that a spin box may show."""
    values = [box.textFromValue(value) for value in (box.minimum(), box.maximum())]
    return [box.prefix() + value + box.suffix() for value in values] + [box.specialValueText()]


def room_and_texts(widget):
    """Return the width for the text of a control, and the texts it may show."""
    style = widget.style()
    if isinstance(widget, QComboBox):
        option = QStyleOptionComboBox()
        widget.initStyleOption(option)
        part = QStyle.SubControl.SC_ComboBoxEditField
        field = style.subControlRect(QStyle.ComplexControl.CC_ComboBox, option, part, widget)
        return field.width(), [widget.itemText(row) for row in range(widget.count())]
    if isinstance(widget, QSpinBox | QDoubleSpinBox):
        return widget.lineEdit().contentsRect().width() - 4, spin_texts(widget)
    if isinstance(widget, QAbstractButton):
        option = QStyleOptionButton()
        option.initFrom(widget)
        element = QStyle.SubElement.SE_PushButtonContents
        if isinstance(widget, QCheckBox):
            element = QStyle.SubElement.SE_CheckBoxContents
        elif isinstance(widget, QRadioButton):
            element = QStyle.SubElement.SE_RadioButtonContents
        return style.subElementRect(element, option, widget).width(), [widget.text()]
    if isinstance(widget, QProgressBar):
        return widget.width(), [widget.text()] if widget.isTextVisible() else []
    return None


def misfit(widget):
    """Return a description of a text that does not fit into its control; empty if it fits."""
    if isinstance(widget, QLabel):
        return label_misfit(widget)
    if isinstance(widget, QTabBar):
        tabs = range(widget.count())
        return ", ".join(
            f"tab {widget.tabText(tab)!r} has {widget.tabRect(tab).width()} px"
            for tab in tabs
            if text_width(widget, widget.tabText(tab)) > widget.tabRect(tab).width()
            or widget.tabRect(tab).right() > widget.width()
        )
    found = room_and_texts(widget)
    if found is None:
        return ""
    room, texts = found
    if isinstance(widget, NAMES):
        if not widget.toolTip():
            return "no tooltip for an elided name"
        texts = [] if isinstance(widget, QComboBox) else [widget.text()]
    text = max(texts, key=lambda text: text_width(widget, text), default="")
    width = text_width(widget, text)
    if width > room:
        return f"{text!r} needs {width} px and has {room}"
    if text and widget.height() < widget.fontMetrics().height():
        return f"{text!r} is too high"
    return ""


def label_misfit(label):
    room = label.contentsRect()
    if not label.text():
        return ""
    document = QTextDocument()
    document.setDefaultFont(label.font())
    rich = Qt.mightBeRichText(label.text())
    (document.setHtml if rich else document.setPlainText)(label.text())
    if not label.wordWrap():
        width = text_width(label, document.toPlainText())
        return f"{label.text()!r} needs {width} px and has {room.width()}" * (width > room.width())
    words = re.split(r"[\s-]+", document.toPlainText())  # Qt also breaks lines at hyphens
    widest = max(words, key=lambda word: text_width(label, word))
    if text_width(label, widest) > room.width():
        return f"the word {widest!r} is wider than {room.width()} px"
    needed = label.heightForWidth(label.width())
    return f"{label.text()!r} needs {needed} px of height, has {label.height()}" * (
        needed > label.height()
    )


def misfits(panel, scroll):
    """Return the controls below a panel whose text or frame does not fit, with the reason."""
    viewport = scroll.viewport()
    room = QRect(viewport.mapTo(panel, QPoint(0, 0)), viewport.size())
    found = []
    for widget in panel.findChildren(QWidget):
        if not widget.isVisibleTo(panel) or widget.isWindow() or not widget.height():
            continue
        if isinstance(widget.parent(), QAbstractSpinBox | QComboBox):
            continue  # a part of its parent
        if isinstance(widget, Outline):
            continue  # larger than the control that it points at
        reason = misfit(widget)
        place = QRect(widget.mapTo(panel, QPoint(0, 0)), widget.size())
        inside = scroll.widget().isAncestorOf(widget)
        if inside and (place.left() < room.left() or place.right() > room.right()):
            reason = reason or f"covers {place.left()} to {place.right()} of {room.right()} px"
        if reason:
            found.append(f"{type(widget).__name__} {widget.accessibleName()!r}: {reason}")
    return found
