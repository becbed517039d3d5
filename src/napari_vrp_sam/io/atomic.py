"""Files that are there wholly or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_vrp_sam.errors import InputError


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file under a temporary name in its folder, which is made; rename it when it is done.

    Parameters
    ----------
    path : str or path
        The file to make or to replace.

    Yields
    ------
    Path
        Where to write; it has the suffix of `path`, by which writers choose a format.

    Raises
    ------
    InputError
        If the file cannot be written: no room, no permission. What stood there before stays.
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(target.suffix, f".{target.stem}-", target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        # mkstemp makes files private; the result gets the permissions that any new file gets.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{target} cannot be written: {reason}.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write JSON, indented, atomically; NaN is refused because JSON has none."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", "utf-8")
