"""What a run has finished, kept beside its output: a run that was cut off can go on from there.

The first line says what the run is, every other one that a frame is done. Lines are added whole,
after the labels they tell of; one that was cut off in the middle does not count.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import labels_checksum
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic

SUFFIX = ".journal"

RECENT = 256
"""Frames finished last, whose labels are looked at again: a machine that lost its power may have
kept the line and lost the labels."""


@dataclass(frozen=True)
class Finished:
    """A frame whose labels are written.

    Attributes
    ----------
    index : int
        Counted along the flattened leading axes.
    checksum : int
        See `labels_checksum`.
    confidence : float, optional
        The IoU to expect, where something was found.
    """

    index: int
    checksum: int
    confidence: float | None = None


class Journal:
    """Of the run that writes to an output.

    Parameters
    ----------
    output : Path
        File or folder; the journal lies beside it.
    settings : mapping
        Whatever the labels depend on, by names that a user knows; values as JSON has them.

    Attributes
    ----------
    finished : dict of int to Finished
    facts : dict
        What else the run has found out; values as JSON has them.
    """

    def __init__(self, output: Path, settings: Mapping[str, Any]) -> None:
        self._output = output
        self._path = journal_of(output)
        self._settings = json.loads(json.dumps(settings))
        self._begun = False
        self.finished: dict[int, Finished] = {}
        self.facts: dict[str, Any] = {}

    def resume(self, read: Callable[[int], NDArray[Any]]) -> None:
        """Take up what an earlier run of the same settings has finished; nothing if there was none.

        Parameters
        ----------
        read : callable
            Gives the labels of a frame that was written.

        Raises
        ------
        InputError
            If another run wrote there.
        """
        if not self._path.exists():
            if _holds_something(self._output):
                raise InputError(
                    f"{self._output} is there, but no journal of its run: choose another --output, "
                    "or replace it with --overwrite instead of --resume."
                )
            return
        if not _holds_something(self._output):
            return  # somebody took the result away, and wants another
        begun, facts, found = _content(self._path)
        if not begun.keys() >= self._settings.keys():
            raise InputError(
                f"{self._output} was begun by another version of this program, which noted less: "
                "choose another --output, or replace it with --overwrite instead of --resume."
            )
        differing = [key for key in self._settings if begun[key] != self._settings[key]]
        if differing:
            raise InputError(
                f"{self._output} was begun with another {' and '.join(differing)}: go on with the "
                "same, choose another --output, or replace it with --overwrite instead of --resume."
            )
        self.facts = facts
        self.finished = {frame.index: frame for frame in found}
        for frame in found[-RECENT:]:
            if not _is_there(frame, read):
                self.finished.pop(frame.index, None)
        self._write()

    def begin(self) -> None:
        """Say what the run is, before anything is written to its output."""
        if not self._begun:
            self._write()

    def add(self, frame: Finished) -> None:
        """Say that a frame is done, once its labels are written.

        Raises
        ------
        InputError
            If that cannot be written: no room, no permission.
        """
        line = _line(asdict(frame))
        try:
            with self._path.open("ab", buffering=0) as file:
                # Of what has no room whole, systems write a part without complaint.
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            reason = error.strerror or error
            raise InputError(
                f"{self._path} cannot be written: {reason}; mend that, and go on with --resume."
            ) from error
        self.finished[frame.index] = frame

    def discard(self) -> None:
        """Forget a run that finished nothing."""
        if self._begun:
            self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        """Begin the file anew with what is known."""
        with atomic(self._path) as temporary:
            known = [asdict(frame) for frame in self.finished.values()]
            head = {"settings": self._settings, "facts": self.facts}
            lines = [_line(content) for content in (head, *known)]
            temporary.write_bytes(b"".join(lines))
        self._begun = True


def journal_of(output: Path) -> Path:
    """Where the journal of a run lies."""
    return output.with_name(output.name + SUFFIX)


def noted(output: Path) -> tuple[dict[str, Any], list[Finished]]:
    """Facts and frames of the run that wrote to an output; none where no journal tells of it."""
    try:
        return _content(journal_of(output))[1:]
    except InputError:
        return {}, []


def _holds_something(output: Path) -> bool:
    """Whether there is a file, or a folder that was not merely made for what is to come."""
    return any(output.iterdir()) if output.is_dir() else output.exists()


def _content(path: Path) -> tuple[dict[str, Any], dict[str, Any], list[Finished]]:
    """Settings, facts, and what is finished."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last end is cut off
        head = json.loads(lines[0])
        found = [Finished(**json.loads(line)) for line in lines[1:]]
        return dict(head["settings"]), dict(head["facts"]), found
    except (OSError, IndexError, ValueError, KeyError, TypeError) as error:
        reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        raise InputError(
            f"{path} cannot be read{reason}: delete it, and start again with --overwrite."
        ) from error


def _is_there(frame: Finished, read: Callable[[int], NDArray[Any]]) -> bool:
    try:
        return labels_checksum(read(frame.index)) == frame.checksum
    except Exception:  # gone, or not written to its end: codecs make anything of what is left
        return False


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode() + b"\n"
