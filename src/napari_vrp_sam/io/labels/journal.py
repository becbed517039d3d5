"""Journal of finished frames beside an output, from which an interrupted run is resumed.

The first line describes the run, each other line a finished frame. A line is appended after the
labels of its frame are written; incomplete lines are ignored. Each line contains a digest of the
settings of the run, so that frames are recognised even if the first line is damaged.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import labels_checksum
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic
from napari_vrp_sam.io.labels.journal_lines import (
    FinishedFrame,
    JournalContent,
    frame_line,
    head_line,
    line_of,
    read_content,
)
from napari_vrp_sam.wording import count

logger = logging.getLogger(__name__)

SUFFIX = ".journal"
VERIFIED_FRAMES = 256
"""Number of most recent frames whose labels are verified: after a power failure, the line of a
frame may have reached the disk, but not its labels."""


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
        self._run = hashlib.sha256(line_of(self._settings)).hexdigest()[:16]
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
        journal = read_content(self._path)
        if journal.head is None:
            self._check_remains(journal)
        else:
            self._check_settings(journal.head["settings"])
            self.facts = journal.head["facts"]
        frames = journal.frames if journal.damaged else journal.frames[-VERIFIED_FRAMES:]
        self.finished = {frame.index: frame for frame in journal.frames}
        for frame in frames:
            if not _labels_match(frame, read):
                self.finished.pop(frame.index, None)
        if journal.head is None:
            logger.warning(
                "The first line of %s is damaged: the run %s.",
                self._path,
                f"is resumed after {count(len(self.finished), 'frame')}, whose labels match "
                "their checksums"
                if self.finished
                else "starts from the beginning",
            )
        else:
            self._write()

    def _check_settings(self, settings: dict[str, Any]) -> None:
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

    def _check_remains(self, journal: JournalContent) -> None:
        """Refuse a journal without a first line if it may be that of another run."""
        expected = head_line(self._run, self._settings, {}).partition(b',"facts":')[0]
        remains = journal.first_line.rstrip(b"\0")  # file systems may fill lost blocks with zeros
        same = expected.startswith(remains) or remains.startswith(expected)
        if journal.runs != {self._run} and (journal.runs or not same):
            raise InputError(
                f"The first line of {self._path} is damaged, and {self._output} may be the output "
                "of a run with other settings: choose another output, or overwrite it instead of "
                "resuming the run."
            )

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
        line = frame_line(self._run, frame)
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
        head = head_line(self._run, self._settings, self.facts)
        frames = (frame_line(self._run, frame) for frame in self.finished.values())
        with atomic(self._path) as temporary:
            temporary.write_bytes(b"".join((head, *frames)))
        self._created = True


def journal_path(output: Path) -> Path:
    """Return the path of the journal of an output."""
    return output.with_name(output.name + SUFFIX)


def read_journal(output: Path) -> tuple[dict[str, Any], list[FinishedFrame]]:
    """Return the facts and finished frames of an output; empty if its journal cannot be read."""
    try:
        journal = read_content(journal_path(output))
    except InputError:
        return {}, []
    return ({}, []) if journal.head is None else (journal.head["facts"], journal.frames)


def _has_content(output: Path) -> bool:
    """Return whether an output is a file or a folder that is not empty."""
    return any(output.iterdir()) if output.is_dir() else output.exists()


def _labels_match(frame: FinishedFrame, read: Callable[[int], NDArray[Any]]) -> bool:
    try:
        return labels_checksum(read(frame.index)) == frame.checksum
    except Exception:  # missing or incomplete: codecs raise exceptions of any type
        return False
