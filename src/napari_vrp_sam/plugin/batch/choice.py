"""Files to segment, and what happens to labels that exist already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qtpy.QtWidgets import QMessageBox, QWidget

from napari_vrp_sam.inference.runs.files.output_paths import plan_files
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
from napari_vrp_sam.io.images.frame_files import separate_images
from napari_vrp_sam.io.images.opening import image_suffixes
from napari_vrp_sam.wording import count

Answer = Literal["skip", "replace"]


@dataclass(frozen=True, eq=False)
class FileChoice:
    """Files to segment with a job.

    Attributes
    ----------
    job : SegmentationJob
        References and settings.
    images, labels : sequence of Path
    """

    job: SegmentationJob
    images: Sequence[Path]
    labels: Sequence[Path]

    @property
    def existing(self) -> list[Path]:
        """Labels that exist already."""
        return [path for path in self.labels if path.exists()]


def choose_files(
    job: SegmentationJob, images: Sequence[Path], inputs: Sequence[Path]
) -> FileChoice:
    """Plan where the labels of files are written; any thread may call it.

    Raises
    ------
    InputError
        If they would overwrite an input, such as the file of an open layer, or each other.
    """
    return FileChoice(job, images, plan_files(images, None, inputs, replace=True))


def images_of_folder(folder: Path) -> list[Path]:
    """Return the images of a folder, each of which is segmented on its own."""
    return separate_images(folder, image_suffixes())


def ask_about_existing(choice: FileChoice, parent: QWidget) -> Answer | None:
    """Ask whether files that have labels are skipped or replaced; None to cancel."""
    existing = choice.existing
    if not existing:
        return "replace"
    text = f"{count(len(existing), 'file')} of {len(choice.images)} already have labels, such as "
    box = QMessageBox(
        QMessageBox.Icon.Question, "Segment files", f"{text}{existing[0].name}.", parent=parent
    )
    skip = box.addButton("Skip them", QMessageBox.ButtonRole.AcceptRole)
    replace = box.addButton("Replace labels", QMessageBox.ButtonRole.DestructiveRole)
    box.addButton(QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(skip)
    box.exec()
    clicked = box.clickedButton()
    return "skip" if clicked is skip else "replace" if clicked is replace else None
