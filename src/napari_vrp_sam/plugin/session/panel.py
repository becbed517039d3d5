"""The buttons that save and open a session."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QMessageBox, QPushButton, QWidget

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.sessions.image import MissingImageError
from napari_vrp_sam.io.sessions.session import SUFFIX, session_folder
from napari_vrp_sam.plugin.layers.metadata import note, noted
from napari_vrp_sam.plugin.session.opening import SESSION, session_layers, settle_in
from napari_vrp_sam.plugin.session.saving import SOURCE, SessionWriting, gather
from napari_vrp_sam.plugin.widgets.controls import set_help

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_vrp_sam.io.sessions.session import Session
    from napari_vrp_sam.plugin.inputs.segment_form import SegmentForm


class SessionPanel(QWidget):
    """Saves what the window holds as one folder, and opens such folders.

    Signals
    -------
    reported : (sentence, severity)
        What was saved or opened, or why not.
    added : (text, layers)
        What was done, and the layers that came by it.
    opened : ()
        A session is in the window, by whatever way.
    """

    reported = Signal(str, str)
    opened = Signal()
    added = Signal(str, list)

    def __init__(
        self, viewer: napari.viewer.Viewer, form: SegmentForm, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._form = form
        self._writing: SessionWriting | None = None
        self._image: Image | None = None
        self.save_button = QPushButton("Save session…")
        self.open_button = QPushButton("Open session…")
        set_help(
            self.save_button,
            "Save annotations, classes, choices, accepted frames and result as one folder, to go "
            "on later, or to run it on the command line: vrp-sam segment --session FOLDER.",
        )
        set_help(
            self.open_button,
            "Add what a session holds to the window. Dropping its folder on the window does so "
            "as well.",
        )
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.save_button, 1)
        layout.addWidget(self.open_button, 1)
        self.save_button.clicked.connect(self._ask_where_to_save)
        self.open_button.clicked.connect(self._ask_what_to_open)
        form.image_box.chosen.connect(self._follow_image)
        viewer.layers.events.inserted.connect(self.refresh)
        self._follow_image()
        self.refresh()

    @property
    def saving(self) -> bool:
        """Whether a session is being written."""
        return self._writing is not None

    def save(self, folder: Path) -> None:
        """Write a session; `reported` follows. A mistake of the user ends in one sentence."""
        if self.saving:
            return
        try:
            session, data = gather(self._form, self._viewer)
        except InputError as mistake:
            self.reported.emit(str(mistake), "warning")
            return
        self._image = self._form.image
        self._writing = SessionWriting(folder.absolute(), session, data, self)
        self._writing.ended.connect(self._saved)
        self._follow_image()
        self.reported.emit(f"Saving as {folder.name}…", "info")

    def open(self, folder: Path, given: Path | None = None) -> None:
        """Add the layers of a session, and take over its choices.

        Parameters
        ----------
        folder : Path
        given : Path, optional
            Where the image is now, if it has moved.
        """
        try:
            layers = session_layers(folder, given)
        except MissingImageError as mistake:
            self.reported.emit(str(mistake), "warning")
            path, _ = QFileDialog.getOpenFileName(
                self, "Where is the image now?", str(folder.parent)
            )
            if path:
                self.open(folder, Path(path))
            return
        except InputError as mistake:
            self.reported.emit(str(mistake), "warning")
            return
        opened = [Layer.create(data, options, kind) for data, options, kind in layers]
        # Said first: what its choices cannot bring back is told when its image arrives.
        self.reported.emit(f"Opened {folder.name}.", "info")
        for layer in opened:
            self._viewer.add_layer(layer)
        self.added.emit("open the session", opened)

    def refresh(self, _event: Any = None) -> None:
        """Take over the choices of a session that was opened, here or by dropping its folder."""
        if settle_in(self._viewer, self._form):
            self.opened.emit()

    def leave(self) -> None:
        """The dock closes: what is being written goes on, unwatched."""
        if self._writing is not None:
            self._writing.leave()
            self._writing = None
            self._follow_image()

    def release(self) -> None:
        """Let go of the viewer, which is closing."""
        self._viewer.layers.events.inserted.disconnect(self.refresh)

    def _saved(self, session: Session | None, message: str) -> None:
        folder = self._writing.folder if self._writing else None
        self._writing = None
        self._follow_image()
        if session is not None and self._image is not None and folder is not None:
            note(self._image, **{SESSION: str(folder)})
        self._image = None
        self.reported.emit(message, "info" if session is not None else "warning")

    def _follow_image(self) -> None:
        self.save_button.setEnabled(not self.saving and self._form.image_box.layer is not None)
        self.open_button.setEnabled(not self.saving)

    def _ask_where_to_save(self, _checked: Any = None) -> None:
        image = self._form.image_box.layer
        if image is None:
            return
        before = noted(image, SESSION)
        if before and Path(before).exists() and self._replaces(Path(before)):
            self.save(Path(before))
            return
        suggested = Path(before or noted(image, SOURCE) or image.source.path or image.name)
        # Folders cannot be confirmed as files are: that is asked below.
        path, _ = QFileDialog.getSaveFileName(
            self,
            "Save session",
            str(suggested.with_name(suggested.name.split(".")[0] + SUFFIX)),
            f"Sessions (*{SUFFIX})",
            options=QFileDialog.Option.DontConfirmOverwrite,
        )
        if not path:
            return
        # Choosing an existing session in the dialog only leads into it.
        folder = Path(path).parent if Path(path).parent.suffix == SUFFIX else session_folder(path)
        if not folder.exists() or self._replaces(folder):
            self.save(folder)

    def _replaces(self, folder: Path) -> bool:
        answer = QMessageBox.question(
            self,
            "Save session",
            f"Replace {folder.name}? Choose No to save elsewhere.",
        )
        return answer == QMessageBox.StandardButton.Yes

    def _ask_what_to_open(self, _checked: Any = None) -> None:
        folder = QFileDialog.getExistingDirectory(self, f"Open session (a folder *{SUFFIX})")
        if folder:
            self.open(Path(folder))
