"""Sessions: folders with everything that is needed to resume or repeat a segmentation."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import pydantic
from numpy.typing import NDArray
from pydantic import AliasChoices, BaseModel, PlainSerializer, ValidationError

import napari_vrp_sam
from napari_vrp_sam.errors import InputError, reason
from napari_vrp_sam.files import atomic_folder, explain_write_errors, link_or_copy, write_json
from napari_vrp_sam.io.sessions.image import (
    IMAGE_COPY,
    CopyProgress,
    SessionImage,
    copy_image,
    frame_fingerprints,
    source_holds,
)
from napari_vrp_sam.io.sessions.layers import (
    RESULT,
    RESULT_INFO,
    StoredLayer,
    StoredResult,
    read_layer,
    read_result,
    write_layer,
    write_result,
)
from napari_vrp_sam.io.sessions.levels import PROBABILITIES
from napari_vrp_sam.io.sessions.references import (
    StoredReference,
    read_frames,
    read_references,
    write_frames,
    write_references,
)
from napari_vrp_sam.io.sessions.values import PortableModel
from napari_vrp_sam.models.sam.prompting import Prompting

SUFFIX = ".vrpsam"
FORMAT = 2
"""Version of the file format, increased when previous versions of this package cannot read it."""
SESSION_FILE = "session.json"
REFERENCES, ACCEPTED, ANNOTATIONS = "references", "accepted.npz", "annotations"
SESSION_ENTRIES = frozenset(
    {SESSION_FILE, REFERENCES, ANNOTATIONS, RESULT, RESULT_INFO, PROBABILITIES, IMAGE_COPY}
)
"""Files and folders of a session; all others in its folder belong to the user."""


ObjectOutput = Literal["classes", "objects", "linked objects"]


class SessionClass(NamedTuple):
    """Label value, name and colour ("#rrggbb") of a class."""

    number: int
    name: str
    colour: str


@pydantic.dataclasses.dataclass(frozen=True)
class ObjectOptions:
    """Options of the section *Objects* of the window."""

    output: ObjectOutput
    divisions: bool
    split_strength: float


@pydantic.dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of a run, as in `SegmentationJob`, and of the window."""

    model: PortableModel = "lite"
    device: str = "auto"
    frames: tuple[int | None, int | None] | None = None
    channels: tuple[int, ...] | None = None
    # Format 1 had other names.
    contrast_limits: tuple[float, float] | None = pydantic.Field(
        default=None, validation_alias=AliasChoices("contrast_limits", "limits")
    )
    pseudo_mask: Literal["probe", "correlation"] | None = None
    tile_size: int | None = pydantic.Field(
        default=None, validation_alias=AliasChoices("tile_size", "tile")
    )
    prompting: Prompting | None = None
    neighbours: bool = True
    point_radius: float | None = None
    frame_in_view: int | None = None
    clean_up: dict[str, Any] | None = None
    """Thresholds and clean-up of labels, as `ResultSettings.as_dict` returns them."""
    objects: ObjectOptions | None = None
    """Options of the window for finding objects."""


@dataclass(frozen=True, eq=False)
class Session:
    """Annotations, classes, settings, accepted frames and result of an image.

    Attributes
    ----------
    image : SessionImage
    settings : Settings
    references : sequence of StoredReference
        References of the next run.
    obstacle : str
        One sentence on why there are no references.
    accepted : dict of int to ndarray
        Labels of the accepted frames by index, each of shape (Y, X).
    classes : sequence of SessionClass
    layers : sequence of StoredLayer
        Annotation layers, from bottom to top.
    result : StoredResult, optional
    version : str
        Version of the package that saved the session.
    """

    image: SessionImage
    settings: Settings = field(default_factory=Settings)
    references: Sequence[StoredReference] = ()
    obstacle: str = ""
    accepted: Mapping[int, NDArray[Any]] = field(default_factory=dict)
    classes: Sequence[SessionClass] = ()
    layers: Sequence[StoredLayer] = ()
    result: StoredResult | None = None
    version: str = napari_vrp_sam.__version__

    @property
    def clean_up(self) -> Mapping[str, Any] | None:
        """Thresholds and clean-up of the next run, as `ResultSettings.as_dict` returns them."""
        if self.settings.clean_up is not None or self.result is None:
            return self.settings.clean_up
        # Earlier versions stored only those of the result, among the metadata of its layer.
        stored: Mapping[str, Any] | None = self.result.attributes.get("notes", {}).get(
            "relabelling"
        )
        return stored


