"""Options of `vrp-sam segment` alone; see `cli.common.options` for those that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_vrp_sam.cli.common.options import ADVANCED, INPUT, OUTPUT, WORKERS
from napari_vrp_sam.errors import InputError

FramesOption = Annotated[
    str | None,
    typer.Option(metavar="A:B", help="Segment frames A to B - 1 only.", rich_help_panel=INPUT),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        help="Labels: TIFF file, .zarr, or folder; for several images, a folder. Default: "
        "*_labels beside each image.",
        rich_help_panel=OUTPUT,
    ),
]
ProbabilitiesOption = Annotated[
    Path | None,
    typer.Option(help="Class probabilities: TIFF file or .zarr.", rich_help_panel=OUTPUT),
]
ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Resume an interrupted run that writes a .zarr or a folder; of several images, "
        "skip those that are finished.",
        rich_help_panel=OUTPUT,
    ),
]
OverwriteOption = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace existing results; in a folder, all files of the earlier run.",
        rich_help_panel=OUTPUT,
    ),
]
TileSizeOption = Annotated[
    int | None,
    typer.Option(
        metavar="PIXELS",
        help="Segment larger frames in overlapping tiles of this size. Default: 2048.",
        rich_help_panel=ADVANCED,
    ),
]
NeighboursOption = Annotated[
    bool,
    typer.Option(
        "--neighbours/--no-neighbours",
        help="Average uncertain frames with those before and after them, where annotated "
        "frames agree with their neighbours.",
        rich_help_panel=ADVANCED,
    ),
]
CacheOption = Annotated[
    bool | None,
    typer.Option(
        "--cache/--no-cache",
        help="Cache image features on disk for later runs. Default: only for full-size models "
        "on a CPU.",
        show_default=False,
        rich_help_panel=ADVANCED,
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Number of worker processes. Default: segment in this process.",
        rich_help_panel=WORKERS,
    ),
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Use the workers of this dask scheduler: tcp://HOST:PORT.",
        rich_help_panel=WORKERS,
    ),
]


def parse_range(frames: str | None) -> tuple[int | None, int | None] | None:
    """Parse `A:B`, of which either number may be missing."""
    if frames is None:
        return None
    try:
        start, stop = (int(part) if part.strip() else None for part in frames.split(":"))
    except ValueError:
        raise InputError(
            f"--frames {frames} is not a range: write A:B for the frames A to B - 1, counted from "
            "0."
        ) from None
    return start, stop
