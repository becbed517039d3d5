"""Button that applies the annotations of the chosen image to another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.segmenter_file import write_segmenter
from napari_vrp_sam.plugin.layers.belonging import user_images
from napari_vrp_sam.plugin.layers.metadata import unwrap
from napari_vrp_sam.plugin.widgets.controls import set_help
from napari_vrp_sam.plugin.widgets.file_writer import FileWriter

if TYPE_CHECKING:
    import napari

    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
    from napari_vrp_sam.plugin.inputs.image_box import ImageBox

SUFFIX = ".segmenter"


class ApplyButton(QPushButton):
    """Make the job that segments another open image by the same annotations.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    image_box : ImageBox
        Box of the annotated image.
    make_job : callable
        Returns, for an image, a function that makes the job in any thread; either may raise an
        `InputError`.

    Signals
    -------
    made : (image, job)
    reported, warned : (message,)
    """

    made = Signal(object, object)
    reported = Signal(str)
    warned = Signal(str)
    _finished = Signal(object, object)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        image_box: ImageBox,
        make_job: Callable[[Image], Callable[[], SegmentationJob]],
    ) -> None:
        super().__init__("Apply to another image")
        self._viewer = viewer
        self._image_box = image_box
        self._make_job = make_job
        self._queue: list[Image] = []
        # Reading annotations and intensities of large frames takes seconds.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vrp-sam-apply")
        self._menu = QMenu(self)
        self._menu.aboutToShow.connect(self._fill_menu)
        self.setMenu(self._menu)
        set_help(
            self,
            "Segment another open image, or image files, with the annotations of this one. They "
            "need the same channels and a similar contrast, because the contrast limits of this "
            "image are used. <b>Save as segmenter</b> writes the annotations to a file for Python "
            "and the command line.",
        )
        self._finished.connect(self._hand_over)
        self._writer = FileWriter(self)
        self._writer.reported.connect(self.reported)
        self._writer.warned.connect(self.warned)

    def apply(self, target: Image) -> None:
        """Make the job for an image; emits `made` or `warned`."""
        try:
            make = self._make_job(target)
        except InputError as error:
            self.warned.emit(str(error))
            return
        self.setEnabled(False)
        self.reported.emit(f"Reading the annotations for '{target.name}'…")
        self._thread.submit(make).add_done_callback(partial(self._finished.emit, target))

    def apply_to_files(self, paths: Sequence[Path]) -> None:
        """Open image files and apply the annotations to one after the other."""
        annotated = self._image_box.layer
        if annotated is None:
            return
        try:
            opened = self._viewer.open([str(path) for path in paths], stack=False)
        except Exception as error:  # of any reader
            self.warned.emit(
                f"The files cannot be opened: choose files that napari can open.\n{error}"
            )
            return
        # napari has selected what it has opened, and the choice has followed.
        self._viewer.layers.selection.active = annotated
        self._image_box.choose(annotated)
        self._queue = [unwrap(layer) for layer in opened if isinstance(layer, Image)]
        self.apply_next()

    def apply_next(self) -> bool:
        """Apply the annotations to the next of several files; return False if there is none."""
        while self._queue:
            target = self._queue.pop(0)
            if target in self._viewer.layers:
                self.apply(target)
                return True
        return False

    def forget_files(self) -> None:
        """Do not continue with the next file."""
        self._queue = []

    def save(self, path: Path) -> None:
        """Write the annotations as a segmenter, for Python and the command line."""
        image = self._image_box.layer
        if image is None:
            return
        try:
            make = self._make_job(image)
        except InputError as error:
            self.warned.emit(str(error))
            return

        def write() -> None:
            job = make()
            write_segmenter(path, job, axes=job.axes, expected_iou={})

        self._writer.write(path, write)

    def lock(self, *, locked: bool) -> None:
        """Disable the button during a run."""
        self.setDisabled(locked)

    def release(self) -> None:
        """End the thread, because the viewer is closing."""
        self._finished.disconnect(self._hand_over)
        self._writer.release(cancel=True)
        self._thread.shutdown(cancel_futures=True)

    def targets(self) -> list[Image]:
        """Return the other images."""
        chosen = self._image_box.layer
        return [image for image in user_images(self._viewer) if image is not chosen]

    def _fill_menu(self) -> None:
        self._menu.clear()
        for image in self.targets():
            self._menu.addAction(image.name.replace("&", "&&"), partial(self.apply, image))
        if not self._menu.isEmpty():
            self._menu.addSeparator()
        annotated = self._image_box.layer is not None
        self._menu.addAction("Image files…", self._open_files).setEnabled(annotated)
        self._menu.addAction("Save as segmenter…", self._open_save_dialog).setEnabled(annotated)

    def _open_files(self, _checked: Any = None) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Apply to image files")
        if paths:
            self.apply_to_files([Path(path) for path in paths])

    def _open_save_dialog(self, _checked: Any = None) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save as segmenter", f"annotations{SUFFIX}", f"Segmenters (*{SUFFIX})"
        )
        if path:
            self.save(Path(path) if Path(path).suffix else Path(path).with_suffix(SUFFIX))

    def _hand_over(self, target: Image, making: Future[SegmentationJob]) -> None:
        self.setEnabled(True)
        try:
            job = making.result()
        except InputError as error:
            self.forget_files()
            self.warned.emit(str(error))
            return
        if target in self._viewer.layers:
            self.made.emit(target, job)
