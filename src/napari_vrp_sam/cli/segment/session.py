"""`vrp-sam segment --session`: what was saved in napari, run again without a window."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

import napari_vrp_sam
from napari_vrp_sam.cli.app import stderr_console
from napari_vrp_sam.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob

SessionOption = Annotated[
    Path | None,
    typer.Option(
        "--session",
        metavar="FOLDER",
        help="Session saved in napari: its image, annotations, accepted frames and choices. What "
        "it says cannot be said again; model, prompting, device and precision can.",
    ),
]
SAID_BY_SESSION = (
    "reference", "frame", "axes", "channel", "pseudo_mask", "kind", "one_class", "frames", "limits",
    "tile",
)  # fmt: skip
"""Options that say again what a session says."""


class SessionRun(NamedTuple):
    """A session, ready to run."""

    job: SegmentationJob
    view: Frames
    accepted: Mapping[int, NDArray[Any]]
    """Labels of the accepted frames, each of shape (Y, X), by index."""
    inputs: tuple[Path, ...]
    """The image, and what else is not to be written over."""
    beside: Path
    """Where the labels go unless the user says."""


def session_run(context: typer.Context, folder: Path, image: Path | None) -> SessionRun:
    """The run that the button in napari would start.

    Parameters
    ----------
    context : Context
        Of the command, which tells what the user gave.
    folder : Path
        The session's.
    image : Path, optional
        Where the image is now.

    Raises
    ------
    InputError
        If the session or its image cannot be read, nothing is annotated, or options contradict it.
    """
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
    from napari_vrp_sam.io.sessions.image import COPY, open_image
    from napari_vrp_sam.io.sessions.layers import RESULT
    from napari_vrp_sam.io.sessions.session import read_session
    from napari_vrp_sam.models.zoo.registry import missing_model

    for name in SAID_BY_SESSION:
        if _given(context, name):
            option = "--" + name.replace("_", "-")
            raise InputError(f"A session says {option} itself: leave out {option}, or --session.")
    session = read_session(folder)
    if session.obstacle:
        raise InputError(session.obstacle)
    if session.version != napari_vrp_sam.__version__:
        stderr_console.print(
            f"Saved by version {session.version}, run by {napari_vrp_sam.__version__}: the result "
            "may differ.",
            soft_wrap=True,
        )
    data = open_image(folder, session.image, image)
    settings = session.settings
    model = context.params["model"] if _given(context, "model") else settings.model
    missing = missing_model(model)
    if missing:
        raise InputError(missing)
    prompting = context.params["prompting"]
    view = Frames(data, session.image.axes, settings.channels)
    job = SegmentationJob(
        data,
        references=[reference.on(view[reference.frame]) for reference in session.references],
        axes=view.axes,
        channels=settings.channels,
        model=model,
        device=context.params["device"] if _given(context, "device") else settings.device,
        frames=settings.frames,
        contrast_limits=settings.limits,
        pseudo_mask=settings.pseudo_mask,
        prompting=None if prompting is None else prompting.value,
        tile_size=settings.tile,
        accepted=frozenset(session.accepted),
    )
    folder = folder.absolute()
    inputs = (
        image or session.image.source or folder / COPY,
        folder,
        folder / RESULT,
        *folder.iterdir(),
    )
    return SessionRun(
        job, view, session.accepted, inputs, folder.with_name(f"{folder.stem}_labels.tif")
    )


def _given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"
