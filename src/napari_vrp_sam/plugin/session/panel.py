"""Buttons that save and open sessions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from napari.layers import Image, Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QMessageBox, QPushButton, QWidget

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.sessions.image import MissingImageError
from napari_vrp_sam.io.sessions.session import SUFFIX, Session, session_folder
from napari_vrp_sam.plugin.layers.calibration import SOURCE
from napari_vrp_sam.plugin.layers.metadata import get_metadata, set_metadata
from napari_vrp_sam.plugin.session.opening import SESSION, apply_opened_sessions, session_layers
from napari_vrp_sam.plugin.session.saving import SessionWriter, collect_session
from napari_vrp_sam.plugin.widgets.controls import pack, set_help
from napari_vrp_sam.plugin.widgets.help_button import HelpButton

if TYPE_CHECKING:
    from napari_vrp_sam.inference.objects.result_settings import ResultSettings
    from napari_vrp_sam.plugin.inputs.segment_form import SegmentForm
    from napari_vrp_sam.plugin.objects.form import ObjectsForm


class SessionPanel(QWidget):
    """Save the state of the window as a session folder, and open session folders.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    form : SegmentForm
    objects : ObjectsForm
    clean_up : callable
        Returns the thresholds and the clean-up of the next run.
    parent : QWidget, optional

    Signals
    -------
    reported : (message, severity)
    added : (action, layers)
        Text for the undo history, and the new layers.
    opened : ()
        A session was opened, with the button or by napari.
    """

    reported = Signal(str, str)
    opened = Signal()
    added = Signal(str, list)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        form: SegmentForm,
        objects: ObjectsForm,
        clean_up: Callable[[], ResultSettings],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._form = form
        self._objects = objects
        self._clean_up = clean_up
        self._writer: SessionWriter | None = None
        self._image: Image | None = None
        self.save_button = QPushButton("Save…")
        self.open_button = QPushButton("Open…")
        self.save_button.setAccessibleName("Save session")
        self.open_button.setAccessibleName("Open session")
        set_help(
            self.save_button,
            "Save annotations, classes, settings, accepted frames and result as one folder, to "
            "continue later, or to run it on the command line: vrp-sam segment --session FOLDER.",
        )
        set_help(
            self.open_button,
            "Add the layers of a session to the window. You can also drop its folder on the "
            "window.",
        )
        self.help_button = HelpButton("getting-started/sessions.md", "Sessions")
        row = QHBoxLayout(self)
        pack(row, QLabel("Session"), spacing=5)
        row.addWidget(self.save_button, 1)
        row.addWidget(self.open_button, 1)
        row.addWidget(self.help_button)
        self.save_button.clicked.connect(self._open_save_dialog)
        self.open_button.clicked.connect(self._open_open_dialog)
        form.image_box.chosen.connect(self._update_buttons)
        viewer.layers.events.inserted.connect(self.refresh)
        self._update_buttons()

    @property
    def saving(self) -> bool:
        """True while a session is being written."""
        return self._writer is not None

    def save(self, folder: Path) -> None:
        """Start writing a session; `reported` is emitted at the end."""
        if self.saving:
            return
        try:
            session, data = collect_session(
                self._form, self._viewer, self._clean_up(), self._objects.options()
            )
        except InputError as error:
            self.reported.emit(str(error), "warning")
            return
        self._image = self._form.image
        self._writer = SessionWriter(folder.absolute(), session, data, self)
        self._writer.ended.connect(self._end_saving)
        self._update_buttons()
        self.reported.emit(f"Saving as {folder.name}…", "info")

    def open(self, folder: Path, image_path: Path | None = None) -> None:
        """Add the layers of a session and apply its settings.

        If the image was moved and `image_path` is not given, the user is asked for it.
        """
        try:
            layers = session_layers(folder, image_path)
        except InputError as error:
            self.reported.emit(str(error), "warning")
            if isinstance(error, MissingImageError):
                path, _ = QFileDialog.getOpenFileName(
                    self, "Location of the image", str(folder.parent)
                )
                if path:
                    self.open(folder, Path(path))
            return
        opened = [Layer.create(data, options, kind) for data, options, kind in layers]
        # Reported before layers are added, which may emit warnings about settings.
        self.reported.emit(f"Opened {folder.name}.", "info")
        for layer in opened:
            self._viewer.add_layer(layer)
        self.added.emit("open the session", opened)

    def refresh(self, _event: Any = None) -> None:
        """Apply the settings of the sessions that were opened, here or by napari."""

        def warn(message: str) -> None:
            self.reported.emit(message, "warning")

        if apply_opened_sessions(self._viewer, self._form, self._objects, warn):
            self.opened.emit()

    def detach(self) -> None:
        """Stop watching a session that is being written; writing continues."""
        if self._writer is not None:
            self._writer.detach()
            self._writer = None
            self._update_buttons()

    def release(self) -> None:
        """Disconnect from the viewer, which is closing."""
        self._viewer.layers.events.inserted.disconnect(self.refresh)

    def _end_saving(self, session: Session | None, message: str) -> None:
        folder = self._writer.folder if self._writer else None
        self._writer = None
        self._update_buttons()
        if session is not None and self._image is not None and folder is not None:
            set_metadata(self._image, **{SESSION: str(folder)})
        self._image = None
        self.reported.emit(message, "info" if session is not None else "warning")

    def _update_buttons(self) -> None:
        self.save_button.setEnabled(not self.saving and self._form.image_box.layer is not None)
        self.open_button.setEnabled(not self.saving)

    def _open_save_dialog(self, _checked: Any = None) -> None:
        image = self._form.image_box.layer
        if image is None:
            return
        previous = get_metadata(image, SESSION)
        if previous and Path(previous).exists() and self._confirm_replace(Path(previous)):
            self.save(Path(previous))
            return
        default = Path(previous or get_metadata(image, SOURCE) or image.source.path or image.name)
        # Qt cannot confirm replacing a folder.
        path, _ = QFileDialog.getSaveFileName(
            self,
            "Save session",
            str(default.with_name(default.name.split(".")[0] + SUFFIX)),
            f"Sessions (*{SUFFIX})",
            options=QFileDialog.Option.DontConfirmOverwrite,
        )
        if not path:
            return
        # Selecting an existing session in the dialog enters its folder.
        folder = Path(path).parent if Path(path).parent.suffix == SUFFIX else session_folder(path)
        if not folder.exists() or self._confirm_replace(folder):
            self.save(folder)

    def _confirm_replace(self, folder: Path) -> bool:
        question = f"Replace {folder.name}? Choose No to save elsewhere."
        answer = QMessageBox.question(self, "Save session", question)
        return answer == QMessageBox.StandardButton.Yes

    def _open_open_dialog(self, _checked: Any = None) -> None:
        folder = QFileDialog.getExistingDirectory(self, f"Open session (a folder *{SUFFIX})")
        if folder:
            self.open(Path(folder))
