"""Output of the objects that a command finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_vrp_sam.cli.app import progress_bar, stderr_console
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.objects.settings import ObjectSettings, check_settings
from napari_vrp_sam.wording import count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.io.metadata import ImageMetadata


@dataclass(frozen=True)
class ObjectOutput:
    """Settings and output files of a search for objects.

    Attributes
    ----------
    labels : Path
        Output of the object ids: TIFF, PNG, OME-Zarr, or a folder.
    table : Path, optional
        CSV or Parquet file of the objects.
    settings : ObjectSettings
    class_names : mapping of int to str
        Names of classes, for the table.
    """

    labels: Path
    table: Path | None = None
    settings: ObjectSettings = ObjectSettings()
    class_names: Mapping[int, str] = field(default_factory=dict)

    @property
    def files(self) -> list[Path]:
        """The outputs."""
        return [self.labels] if self.table is None else [self.labels, self.table]

    def check(self, label_axes: str) -> None:
        """Check the settings before the work starts.

        Raises
        ------
        InputError
            If a setting is out of range, labels with these axes cannot be linked this way, or the
            table is neither CSV nor Parquet.
        """
        from napari_vrp_sam.io.exports.tables import check_table_path

        if self.settings.divisions and not self.settings.linked:
            raise InputError(
                "--divisions needs --link: add it, because only linked objects can divide."
            )
        check_settings(self.settings, label_axes)
        if self.table is not None:
            check_table_path(self.table)

    def write(
        self,
        labels: Any,
        image: Any,
        frames: Frames,
        *,
        names: Sequence[str] = (),
        confidence: Mapping[int, float] | None = None,
        metadata: ImageMetadata | None = None,
    ) -> None:
        """Find the objects of class labels and write them; see `find_objects`.

        Parameters
        ----------
        labels : array of integers, shape of the leading axes + (Y, X)
        image : array or None
        frames : Frames
            Frames of the image, or of the labels without an image.
        names : sequence of str
            Names of the frames in an output folder, without suffix; default: numbers.
        confidence : mapping of int to float, optional
            Confidence of frames, by index.
        metadata : ImageMetadata, optional
            Calibration and place of the image.
        """
        from napari_vrp_sam.inference.objects.find import find_objects
        from napari_vrp_sam.io.exports.tables import with_class_names, write_table

        with progress_bar() as bar:
            task = bar.add_task("Finding objects", total=None)
            objects = find_objects(
                labels,
                image,
                axes=frames.axes,
                channels=frames.channels,
                settings=self.settings,
                confidence=confidence,
                metadata=metadata,
                report=lambda done, total, message: bar.update(
                    task, description=message, completed=done, total=total
                ),
            )
        _write_ids(self.labels, objects.labels, frames.label_axes, names, metadata)
        stderr_console.print(
            f"Found {count(len(objects.table), 'object')}, with ids in {self.labels}.",
            soft_wrap=True,
        )
        if self.table is not None:
            write_table(self.table, with_class_names(objects.table, self.class_names))
            stderr_console.print(f"Their table is in {self.table}.", soft_wrap=True)


def object_id_files(
    output: Path, frames: Frames, names: Sequence[str], metadata: ImageMetadata | None = None
) -> list[Path]:
    """Return the files that an output folder may get; their suffix depends on the largest id."""
    import numpy as np

    from napari_vrp_sam.inference.runs.files.output import RunOutput
    from napari_vrp_sam.io.labels.folder import folder_files

    if not RunOutput(output).in_folder:
        return []
    dtypes = np.dtype(np.uint8), np.dtype(np.uint32)
    return [
        file
        for dtype in dtypes
        for file in folder_files(output, frames.label_shape, dtype, names, metadata)
    ]


def _write_ids(
    path: Path,
    ids: NDArray[Any],
    axes: str,
    names: Sequence[str],
    metadata: ImageMetadata | None,
) -> None:
    from napari_vrp_sam.io.labels.files import write_labels
    from napari_vrp_sam.io.labels.writers import is_incremental, write_label_frames

    if not is_incremental(path):
        write_labels(path, ids, axes, metadata)
        return
    pages = ids.reshape(-1, *ids.shape[-2:])
    write_label_frames(path, pages, ids.shape, ids.dtype, axes, names, metadata=metadata)
