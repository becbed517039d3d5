"""Progress bars of downloads, and the option that forbids downloads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_vrp_sam.cli.app import progress_bar
from napari_vrp_sam.cli.common.options import ADVANCED

if TYPE_CHECKING:
    from napari_vrp_sam.models.weights.downloads import DownloadProgress


OfflineOption = Annotated[
    bool,
    typer.Option(
        "--offline",
        help="Do not download anything; same as VRP_SAM_OFFLINE=1.",
        rich_help_panel=ADVANCED,
    ),
]


def forbid_downloads(offline: bool) -> None:
    """Apply `--offline` to this process and to those that it starts."""
    if offline:
        from napari_vrp_sam.models.weights.downloads import OFFLINE_VARIABLE

        os.environ[OFFLINE_VARIABLE] = "1"


@contextmanager
def download_bar() -> Iterator[DownloadProgress]:
    """Show a progress bar for each file, with size, speed and remaining time."""
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress_bar(*columns) as bar:
        tasks: dict[str, Any] = {}

        def update(done: int, total: int, name: str) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total or None, completed=done)
            bar.update(tasks[name], completed=done, total=total or None)

        yield update
