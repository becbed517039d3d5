"""Journal of finished frames beside an output, from which an interrupted run is resumed.

The first line describes the run, each other line a finished frame. A line is appended after the
labels of its frame are written; an incomplete last line is ignored.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import labels_checksum
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic

SUFFIX = ".journal"
VERIFIED_FRAMES = 256
"""Number of most recent frames whose labels are verified: after a power failure, the line of a
frame may have reached the disk, but not its labels."""


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


class Journal:
    """Journal of the run that writes an output.

    Parameters
    ----------
    output : Path
        File or folder; the journal is written beside it.
    settings : mapping
        All settings that determine the labels, by names that users know; JSON values.

    Attributes
    ----------
    finished : dict of int to FinishedFrame
    facts : dict
        Other results of the run that are needed to resume it; JSON values.
    """

    def __init__(self, output: Path, settings: Mapping[str, Any]) -> None:
        self._output = output
        self._path = journal_path(output)
        self._settings = json.loads(json.dumps(settings))
        self._created = False
        self.finished: dict[int, FinishedFrame] = {}
        self.facts: dict[str, Any] = {}

    def resume(self, read: Callable[[int], NDArray[Any]]) -> None:
        """Load the finished frames of a previous run with the same settings, if there is one.

        Parameters
        ----------
        read : callable
            Returns the labels of a frame that was written.

        Raises
        ------
        InputError
            If the output was written by a run with other settings.
        """
        if not self._path.exists():
            if _has_content(self._output):
                raise InputError(
                    f"{self._output} already exists, but the journal of its run is missing: choose "
                    "another output, or overwrite it instead of resuming the run."
                )
            return
        if not _has_content(self._output):
            return  # the user deleted the result in order to replace it
        settings, facts, frames = _read(self._path)
        if not settings.keys() >= self._settings.keys():
            raise InputError(
                f"{self._output} was started by another version of napari-vrp-sam, which recorded "
                "fewer settings: choose another output, or overwrite it instead of resuming the "
                "run."
            )
        differing = [key for key in self._settings if settings[key] != self._settings[key]]
        if differing:
            raise InputError(
                f"{self._output} was started with another {' and '.join(differing)}: use the same "
                "settings, choose another output, or overwrite it instead of resuming the run."
            )
        self.facts = facts
        self.finished = {frame.index: frame for frame in frames}
        for frame in frames[-VERIFIED_FRAMES:]:
            if not _labels_match(frame, read):
                self.finished.pop(frame.index, None)
        self._write()

    def begin(self) -> None:
        """Create the journal, before anything is written to the output."""
        if not self._created:
            self._write()

    def add(self, frame: FinishedFrame) -> None:
        """Append a finished frame, after its labels were written.

        Raises
        ------
        InputError
            If the journal cannot be written: disk full, no permission.
        """
        line = _line(asdict(frame))
        try:
            with self._path.open("ab", buffering=0) as file:
                # On a full disk, operating systems may write a part without an error.
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise InputError(
                f"{self._path} cannot be written: {error.strerror or error}; fix that, and resume "
                "the run."
            ) from error
        self.finished[frame.index] = frame

    def discard(self) -> None:
        """Delete the journal of a run without finished frames."""
        if self._created:
            self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        head = {"settings": self._settings, "facts": self.facts}
        frames = [asdict(frame) for frame in self.finished.values()]
        with atomic(self._path) as temporary:
            temporary.write_bytes(b"".join(map(_line, (head, *frames))))
        self._created = True


def journal_path(output: Path) -> Path:
    """Return the path of the journal of an output."""
    return output.with_name(output.name + SUFFIX)


def read_journal(output: Path) -> tuple[dict[str, Any], list[FinishedFrame]]:
    """Return the facts and finished frames of an output; empty if its journal cannot be read."""
    try:
        return _read(journal_path(output))[1:]
    except InputError:
        return {}, []


def _has_content(output: Path) -> bool:
    """Return whether an output is a file or a folder that is not empty."""
    return any(output.iterdir()) if output.is_dir() else output.exists()


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any], list[FinishedFrame]]:
    """Settings, facts and finished frames of a journal."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1]  # the last piece is empty or incomplete
        head = json.loads(lines[0])
        frames = [FinishedFrame(**json.loads(line)) for line in lines[1:]]
        return dict(head["settings"]), dict(head["facts"]), frames
    except (OSError, IndexError, ValueError, KeyError, TypeError) as error:
        reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        raise InputError(
            f"{path} cannot be read{reason}: delete it, and overwrite the output with a new run."
        ) from error


def _labels_match(frame: FinishedFrame, read: Callable[[int], NDArray[Any]]) -> bool:
    try:
        return labels_checksum(read(frame.index)) == frame.checksum
    except Exception:  # missing or incomplete: codecs raise exceptions of any type
        return False


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"
