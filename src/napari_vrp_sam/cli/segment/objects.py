"""Objects of a segmented stack, for `vrp-sam segment`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_vrp_sam.cli.app import stderr_console
from napari_vrp_sam.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vrp_sam.inference.frames import Frames


@dataclass(frozen=True)
class ObjectOptions:
    """What was asked for beside the class labels.

    Attributes
    ----------
    labels : Path
        Where the ids of objects go, as TIFF.
    table : Path, optional
        Where their table goes, as CSV.
    linked, divisions, min_size
        As `ObjectSettings` has them.
    """

    labels: Path
    table: Path | None
    linked: bool
    divisions: bool
    min_size: int

    def check(self, view: Frames) -> None:
        """Tell mistakes before hours of work, not after them.

        Raises
        ------
        InputError
            If the stack cannot be linked as asked for, or the table cannot be written.
        """
        from napari_vrp_sam.inference.objects.find import ObjectSettings, check_settings
        from napari_vrp_sam.io.exports.tables import check_table_path

        if self.divisions and not self.linked:
            raise InputError("--divisions needs --link: only linked objects divide.")
        check_settings(
            ObjectSettings(self.linked, self.divisions, min_size=self.min_size), view.label_axes
        )
        if self.table is not None:
            check_table_path(self.table)

    def write(
        self, data: Any, view: Frames, classes: NDArray[Any], confidence: Mapping[int, float]
    ) -> None:
        """Find the objects of the class labels, and write them."""
        from rich.progress import Progress

        from napari_vrp_sam.inference.objects.find import objects_from_labels
        from napari_vrp_sam.io.exports.tables import write_table
        from napari_vrp_sam.io.images.stacks import write_labels

        with Progress(console=stderr_console, transient=True) as bar:
            task = bar.add_task("Finding objects", total=None)
            objects = objects_from_labels(
                classes,
                data,
                axes=view.axes,
                channels=view.channels,
                linked=self.linked,
                divisions=self.divisions,
                min_size=self.min_size,
                confidence=confidence,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        write_labels(self.labels, objects.labels, view.label_axes)
        stderr_console.print(
            f"Objects, {len(objects.table)} in all, are in {self.labels}.", soft_wrap=True
        )
        if self.table is not None:
            write_table(self.table, objects.table)
            stderr_console.print(f"Their table is {self.table}.", soft_wrap=True)
