"""Button that exports the current result: labels, objects, probabilities, table of objects."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QMenu, QMessageBox, QPushButton

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.io.exports.export import FORMATS, ExportFormat, export_format
from napari_vrp_sam.io.exports.options import ExportOptions
from napari_vrp_sam.io.exports.pictures import export_files
from napari_vrp_sam.io.exports.tables import write_table
from napari_vrp_sam.io.labels.probabilities import write_probabilities
from napari_vrp_sam.plugin.layers.calibration import image_metadata, image_source
from napari_vrp_sam.plugin.layers.outputs.accepted import current_result_with_frames
from napari_vrp_sam.plugin.layers.outputs.exporting import layer_name, layer_stack
from napari_vrp_sam.plugin.layers.outputs.kept_probabilities import kept_probabilities
from napari_vrp_sam.plugin.layers.outputs.objects import current_objects, named_table
from napari_vrp_sam.plugin.widgets.background.file_writer import FileWriter
from napari_vrp_sam.plugin.widgets.controls import set_help
from napari_vrp_sam.wording import count

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels

    from napari_vrp_sam.plugin.inputs.image_box import ImageBox
    from napari_vrp_sam.plugin.segment.result.relabelling import Relabelling

Content = Literal["labels", "objects", "probabilities", "table"]

TITLES: dict[Content, str] = {
    "labels": "Labels…",
    "objects": "Objects…",
    "probabilities": "Probabilities…",
    "table": "Table of objects…",
}
OUTDATED = (
    "The result has changed since its objects were found: press Find objects, then export again."
)
LABEL_SUFFIXES = tuple(one.suffixes[0] for one in FORMATS if one.needs != "table")
SUFFIXES: dict[Content, tuple[str, ...]] = {
    "labels": LABEL_SUFFIXES,
    "objects": LABEL_SUFFIXES,
    "probabilities": (".tif", ".ome.tif", ".zarr"),
    "table": (".csv", ".parquet"),
}
"""Suffixes of the formats of each content; the first one is the default."""


class ExportButton(QPushButton):
    """Write files of the current result, which are those of the command line.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    image_box : ImageBox
    relabelling : Relabelling
    is_outdated : callable
        Returns True for objects that are out of date, which are not exported.

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
        self,
        viewer: napari.viewer.Viewer,
        image_box: ImageBox,
        relabelling: Relabelling,
        is_outdated: Callable[[Labels], bool] = lambda _layer: False,
    ) -> None:
        super().__init__("Export")
        self._viewer = viewer
        self._image_box = image_box
        self._relabelling = relabelling
        self._is_outdated = is_outdated
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
            "Write the result to a file: its labels with your corrections, or its objects, as an "
            "image, polygons, COCO, ImageJ ROIs, pictures or a video; the probabilities of the "
            "classes; or the table of the objects.",
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
        try:
            known = export_format(path)
        except InputError as error:
            self.warned.emit(str(error))
            return
        source = image_source(self._image_box.layer) if self._image_box.layer else None
        if source is not None and path.resolve() == source.resolve():
            self.warned.emit(f"{path.name} is the image itself: choose another name.")
            return
        if self._relabelling.busy:  # some frames have labels by the earlier threshold
            self._writer.announce(path)
            self._waiting.append((content, path))
            return
        try:
            write = self._write(content, path, known)
        except InputError as error:
            self.warned.emit(str(error))
            return
        self._writer.write(path, write)

    def release(self) -> None:
        """Finish the file that is being written, because the viewer is closing."""
        self._writer.release()

    def _export_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for content, path in waiting:
            self.export(content, path)

    def _is_available(self, content: Content) -> bool:
        image = self._image_box.layer
        if content in ("table", "objects"):
            return current_objects(self._viewer, image) is not None
        current = current_result_with_frames(self._viewer, image)
        return current is not None and (
            content == "labels" or kept_probabilities(current[0]) is not None
        )

    def _write(self, content: Content, path: Path, known: ExportFormat) -> Callable[[], None]:
        """Return a function that writes copies of the current data."""
        image = self._image_box.layer
        if content in ("table", "objects"):
            objects = current_objects(self._viewer, image)
            assert objects is not None
            if self._is_outdated(objects):
                raise InputError(OUTDATED)
            if content == "table":
                return partial(write_table, path, named_table(objects))
            stack = layer_stack(objects, image, pictures=known.needs == "image")
            return partial(known.write, path, stack, ExportOptions())
        current = current_result_with_frames(self._viewer, image)
        assert current is not None
        layer, frames = current
        if content == "labels":
            stack = layer_stack(layer, image, pictures=known.needs == "image")
            return partial(known.write, path, stack, ExportOptions())
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
        filters = {f"{_format_name(suffix)} (*{suffix})": suffix for suffix in SUFFIXES[content]}
        first = next(iter(filters.values()))
        name = f"{layer_name(image)}_{content}{first}"
        chosen, kind = QFileDialog.getSaveFileName(
            self, f"Export {content}", str(folder / name), ";;".join(filters)
        )
        if not chosen:
            return
        path = _with_suffix(Path(chosen), filters.get(kind, first), name)
        if self._may_write(path, Path(chosen)):
            self.export(content, path)

    def _may_write(self, path: Path, confirmed: Path) -> bool:
        """Ask about existing files that the file dialog has not asked about."""
        current = current_result_with_frames(self._viewer, self._image_box.layer)
        files = export_files(path, 1 if current is None else len(current[1]))
        existing = [file.name for file in files if file.exists() and file != confirmed]
        if not existing:
            return True
        more = f" and {count(len(existing) - 1, 'other file')}" if len(existing) > 1 else ""
        question = f"Replace {existing[0]}{more}?"
        answer = QMessageBox.question(self, "Export", question)
        return bool(answer == QMessageBox.StandardButton.Yes)


def _format_name(suffix: str) -> str:
    return next(one.name for one in FORMATS if suffix in one.suffixes)


def _with_suffix(path: Path, suffix: str, proposed: str) -> Path:
    """Return a path with the suffix of the chosen format, unless the user typed another one."""
    if path.suffix and path.name != proposed:
        return path
    return path.with_name(path.name.removesuffix(Path(proposed).suffix) + suffix)
