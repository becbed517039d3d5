"""Checkpoints of interrupted training runs."""

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

LAST_CHECKPOINT = "last.ckpt"
"""Name of the checkpoint from which a run is resumed."""


def weights_path(output: str | os.PathLike[str]) -> Path:
    """Return the path of the weights file; raise InputError if its suffix is wrong."""
    path = Path(output)
    if path.suffix != ".safetensors":
        raise InputError(f"Weights are written as .safetensors, not as '{path.name}'.")
    return path


def training_folder(output: Path) -> Path:
    """Return the folder, beside the weights file, for checkpoints and the log of a run."""
    return output.with_name(output.name + ".training")


def resume_checkpoint(
    folder: Path, settings: Mapping[str, Any], *, defaults: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """Read the last checkpoint of a run; if there is none, write the settings of a new run.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    settings : mapping of str to JSON
        Settings that must not change when the run is resumed.
    defaults : mapping of str to JSON, optional
        Values of settings that earlier versions did not write.

    Raises
    ------
    InputError
        If the folder holds a run with other settings, or cannot be read or written.
    """
    record, last = folder / "settings.json", folder / LAST_CHECKPOINT
    if not last.is_file():
        write_json(record, settings)
        return None
    try:
        saved = json.loads(record.read_text("utf-8")) if record.is_file() else settings
        saved = {**(defaults or {}), **saved}
        checkpoint: dict[str, Any] = torch.load(last, map_location="cpu", weights_only=True)
    except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(f"The run in {folder} cannot be read: delete that folder.") from error
    different = [name for name in settings if saved.get(name) != settings[name]]
    if different:
        raise InputError(
            f"{folder} contains a run with different {' and '.join(different)}: "
            "resume it with the same settings, or choose another output."
        )
    return checkpoint
