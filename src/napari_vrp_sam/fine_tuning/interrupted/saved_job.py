"""Saved jobs of interrupted runs, with their annotations but without the stack."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import exclusive, explain_write_errors, write_json
from napari_vrp_sam.fine_tuning.job import FOLDER_SUFFIX, JOB_FILE, FineTuneJob
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.io.sessions.references import StoredReference, read_references, write_references

REFERENCES = "references"


@contextmanager
def lock_run(folder: Path) -> Iterator[None]:
    """Lock a run until its process ends; raise `InputError` if another process has locked it."""
    stem = folder.name.removesuffix(FOLDER_SUFFIX).removesuffix(".safetensors")
    message = (
        f"'{stem}' is being fine-tuned in another window or process: wait until it ends, or choose "
        "another name."
    )
    with exclusive(folder, message):
        yield


def save_job(job: FineTuneJob, settings: Mapping[str, Any]) -> None:
    """Save a job, and its annotations if all of them are on frames of the stack.

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
    # The job file first: a folder without one is not recognised as a run.
    write_json(job.folder / JOB_FILE, record)
    folder = job.folder / REFERENCES
    entries = folder.with_suffix(".json")
    if entries.exists() or any(reference.frame is None for reference in job.references):
        return
    with explain_write_errors(folder):
        shutil.rmtree(folder, ignore_errors=True)
        stored = [StoredReference.of(reference) for reference in job.references]
        write_json(entries, write_references(folder, stored))


def load_job(output: Path, data: Any) -> FineTuneJob:
    """Load the job of an interrupted run.

    Parameters
    ----------
    output : Path
        Output file of the run; see `interrupted_runs`.
    data : array
        The stack.

    Raises
    ------
    InputError
        If the stack has another shape, or the saved job is damaged.
    """
    folder = FineTuneJob(data, references=(), output=output).folder
    try:
        record = json.loads((folder / JOB_FILE).read_text("utf-8"))
        settings = record["settings"]
        size, channels = settings["image"], settings["channels"]
        if size is not None and list(data.shape) != size:
            raise InputError(
                f"The fine-tuning of '{output.stem}' was started on an image of "
                f"{' x '.join(map(str, size))}, not {' x '.join(map(str, data.shape))}: choose "
                "that image, then resume."
            )
        nodata = float(settings["nodata"]) if "nodata" in settings else None
        frames = Frames(data, record["axes"], channels, nodata)
        entries = json.loads((folder / REFERENCES).with_suffix(".json").read_text("utf-8"))
        stored = read_references(folder / REFERENCES, entries)
        return FineTuneJob(
            data,
            references=[reference.on(frames[reference.frame]) for reference in stored],
            output=output,
            name=record["name"],
            axes=record["axes"],
            channels=channels,
            nodata=nodata,
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
            f"The saved fine-tuning of '{output.stem}' is damaged: discard it, and start again."
        ) from error
