"""`vrp-sam segment --session`: run a session saved in napari without a window."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

import napari_vrp_sam
from napari_vrp_sam.cli.app import is_given, refuse_stored
from napari_vrp_sam.cli.common.options import INPUT
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.objects.result_settings import AUTOMATIC, ResultSettings
from napari_vrp_sam.io.metadata import ImageMetadata

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob

logger = logging.getLogger(__name__)

SessionOption = Annotated[
    Path | None,
    typer.Option(
        "--session",
        metavar="FOLDER",
        help="Session saved in napari: its image, annotations, accepted frames and settings. "
        "--model, --prompting, --neighbours, --device and --precision override those of the "
        "session.",
        rich_help_panel=INPUT,
    ),
]
STORED_IN_SESSION = (
    "reference", "reference_frame", "annotation_kind", "background", "ignore", "one_class",
    "class_column", "reference_image", "image_number", "axes", "channel", "frames",
    "contrast_limits", "tile_size", "pseudo_mask",
)  # fmt: skip
"""Options that cannot be combined with a session."""


class SegmentationInput(NamedTuple):
    """A segmentation job and the files that it comes from."""

    job: SegmentationJob
    frames: Frames
    accepted: Mapping[int, NDArray[Any]]
    """Labels of the accepted frames, shape (Y, X), by index."""
    files: tuple[Path, ...]
    """Files and folders that must not be overwritten; the image first."""
    default_output: Path
    metadata: ImageMetadata = ImageMetadata()
    clean_up: ResultSettings = AUTOMATIC
    """Thresholds and clean-up of labels and objects."""


def read_session_input(
    context: typer.Context, folder: Path, image: Path | None
) -> SegmentationInput:
    """Read the job that the Segment button in napari would start.

    Parameters
    ----------
    context : Context
        Context of the command, to detect which options the user gave.
    folder : Path
        Folder of the session.
    image : Path, optional
        Present path of the image, if it was moved.

    Raises
    ------
    InputError
        If the session or its image cannot be read, nothing is annotated, or an option conflicts
        with the session.
    """
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
    from napari_vrp_sam.io.sessions.image import IMAGE_COPY, open_image
    from napari_vrp_sam.io.sessions.layer_metadata import layer_metadata
    from napari_vrp_sam.io.sessions.layers import RESULT
    from napari_vrp_sam.io.sessions.session import read_session
    from napari_vrp_sam.models.zoo.registry import missing_model_message

    refuse_stored(context, STORED_IN_SESSION, "session")
    session = read_session(folder)
    if session.obstacle:
        raise InputError(session.obstacle)
    if session.version != napari_vrp_sam.__version__:
        logger.warning(
            "The session was saved by version %s, this is version %s: the result may differ.",
            session.version,
            napari_vrp_sam.__version__,
        )
    data = open_image(folder, session.image, image)
    settings, clean_up = session.settings, ResultSettings.from_dict(session.clean_up)
    model = context.params["model"] if is_given(context, "model") else settings.model
    if message := missing_model_message(model):
        raise InputError(message)
    chosen = context.params["prompting"]
    prompting = settings.prompting if chosen is None else chosen.value
    shown = session.image.attributes
    metadata = layer_metadata(
        session.image.axes,
        session.image.shape,
        scale=shown.get("scale", ()),
        translate=shown.get("translate", ()),
        units=shown.get("units", ()),
        source=image or session.image.source,
    )
    frames = Frames(data, session.image.axes, settings.channels, metadata.nodata)
    job = SegmentationJob(
        data,
        references=[reference.on(frames[reference.frame]) for reference in session.references],
        axes=frames.axes,
        channels=settings.channels,
        nodata=frames.nodata,
        model=model,
        device=context.params["device"] if is_given(context, "device") else settings.device,
        frames=settings.frames,
        contrast_limits=settings.contrast_limits,
        pseudo_mask=settings.pseudo_mask,
        prompting=prompting,
        tile_size=settings.tile_size,
        neighbours=settings.neighbours,
        relabelling=clean_up.of_run,
        accepted=frozenset(session.accepted),
    )
    folder = folder.absolute()
    files = (
        image or session.image.source or folder / IMAGE_COPY,
        folder,
        folder / RESULT,
        *folder.iterdir(),
    )
    default_output = folder.with_name(f"{folder.stem}_labels.tif")
    return SegmentationInput(
        job, frames, session.accepted, files, default_output, metadata, clean_up
    )
