"""Button that applies the annotations of the chosen image to another one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QMenu, QPushButton

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.layers.belonging import user_images
from napari_vrp_sam.plugin.widgets.controls import set_help

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
    from napari_vrp_sam.plugin.inputs.image_box import ImageBox


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
        super().__init__("Apply to another image…")
        self._viewer = viewer
        self._image_box = image_box
        self._make_job = make_job
        # Reading annotations and intensities of large frames takes seconds.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vrp-sam-apply")
        self._menu = QMenu(self)
        self._menu.aboutToShow.connect(self._fill_menu)
        self.setMenu(self._menu)
        set_help(
            self,
            "Segment another open image by the annotations of this one. The image needs the same "
            "channels and a similar contrast; its contrast limits are those of this image.",
        )
        self._finished.connect(self._hand_over)

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

    def lock(self, *, locked: bool) -> None:
        """Disable the button during a run."""
        self.setDisabled(locked)

    def release(self) -> None:
        """End the thread, because the viewer is closing."""
        self._finished.disconnect(self._hand_over)
        self._thread.shutdown(cancel_futures=True)

    def targets(self) -> list[Image]:
        """Return the other images."""
        chosen = self._image_box.layer
        return [image for image in user_images(self._viewer) if image is not chosen]

    def _fill_menu(self) -> None:
        self._menu.clear()
        for image in self.targets():
            self._menu.addAction(image.name.replace("&", "&&"), partial(self.apply, image))
        if self._menu.isEmpty():
            self._menu.addAction("Open another image first").setEnabled(False)

    def _hand_over(self, target: Image, making: Future[SegmentationJob]) -> None:
        self.setEnabled(True)
        try:
            job = making.result()
        except InputError as error:
            self.warned.emit(str(error))
            return
        if target in self._viewer.layers:
            self.made.emit(target, job)
