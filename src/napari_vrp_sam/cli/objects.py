"""`vrp-sam objects`: number, link and measure the objects of a label image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_vrp_sam.cli.app import app, progress_bar, stderr_console
from napari_vrp_sam.cli.image_axes import resolve_axes
from napari_vrp_sam.cli.options import INPUT, OUTPUT, AxesOption, ChannelOption
from napari_vrp_sam.cli.output_paths import (
    check_outputs,
    default_objects_path,
    frame_names,
    same_file,
)
from napari_vrp_sam.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vrp_sam.inference.frames import Frames


@dataclass(frozen=True)
class ObjectOutput:
    """Settings and output files of a search for objects.

    Attributes
    ----------
    labels : Path
        Output of the object ids: TIFF, PNG, OME-Zarr, or a folder.
    table : Path, optional
        CSV file of the objects.
    linked, divisions, split, min_size
        See `objects_from_labels`.
    """

    labels: Path
    table: Path | None = None
    linked: bool = False
    divisions: bool = False
    split: bool = True
    min_size: int = 0

    @property
    def files(self) -> list[Path]:
        """The outputs."""
        return [self.labels] if self.table is None else [self.labels, self.table]

    def check(self, label_axes: str) -> None:
        """Check the settings before the work starts.

        Raises
        ------
        InputError
            If labels with these axes cannot be linked this way, or the table is not a CSV file.
        """
        from napari_vrp_sam.inference.objects.find import ObjectSettings, check_settings
        from napari_vrp_sam.io.exports.tables import check_table_path

        if self.divisions and not self.linked:
            raise InputError("--divisions needs --link: only linked objects divide.")
        settings = ObjectSettings(self.linked, self.divisions, self.split, self.min_size)
        check_settings(settings, label_axes)
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
    ) -> None:
        """Find the objects of class labels and write them; see `objects_from_labels`.

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
        """
        from napari_vrp_sam.inference.objects.find import objects_from_labels
        from napari_vrp_sam.io.exports.tables import write_table

        with progress_bar() as bar:
            task = bar.add_task("Finding objects", total=None)
            objects = objects_from_labels(
                labels,
                image,
                axes=frames.axes,
                channels=frames.channels,
                linked=self.linked,
                divisions=self.divisions,
                split=self.split,
                min_size=self.min_size,
                confidence=confidence,
                progress=lambda done, total, message: bar.update(
                    task, description=message, completed=done, total=total
                ),
            )
        _write_ids(self.labels, objects.labels, frames.label_axes, names)
        stderr_console.print(
            f"Found {len(objects.table)} objects; their ids are in {self.labels}.", soft_wrap=True
        )
        if self.table is not None:
            write_table(self.table, objects.table)
            stderr_console.print(f"Their table is {self.table}.", soft_wrap=True)


@app.command()
def objects(
    labels: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS",
            help="Label image whose values are classes: TIFF file, OME-Zarr, PNG, or folder of "
            "label images.",
        ),
    ],
    image: Annotated[
        Path | None,
        typer.Option(help="Segmented image, to measure intensities.", rich_help_panel=INPUT),
    ] = None,
    axes: AxesOption = None,
    channel: ChannelOption = None,
    link: Annotated[
        bool,
        typer.Option(
            "--link", help="Give each object one id through Z and T. Default: one id per frame."
        ),
    ] = False,
    divisions: Annotated[
        bool, typer.Option("--divisions", help="Let linked objects divide over time (T).")
    ] = False,
    min_size: Annotated[
        int, typer.Option(help="Discard objects with fewer pixels on a frame.")
    ] = 0,
    no_split: Annotated[
        bool, typer.Option("--no-split", help="Do not split touching objects at their necks.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Object ids: TIFF file, .zarr, or folder. Default: *_objects.tif beside LABELS.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with class, frames, area and intensity of each object.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace existing results.", rich_help_panel=OUTPUT),
    ] = False,
) -> None:
    """Number the objects in a label image, link them through the stack, and measure them.

    Equivalent to `objects_from_labels` in Python.
    """
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.io.images.stacks import read_labels, read_stack
    from napari_vrp_sam.io.labels.journal import read_journal

    classes = read_labels(labels, image)
    data = None
    if image is not None:
        if same_file(image, labels):
            raise InputError(f"{image} is the label image itself: give the segmented image.")
        data, stored_axes = read_stack(image)
        frames = Frames(data, resolve_axes(image, axes, stored_axes), channel or None)
    elif channel:
        raise InputError("--channel needs --image: intensities are measured on the image.")
    else:
        # A palette PNG is read as colours here: its axes end in S.
        stored_axes = (read_stack(labels)[1] or "").rstrip("S")
        frames = Frames(classes, resolve_axes(labels, axes, stored_axes or None))
    found = ObjectOutput(
        output or default_objects_path(labels), table, link, divisions, not no_split, min_size
    )
    found.check(frames.label_axes)
    names = frame_names(image or labels)
    check_outputs(
        found.labels,
        found.files[1:],
        [labels] if image is None else [labels, image],
        frame_files=_id_files(found.labels, frames, names),
        overwrite=overwrite,
    )
    # Runs that write a folder or OME-Zarr record the confidence of frames.
    confidence = {
        f.index: f.confidence for f in read_journal(labels)[1] if f.confidence is not None
    }
    found.write(classes, data, frames, names=names, confidence=confidence)


def _id_files(output: Path, frames: Frames, names: Sequence[str]) -> list[Path]:
    """Return the files that an output folder may get; their suffix depends on the largest id."""
    import numpy as np

    from napari_vrp_sam.inference.runs.output import RunOutput
    from napari_vrp_sam.io.labels.folder import folder_files

    if not RunOutput(output).in_folder:
        return []
    dtypes = np.dtype(np.uint8), np.dtype(np.uint32)
    return [
        file for dtype in dtypes for file in folder_files(output, frames.label_shape, dtype, names)
    ]


def _write_ids(path: Path, ids: NDArray[Any], axes: str, names: Sequence[str]) -> None:
    from napari_vrp_sam.io.images.stacks import write_labels
    from napari_vrp_sam.io.labels.writers import is_incremental, label_writer

    if not is_incremental(path):
        write_labels(path, ids, axes)
        return
    writer = label_writer(path, ids.shape, ids.dtype, axes, names)
    for index, frame in enumerate(ids.reshape(-1, *ids.shape[-2:])):
        writer.write(index, frame)
    writer.close()
