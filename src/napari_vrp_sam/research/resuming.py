"""Runs that were broken off: where they lie, and whether they may go on."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import write_json

LAST = "last.ckpt"
"""Name of the checkpoint that a run goes on from."""


def weights_path(output: str | os.PathLike[str]) -> Path:
    """The weights file of a run; raises InputError if its suffix is another one."""
    path = Path(output)
    if path.suffix != ".safetensors":
        raise InputError(f"Weights are written as .safetensors, not as '{path.name}'.")
    return path


def folder_of(output: Path) -> Path:
    """Where checkpoints and the log of a run lie: beside its weights file."""
    return output.with_name(output.name + ".training")


def checkpoint_of(
    folder: Path, settings: Mapping[str, Any], *, unsaid: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """The checkpoint that an earlier run left; without one the settings are written down.

    Parameters
    ----------
    folder : Path
        Of the run.
    settings : mapping of str to JSON
        What both must share.
    unsaid : mapping of str to JSON, optional
        Of runs whose settings were written before these were any.

    Raises
    ------
    InputError
        If the run there has other settings, or cannot be read or written.
    """
    record, last = folder / "settings.json", folder / LAST
    if not last.is_file():
        write_json(record, settings)
        return None
    try:
        begun = json.loads(record.read_text("utf-8")) if record.is_file() else settings
        begun = {**(unsaid or {}), **begun}
        checkpoint: dict[str, Any] = torch.load(last, map_location="cpu", weights_only=True)
    except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(f"The run in {folder} cannot be read: delete that folder.") from error
    differing = [name for name in settings if begun.get(name) != settings[name]]
    if differing:
        raise InputError(
            f"{folder} holds a run with another {' and '.join(differing)}: "
            "resume it with the same, or name another output."
        )
    return checkpoint
