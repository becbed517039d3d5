"""A session as a folder: everything that a run takes and gave, to go on or to run it again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from numpy.typing import NDArray

import napari_vrp_sam
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic_folder
from napari_vrp_sam.io.sessions.image import (
    COPY,
    Report,
    SessionImage,
    address,
    fingerprints,
    found_again,
    keep_copy,
    link_or_copy,
    resolved,
)
from napari_vrp_sam.io.sessions.layers import (
    RESULT,
    RESULT_NOTES,
    StoredLayer,
    StoredResult,
    read_layer,
    read_result,
    write_layer,
    write_result,
)
from napari_vrp_sam.io.sessions.references import (
    StoredReference,
    read_frames,
    read_references,
    write_frames,
    write_references,
)
from napari_vrp_sam.io.sessions.values import read_plain, write_plain

if TYPE_CHECKING:
    from napari_vrp_sam.models.vrp.pseudo_mask import PseudoMaskKind

SUFFIX = ".vrpsam"
FORMAT = 1
"""Raised whenever older versions of this package could not read a session any more."""
HEAD = "session.json"
REFERENCES, ACCEPTED, ANNOTATIONS = "references", "accepted.npz", "annotations"
OWN = frozenset({HEAD, REFERENCES, ANNOTATIONS, RESULT, RESULT_NOTES, COPY})
"""What a session writes; anything else in the folder is the user's."""


class SessionClass(NamedTuple):
    """A class: its label value, and what the user calls and colours ("#rrggbb") it."""

    number: int
    name: str
    colour: str


@dataclass(frozen=True)
class Settings:
    """The choices for a run, as `Job` takes them, and what the window shows beside."""

    model: str = "lite"
    device: str = "auto"
    frames: tuple[int | None, int | None] | None = None
    channels: tuple[int, ...] | None = None
    limits: tuple[float, float] | None = None
    pseudo_mask: PseudoMaskKind | None = None
    tile: int | None = None
    point_radius: float | None = None
    frame_in_view: int | None = None


@dataclass(frozen=True, eq=False)
class Session:
    """Annotations, classes, settings, model, accepted frames and result, without the pixels.

    Attributes
    ----------
    image : SessionImage
    settings : Settings
    references : sequence of StoredReference
        As the next run gets them.
    obstacle : str
        Why there are none, in one sentence.
    accepted : dict of int to ndarray
        Labels of the accepted frames by index, each of shape (Y, X).
    classes : sequence of SessionClass
    layers : sequence of StoredLayer
        What was drawn, lowest first.
    result : StoredResult, optional
    version : str
        Of the package that saved it.
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


def session_folder(path: str | os.PathLike[str]) -> Path:
    """The folder that a path means: its suffix is added where it lacks."""
    path = Path(path)
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)


def write_session(
    folder: str | os.PathLike[str], session: Session, data: Any, report: Report | None = None
) -> Session:
    """Save a session, wholly or not at all; one that is there already is replaced.

    Parameters
    ----------
    folder : str or path
    session : Session
    data : array
        The image. A copy of it is kept where no file of its own holds it.
    report : callable, optional
        Told how much of the image is copied. What it raises ends the writing, without a trace.

    Returns
    -------
    Session
        As it was written; without `image.source` if the image was copied.

    Raises
    ------
    InputError
        If the folder is none of ours, or cannot be written.
    """
    folder = Path(folder).absolute()
    if folder.exists() and not (folder / HEAD).is_file():
        raise InputError(f"{folder} is there already and no session: choose another name.")
    annotated = [reference.frame for reference in session.references]
    marks = fingerprints(data, session.image.axes, also=annotated)
    image = replace(session.image, fingerprints=marks)
    with atomic_folder(folder) as new:
        if not found_again(image):
            keep_copy(new, data, image, report)
            image = replace(image, source=None)
        session = replace(session, image=image)
        _write(new, folder, session)
        for path in folder.iterdir() if folder.exists() else ():
            if path.name not in OWN:
                _keep(path, new / path.name)
    return session


def read_session(folder: str | os.PathLike[str]) -> Session:
    """Open a session; the pixels of its image are left to `open_image`.

    Raises
    ------
    InputError
        If it is none, is damaged, or was saved by a version that is newer than this one.
    """
    folder = Path(folder).absolute()
    if not (folder / HEAD).is_file():
        raise InputError(f"{folder} is no session: choose a folder that ends in {SUFFIX}.")
    try:
        head = read_plain(folder / HEAD)
        if head["format"] > FORMAT:
            raise InputError(
                f"{folder.name} was saved by version {head['version']} of napari-vrp-sam, which "
                "writes sessions that this version cannot read: update napari-vrp-sam."
            )
        return _read(folder, head)
    except InputError:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise InputError(
            f"{folder.name} is damaged ({type(error).__name__}: {error}): "
            "take it from a backup, or save it anew."
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
    settings = asdict(session.settings)
    model = Path(session.settings.model)
    if model.is_file():
        settings["model"] = address(model, folder)
    image = asdict(session.image)
    image["source"] = session.image.source and address(session.image.source, folder)
    head = {
        "format": FORMAT,
        "version": session.version,
        "image": image,
        "settings": settings,
        "classes": [item._asdict() for item in session.classes],
        "accepted frames": sorted(session.accepted),
        "references": references,
        "obstacle": session.obstacle,
        "layers": layers,
        "result": session.result is not None,
    }
    write_plain(new / HEAD, head)


def _read(folder: Path, head: Mapping[str, Any]) -> Session:
    image, settings = dict(head["image"]), dict(head["settings"])
    source = image["source"]
    image |= {"shape": tuple(image["shape"]), "source": source and resolved(source, folder)}
    for name in ("frames", "channels", "limits"):
        settings[name] = settings[name] and tuple(settings[name])
    if isinstance(settings["model"], dict):
        settings["model"] = str(resolved(settings["model"], folder))
    return Session(
        image=SessionImage(**image),
        settings=Settings(**settings),
        references=read_references(folder / REFERENCES, head["references"]),
        obstacle=head["obstacle"],
        accepted=read_frames(folder / REFERENCES / ACCEPTED),
        classes=[SessionClass(**item) for item in head["classes"]],
        layers=[read_layer(folder / ANNOTATIONS, name) for name in head["layers"]],
        result=read_result(folder) if head["result"] else None,
        version=head["version"],
    )


def _keep(path: Path, place: Path) -> None:
    """What the user put into a session stays there when it is saved again."""
    if path.is_dir():
        shutil.copytree(path, place, copy_function=link_or_copy)
    else:
        link_or_copy(path, place)
