"""Notes on annotations, and questions about Labels layers with a button for each answer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_vrp_sam.annotations.label_questions import Topic
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.layers.annotated.labels import LayerQuestion
from napari_vrp_sam.plugin.layers.metadata import KIND_STATED, set_metadata, state_meaning
from napari_vrp_sam.plugin.widgets.controls import (
    ElidedButton,
    MessageLabel,
    pack,
    set_help,
)

if TYPE_CHECKING:
    from napari_vrp_sam.annotations.reference import AnnotationKind
    from napari_vrp_sam.plugin.classes.annotation_list import AnnotationList

ANSWERS: dict[Topic, tuple[tuple[str, dict[str, Any]], ...]] = {
    "objects": (
        ("They are one class", {"one_class": True}),
        ("Each value is a class", {"one_class": False}),
    ),
    "count": (("They are one class", {"one_class": True}),),
    "full": (
        ("{value} is background", {"background": "{value}"}),
        ("Each value is a class", {"one_class": False}),
    ),
    "strokes": (
        ("Strokes, {value} is background", {"kind": "scribble", "background": "{value}"}),
        ("Strokes, each value a class", {"kind": "scribble"}),
        ("Masks", {"kind": "mask"}),
    ),
    "spill": (
        ("Some are not labelled", {"kind": "partial"}),
        ("All are labelled", {"kind": "mask"}),
    ),
    "view": (
        ("They are strokes", {"kind": "scribble"}),
        ("They are complete", {"kind": "mask"}),
    ),
    "void": (
        ("{value} is unknown", {"ignore": "{value}"}),
        ("{value} is background", {"background": "{value}"}),
        ("{value} is a class", {"one_class": False}),
    ),
    "negative": (
        ("{value} is unknown", {"ignore": "{value}"}),
        ("{value} is background", {"background": "{value}"}),
    ),
}
"""Text of each button, and the statement about the layer that it makes."""


class LabelQuestionBox(QWidget):
    """Message and buttons; hidden without a question, and after a change of the annotations."""

    def __init__(self, annotation_list: AnnotationList) -> None:
        super().__init__()
        self._annotation_list = annotation_list
        self.message = MessageLabel()
        self.buttons: list[ElidedButton] = []
        self._layout = QVBoxLayout(self)
        pack(self._layout, self.message, spacing=3)
        annotation_list.changed.connect(self.hide)
        self.hide()

    def show_error(self, error: Exception) -> None:
        """Show an error if it is a question about a layer; otherwise hide."""
        while self.buttons:
            button = self.buttons.pop()
            self._layout.removeWidget(button)
            button.deleteLater()
        question = error if isinstance(error, LayerQuestion) else None
        self.message.show_message(str(question or ""), "warning")
        if question is not None:
            for text, statement in ANSWERS[question.topic]:
                button = ElidedButton()
                button.show_text(text.format(value=question.value))
                set_help(button, f"How the labels of '{question.layer.name}' are read.")
                button.clicked.connect(partial(self._answer, question, statement))
                self._layout.addWidget(button)
                self.buttons.append(button)
        self.setVisible(question is not None)

    def show_note(self, note: str) -> None:
        """Show a sentence about annotations that are not used; hide if it is empty."""
        self.show_error(InputError(""))
        self.message.show_message(note, "warning")
        self.setVisible(bool(note))

    def _answer(self, question: LayerQuestion, statement: dict[str, Any], *_: Any) -> None:
        stated: dict[str, Any] = {
            key: question.value if value == "{value}" else value for key, value in statement.items()
        }
        kind: AnnotationKind | None = stated.pop("kind", None)
        state_meaning(question.layer, **stated)
        if kind is not None:
            set_metadata(question.layer, **{KIND_STATED: True})
            self._annotation_list.set_kind(question.layer, kind)
        self._annotation_list.changed.emit()
