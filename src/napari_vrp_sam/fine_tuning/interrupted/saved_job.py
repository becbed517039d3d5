"""What a run leaves behind to be gone on with when nothing else is left of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import write_json
from napari_vrp_sam.fine_tuning.job import JOB_FILE, FineTuneJob
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.io.sessions.references import StoredReference, read_references, write_references

REFERENCES = "references"


def save_job(job: FineTuneJob, settings: Mapping[str, Any]) -> None:
    """Write down what a job does, with its annotations where they lie on the stack.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    record = {
        "settings": settings,
        "name": job.name,
        "model": str(job.model),
        "device": job.device,
        "axes": job.axes,
    }
    # The record first: a folder without one is taken for somebody else's.
    write_json(job.folder / JOB_FILE, record)
    folder = job.folder / REFERENCES
    entries = folder.with_suffix(".json")
    if entries.exists() or any(reference.frame is None for reference in job.references):
        return
    try:
        shutil.rmtree(folder, ignore_errors=True)
        stored = [StoredReference.of(reference) for reference in job.references]
        write_json(entries, write_references(folder, stored))
    except OSError as error:
        raise InputError(f"Cannot write {folder}: {error.strerror or error}.") from error


def load_job(output: Path, data: Any) -> FineTuneJob:
    """The job of a run that was broken off, on the same stack.

    Parameters
    ----------
    output : Path
        One of `interrupted_runs`.
    data : array
        The stack, which is not kept.

    Raises
    ------
    InputError
        If the stack is another one, or what was kept is damaged.
    """
    folder = FineTuneJob(data, references=(), output=output).folder
    try:
        record = json.loads((folder / JOB_FILE).read_text("utf-8"))
        settings = record["settings"]
        size, channels = settings["image"], settings["channels"]
        if size is not None and list(data.shape) != size:
            raise InputError(
                f"The run of '{output.stem}' is about an image of {' x '.join(map(str, size))}, "
                f"not {' x '.join(map(str, data.shape))}: choose that image, then resume."
            )
        frames = Frames(data, record["axes"], channels)
        entries = json.loads((folder / REFERENCES).with_suffix(".json").read_text("utf-8"))
        stored = read_references(folder / REFERENCES, entries)
        return FineTuneJob(
            data,
            references=[reference.on(frames[reference.frame]) for reference in stored],
            output=output,
            name=record["name"],
            axes=record["axes"],
            channels=channels,
            model=record["model"],
            parts=settings["parts"],
            minutes=settings["minutes"],
            steps=settings["steps"],
            device=record["device"],
            contrast_limits=None if settings["limits"] is None else tuple(settings["limits"]),
            seed=settings["seed"],
        )
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"The run of '{output.stem}' cannot be read: discard it, and begin anew."
        ) from error
