"""Button that exports the current result: labels, probabilities, and the table of objects."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton

from napari_vrp_sam.io.exports.tables import write_table
from napari_vrp_sam.io.labels.probabilities import write_probabilities
from napari_vrp_sam.io.labels.writers import write_label_frames
from napari_vrp_sam.plugin.layers.accepted import current_result_with_frames, result_labels
from napari_vrp_sam.plugin.layers.calibration import image_metadata, image_source
from napari_vrp_sam.plugin.layers.kept_probabilities import kept_probabilities
from napari_vrp_sam.plugin.layers.objects import current_objects, table_from_features
from napari_vrp_sam.plugin.widgets.controls import set_help
from napari_vrp_sam.plugin.widgets.file_writer import FileWriter

if TYPE_CHECKING:
    import napari

    from napari_vrp_sam.plugin.inputs.image_box import ImageBox
    from napari_vrp_sam.plugin.segment.result.relabelling import Relabelling

Content = Literal["labels", "probabilities", "table"]

TITLES: dict[Content, str] = {
    "labels": "Labels…",
    "probabilities": "Probabilities…",
    "table": "Table of objects…",
}
FILTERS: dict[Content, str] = {
    "labels": "TIFF (*.tif);;OME-Zarr (*.zarr);;All files (*)",
    "probabilities": "TIFF (*.tif)",
    "table": "Tables (*.csv)",
}
SUFFIXES: dict[Content, str] = {"labels": ".tif", "probabilities": ".tif", "table": ".csv"}


class ExportButton(QPushButton):
    """Write files of the current result, which are those of the command line.

    Signals
    -------
    reported : (message,)
        Progress or outcome.
    warned : (message,)
        An error that the user can fix.
    """

    reported = Signal(str)
    warned = Signal(str)

    def __init__(
        self, viewer: napari.viewer.Viewer, image_box: ImageBox, relabelling: Relabelling
    ) -> None:
        super().__init__("Export")
        self._viewer = viewer
        self._image_box = image_box
        self._relabelling = relabelling
        self._waiting: list[tuple[Content, Path]] = []
        relabelling.finished.connect(self._export_waiting)
        self._writer = FileWriter(self)
        self._writer.reported.connect(self.reported)
        self._writer.warned.connect(self.warned)
        menu = QMenu(self)
        self.actions_by_content = {
            content: menu.addAction(title, partial(self._open_dialog, content))
            for content, title in TITLES.items()
        }
        menu.aboutToShow.connect(self.refresh)
        self.setMenu(menu)
        set_help(
            self,
            "Write the result to a file: its labels with your corrections, the probabilities of "
            "the classes, or the table of the objects.",
        )

    def refresh(self) -> None:
        """Enable what can be exported."""
        for content, action in self.actions_by_content.items():
            action.setEnabled(self._is_available(content))

    def export(self, content: Content, path: Path) -> None:
        """Write a file in the background; the suffix selects the format.

        Emits `reported` when it is complete, or `warned` if it cannot be written.
        """
        if not self._is_available(content):
            return
        source = image_source(self._image_box.layer) if self._image_box.layer else None
        if source is not None and path.resolve() == source.resolve():
            self.warned.emit(f"{path.name} is the image itself: choose another name.")
            return
        if self._relabelling.busy:  # some frames have labels by the earlier threshold
            self._writer.announce(path)
            self._waiting.append((content, path))
            return
        self._writer.write(path, self._write(content, path))

    def release(self) -> None:
        """Finish the file that is being written, because the viewer is closing."""
        self._writer.release()

    def _export_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for content, path in waiting:
            self.export(content, path)

    def _is_available(self, content: Content) -> bool:
        image = self._image_box.layer
        if content == "table":
            return current_objects(self._viewer, image) is not None
        current = current_result_with_frames(self._viewer, image)
        return current is not None and (
            content == "labels" or kept_probabilities(current[0]) is not None
        )

    def _write(self, content: Content, path: Path) -> Callable[[], None]:
        """Return a function that writes copies of the current data."""
        image = self._image_box.layer
        if content == "table":
            objects = current_objects(self._viewer, image)
            assert objects is not None
            return partial(write_table, path, table_from_features(objects))
        current = current_result_with_frames(self._viewer, image)
        assert current is not None
        layer, frames = current
        if content == "labels":
            labels = result_labels(layer, frames)
            if labels.dtype.kind != "u":  # the user converted the layer
                labels = labels.astype(np.min_scalar_type(labels.max()))
            pages = labels.reshape(-1, *labels.shape[-2:])
            axes = frames.label_axes
            return partial(
                write_label_frames,
                path,
                pages,
                labels.shape,
                labels.dtype,
                axes,
                metadata=image_metadata(image, frames.axes),
            )
        kept = kept_probabilities(layer)
        assert kept is not None
        found = ((index, one.levels()) for index, one in sorted(kept.frames.items()))
        return partial(
            write_probabilities,
            path,
            found,
            (*frames.lead_shape, len(kept.class_ids), *frames.frame_shape),
            frames.label_axes[:-2] + "CYX",
            kept.class_ids,
            image_metadata(image, frames.axes),
        )

    def _open_dialog(self, content: Content, _checked: Any = None) -> None:
        image = self._image_box.layer
        if image is None:
            return
        source = image_source(image)
        folder = source.parent if source is not None else Path()
        name = f"{(source or Path(image.name)).name.split('.')[0]}_{content}{SUFFIXES[content]}"
        chosen, _ = QFileDialog.getSaveFileName(
            self, f"Export {content}", str(folder / name), FILTERS[content]
        )
        if chosen:
            path = Path(chosen)
            self.export(content, path if path.suffix else path.with_suffix(SUFFIXES[content]))