class _SessionFile(BaseModel):
    """Content of `session.json`."""

    format: int
    version: str
    image: SessionImage
    settings: Settings
    classes: list[Annotated[SessionClass, PlainSerializer(SessionClass._asdict)]]
    accepted_frames: list[int] = pydantic.Field(
        default_factory=list, serialization_alias="accepted frames"
    )
    references: list[dict[str, Any]]
    obstacle: str
    layers: list[str]
    result: bool
    probabilities: bool = False  # earlier versions ignore it, and drop it when they save


def session_folder(path: str | os.PathLike[str]) -> Path:
    """Return a path with the suffix of session folders, which is appended if it is missing."""
    path = Path(path)
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)


def write_session(
    folder: str | os.PathLike[str],
    session: Session,
    data: Any,
    progress: CopyProgress | None = None,
) -> Session:
    """Save a session atomically, replacing an existing one.

    Parameters
    ----------
    folder : str or path
    session : Session
    data : array, optional
        The image. It is copied into the session unless its source file holds it. None: the
        session does not need the image.
    progress : callable, optional
        Reports the number of copied frames. An exception from it cancels the write.

    Returns
    -------
    Session
        The session as written; without `image.source` if the image was copied.

    Raises
    ------
    InputError
        If the folder exists and is not a session, or cannot be written.
    """
    folder = Path(folder).absolute()
    with explain_write_errors(folder):  # its name may be too long
        foreign = folder.exists() and not (folder / SESSION_FILE).is_file()
    if foreign:
        raise InputError(f"{folder} already exists and is not a session: choose another name.")
    image = session.image
    if data is not None:
        annotated = [reference.frame for reference in session.references]
        fingerprints = frame_fingerprints(data, image.axes, also=annotated)
        image = replace(image, fingerprints=fingerprints)
    with atomic_folder(folder) as new:
        if data is not None and not source_holds(image):
            copy_image(new, data, image, progress)
            image = replace(image, source=None)
        session = replace(session, image=image)
        _write(new, folder, session)
        for path in folder.iterdir() if folder.exists() else ():
            if path.name not in SESSION_ENTRIES:
                _copy_user_entry(path, new / path.name)
    return session


def read_session(folder: str | os.PathLike[str]) -> Session:
    """Read a session without the pixels of its image; see `open_image` for these.

    Raises
    ------
    InputError
        If the folder is not a session, is damaged, or was saved by a newer version.
    """
    folder = Path(folder).absolute()
    if not (folder / SESSION_FILE).is_file():
        raise InputError(f"{folder} is not a session: choose a folder that ends in {SUFFIX}.")
    try:
        content = json.loads((folder / SESSION_FILE).read_text("utf-8"))
        if content["format"] > FORMAT:
            raise InputError(
                f"{folder.name} was saved by version {content['version']} of napari-vrp-sam, in a "
                "format that this version cannot read: update napari-vrp-sam."
            )
        return _read(folder, _SessionFile.model_validate(content, context={"folder": folder}))
    except InputError:
        raise
    except Exception as error:  # damaged files raise exceptions of any type
        problem = f"{type(error).__name__}: {reason(error)}"
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))[:200]
            problem = f"{SESSION_FILE}, {place}: {reason(ValueError(first['msg']))}"
        raise InputError(
            f"{folder.name} is damaged ({problem}): restore it from a backup, or save it again."
        ) from error


def _write(new: Path, folder: Path, session: Session) -> None:
    references = write_references(new / REFERENCES, session.references)
    write_frames(new / REFERENCES / ACCEPTED, session.accepted)
    (new / ANNOTATIONS).mkdir()
    layers = [
        write_layer(new / ANNOTATIONS, number, layer) for number, layer in enumerate(session.layers)
    ]
    if session.result is not None:
        write_result(new, session.result)
    content = _SessionFile(
        format=FORMAT,
        version=session.version,
        image=session.image,
        settings=session.settings,
        classes=list(session.classes),
        accepted_frames=sorted(session.accepted),
        references=references,
        obstacle=session.obstacle,
        layers=layers,
        result=session.result is not None,
        probabilities=session.result is not None and session.result.levels is not None,
    )
    fields = content.model_dump(mode="json", by_alias=True, context={"folder": folder})
    write_json(new / SESSION_FILE, fields)


def _read(folder: Path, content: _SessionFile) -> Session:
    return Session(
        image=content.image,
        settings=content.settings,
        references=read_references(folder / REFERENCES, content.references),
        obstacle=content.obstacle,
        accepted=read_frames(folder / REFERENCES / ACCEPTED),
        classes=content.classes,
        layers=[read_layer(folder / ANNOTATIONS, name) for name in content.layers],
        result=read_result(folder, probabilities=content.probabilities) if content.result else None,
        version=content.version,
    )


def _copy_user_entry(path: Path, target: Path) -> None:
    if path.is_dir():
        shutil.copytree(path, target, copy_function=link_or_copy)
    else:
        link_or_copy(path, target)
