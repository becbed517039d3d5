"""Lines of a journal: the first describes the run, each other one a finished frame."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from napari_vrp_sam.errors import InputError


@dataclass(frozen=True)
class FinishedFrame:
    """Frame whose labels are written.

    Attributes
    ----------
    index : int
        Index along the flattened leading axes.
    checksum : int
        See `labels_checksum`.
    confidence : float, optional
        Confidence of the frame, if an object was found.
    classes : dict of int to float
        Confidence of each class that was found.
    """

    index: int
    checksum: int
    confidence: float | None = None
    classes: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # JSON turns the numbers of classes into text.
        known = {int(class_id): sure for class_id, sure in self.classes.items()}
        object.__setattr__(self, "classes", known)


@dataclass(frozen=True)
class JournalContent:
    """Readable content of a journal, which may be damaged.

    Attributes
    ----------
    head : dict, optional
        Settings and facts of the run, if the first line can be read.
    frames : list of FinishedFrame
        Frames whose lines can be read.
    runs : set of str
        Digests of the settings in these lines.
    damaged : bool
        True if a line cannot be read, except for an incomplete last one.
    first_line : bytes
    """

    head: dict[str, Any] | None
    frames: list[FinishedFrame]
    runs: set[str]
    damaged: bool
    first_line: bytes


def read_content(path: Path) -> JournalContent:
    """Read a journal as far as it is intact.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    try:
        first, *lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror or error}): delete it, and overwrite the "
            "output with a new run."
        ) from error
    head = _json_object(first) if lines else None  # a line without its end is incomplete
    if head and not all(isinstance(head.get(key), dict) for key in ("settings", "facts")):
        head = None
    parsed = [_finished_frame(line) for line in lines[:-1]]
    known = [one for one in parsed if one is not None]
    return JournalContent(
        head or None,
        [frame for _, frame in known],
        {run for run, _ in known},
        damaged=not head or len(known) < len(parsed),
        first_line=first,
    )


def head_line(run: str, settings: Mapping[str, Any], facts: Mapping[str, Any]) -> bytes:
    """Return the first line; a cut one still begins with the digest of the settings."""
    return line_of({"run": run, "settings": settings, "facts": facts})


def frame_line(run: str, frame: FinishedFrame) -> bytes:
    """Return the line of a finished frame."""
    return line_of({"run": run, **asdict(frame)})


def line_of(content: Mapping[str, Any]) -> bytes:
    """Return a JSON object as a line."""
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"


def _finished_frame(line: bytes) -> tuple[str, FinishedFrame] | None:
    """Return the digest of the settings and the frame of a line; None if it is damaged."""
    values = _json_object(line)
    try:
        run = str(values.pop("run", ""))
        frame = FinishedFrame(**values)
    except (ValueError, TypeError, AttributeError):
        return None
    return (run, frame) if type(frame.index) is type(frame.checksum) is int else None


def _json_object(line: bytes) -> dict[str, Any]:
    """Return the JSON object in a line, empty if there is none."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
