"""Suppression of the messages that tifffile logs about tags that do not matter here."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

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


@cache
def _install_filter() -> None:
    logging.getLogger("tifffile").addFilter(lambda _record: not _quiet.get())
