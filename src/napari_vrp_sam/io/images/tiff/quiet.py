"""Opening of TIFF files: checked, and without messages on tags that do not matter here."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

import tifffile

_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


@contextmanager
def quiet_tifffile() -> Iterator[None]:
    """Drop the messages that tifffile logs within the context, in this thread only."""
    _install_filter()
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


@contextmanager
def open_tiff(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF file without the messages of tifffile.

    Raises
    ------
    ValueError
        If its pages refer to each other in a circle, which tifffile would follow for ever.
    """
    with quiet_tifffile(), tifffile.TiffFile(path) as file:
        _check_chain(file)
        yield file


def _check_chain(file: tifffile.TiffFile) -> None:
    tiff, handle = file.tiff, file.filehandle
    offset, seen = file.pages.first.offset, set[int]()
    while 0 < offset < handle.size:
        if offset in seen:
            raise ValueError("its pages refer to each other in a circle")
        seen.add(offset)
        handle.seek(offset)
        try:
            (tags,) = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))
            handle.seek(offset + tiff.tagnosize + tags * tiff.tagsize)
            (offset,) = struct.unpack(tiff.offsetformat, handle.read(tiff.offsetsize))
        except struct.error:  # the end of a damaged file, which tifffile reports
            return


@cache
def _install_filter() -> None:
    logging.getLogger("tifffile").addFilter(lambda _record: not _quiet.get())
