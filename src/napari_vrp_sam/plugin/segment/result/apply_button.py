"""Button that applies the annotations of the chosen image to other images and to files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.segmenter_file import write_segmenter
from napari_vrp_sam.plugin.batch.choice import FileChoice, choose_files, images_of_folder
from napari_vrp_sam.plugin.layers.belonging import user_images
from napari_vrp_sam.plugin.segmenters.applying import apply_segmenter
from napari_vrp_sam.plugin.segmenters.dialog import SUFFIX, SegmentersDialog
from napari_vrp_sam.plugin.segmenters.recent import remember_segmenter
from napari_vrp_sam.plugin.widgets.background.file_writer import FileWriter
from napari_vrp_sam.plugin.widgets.controls import set_help
from napari_vrp_sam.wording import count

if TYPE_CHECKING:
    import napari

    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
    from napari_vrp_sam.plugin.inputs.image_box import ImageBox

ClassDescriptions = Callable[[Iterable[int]], list[dict[str, Any]]]


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
    chosen_axes : callable
        Returns the axes of the chosen image.
    device : callable
        Returns the name of the chosen device.
    describe_classes : callable
        Returns the names of classes, as they are stored in a layer.

    Signals
    -------
    made : (image, job)
    files_made : (choice,)
        A `FileChoice`.
    reported, warned : (message,)
    """

    made = Signal(object, object)
    files_made = Signal(object)
    reported = Signal(str)
    warned = Signal(str)
    _finished = Signal(object, object)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        image_box: ImageBox,
        make_job: Callable[[Image], Callable[[], SegmentationJob]],
        chosen_axes: Callable[[], str | None],
        device: Callable[[], str],
        describe_classes: ClassDescriptions,
    ) -> None:
        super().__init__("Apply to other images")
        self._viewer = viewer
        self._image_box = image_box
        self._make_job = make_job
        self._chosen_axes, self._device = chosen_axes, device
        self._describe_classes = describe_classes
        self.dialog: SegmentersDialog | None = None
        self._queue: list[Image] = []
        # Reading annotations and intensities of large frames takes seconds.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vrp-sam-apply")
        self._menu = QMenu(self)
        self._menu.aboutToShow.connect(self._fill_menu)
        self.setMenu(self._menu)
        set_help(
            self,
            "Segment other open images, or image files, with the annotations of this one. They "
            "need the same channels and a similar contrast, because the contrast limits of this "
            "image are used. Labels of files are written beside them. <b>Save segmenter</b> "
            "writes the annotations to a file for later, for Python and the command line; "
            "<b>Saved segmenters</b> lists these files and applies them.",
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
            self.apply_next()  # one bad image does not stop the others
            return
        self.setEnabled(False)
        self.reported.emit(f"Reading the annotations for '{target.name}'…")
        self._thread.submit(make).add_done_callback(partial(self._finished.emit, target))

    def apply_to_images(self, targets: Sequence[Image]) -> None:
        """Apply the annotations to open images, one after the other."""
        self._queue = list(targets)
        self.apply_next()

    def apply_to_files(self, paths: Sequence[Path]) -> None:
        """Make the job for image files; emits `files_made` or `warned`."""
        image = self._image_box.layer
        if image is None:
            return
        if not paths:
            self.warned.emit("There is no image in this folder: choose another one.")
            return
        try:
            make = self._make_job(image)
        except InputError as error:
            self.warned.emit(str(error))
            return
        sources = [Path(layer.source.path) for layer in self._viewer.layers if layer.source.path]

        def choose() -> FileChoice:
            # The worker process reads the files itself.
            job = replace(make(), data=None, levels=False)
            return choose_files(job, paths, [path for path in sources if path not in paths])

        self.setEnabled(False)
        self.reported.emit(f"Reading the annotations for {count(len(paths), 'file')}…")
        self._thread.submit(choose).add_done_callback(partial(self._finished.emit, None))

    def apply_next(self) -> bool:
        """Apply the annotations to the next of several images; return False if there is none."""
        while self._queue:
            target = self._queue.pop(0)
            if target in self._viewer.layers:
                self.apply(target)
                return True
        return False

    def forget_images(self) -> None:
        """Do not continue with the next image."""
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
            names = self._class_names({reference.class_id for reference in job.references})
            write_segmenter(path, job, axes=job.axes, expected_iou={}, class_names=names)
            remember_segmenter(path)

        self._writer.write(path, write)

    def apply_saved(self, path: Path) -> None:
        """Segment the chosen image with a saved segmenter; emits `made` or `warned`."""
        target = self._image_box.layer
        if target is None:
            self.warned.emit("There is no image: open the one to segment.")
            return
        try:
            make = apply_segmenter(path, target, self._chosen_axes(), self._device())
        except InputError as error:
            self.warned.emit(str(error))
            return
        self.setEnabled(False)
        self.reported.emit(f"Reading {path.name}…")
        self._thread.submit(make).add_done_callback(partial(self._finished.emit, target))

    def open_saved(self) -> SegmentersDialog:
        """Show the list of saved segmenters."""
        if self.dialog is None:
            self.dialog = SegmentersDialog(self.window())
            self.dialog.chosen.connect(self.apply_saved)
        self.dialog.refresh()
        self.dialog.show()
        self.dialog.raise_()
        return self.dialog

    def lock(self, *, locked: bool) -> None:
        """Disable the button during a run."""
        self.setDisabled(locked)

    def release(self) -> None:
        """End the thread, because the viewer is closing."""
        self._finished.disconnect(self._hand_over)
        if self.dialog is not None:
            self.dialog.close()
            self.dialog.deleteLater()
            self.dialog = None
        self._writer.release(cancel=True)
        self._thread.shutdown(cancel_futures=True)

    def targets(self) -> list[Image]:
        """Return the other images."""
        chosen = self._image_box.layer
        return [image for image in user_images(self._viewer) if image is not chosen]

    def _fill_menu(self) -> None:
        self._menu.clear()
        targets = self.targets()
        for image in targets:
            self._menu.addAction(image.name.replace("&", "&&"), partial(self.apply, image))
        if len(targets) > 1:
            self._menu.addAction("All open images", partial(self.apply_to_images, targets))
        if targets:
            self._menu.addSeparator()
        annotated = self._image_box.layer is not None
        for text, slot in (
            ("Image files…", self._open_files),
            ("All images of a folder…", self._open_folder),
            ("Save segmenter…", self._open_save_dialog),
        ):
            self._menu.addAction(text, slot).setEnabled(annotated)
        self._menu.addAction("Saved segmenters…", self.open_saved)

    def _class_names(self, class_ids: Iterable[int]) -> Mapping[int, str]:
        return {one["number"]: one["name"] for one in self._describe_classes(sorted(class_ids))}

    def _open_files(self, _checked: Any = None) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Apply to image files")
        if paths:
            self.apply_to_files([Path(path) for path in paths])

    def _open_folder(self, _checked: Any = None) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Apply to all images of a folder")
        if folder:
            self.apply_to_files(images_of_folder(Path(folder)))

    def _open_save_dialog(self, _checked: Any = None) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save segmenter", f"annotations{SUFFIX}", f"Segmenters (*{SUFFIX})"
        )
        if path:
            self.save(Path(path) if Path(path).suffix else Path(path).with_suffix(SUFFIX))

    def _hand_over(self, target: Image | None, making: Future[Any]) -> None:
        self.setEnabled(True)
        try:
            made = making.result()
        except InputError as error:
            self.forget_images()
            self.warned.emit(str(error))
            return
        if target is None:
            self.files_made.emit(made)
        elif target in self._viewer.layers:
            self.made.emit(target, made)
