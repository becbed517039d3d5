"""The file that comes out, and its card."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import napari_vrp_sam
from napari_vrp_sam.annotations.labels import class_ids_of
from napari_vrp_sam.fine_tuning.events import FineTuningResult
from napari_vrp_sam.fine_tuning.job import FineTuneJob
from napari_vrp_sam.fine_tuning.tunable.base import TunableModel
from napari_vrp_sam.models.weights.checkpoints import read_checkpoint, write_checkpoint


def model_card(
    job: FineTuneJob,
    subject: TunableModel,
    settings: Mapping[str, Any],
    run: str,
    facts: dict[str, Any],
) -> dict[str, str]:
    """What the header of the file says.

    Parameters
    ----------
    job : FineTuneJob
    subject : TunableModel
    settings : mapping
        See `checkpoint.settings_of`.
    run : str
        Digest of the settings, by which a run knows its own file.
    facts : dict
        Measured: `iou_before`, `iou_after`, `steps`, `best_step`, `seconds`, `device`.
    """
    packages = {
        "napari-vrp-sam": napari_vrp_sam.__version__,
        "torch": metadata.version("torch"),
        "python": platform.python_version(),
    }
    trained = {**settings, **{key: facts[key] for key in ("best_step", "seconds", "device")}}
    trained["steps"] = facts["steps"]
    del trained["annotations"], trained["base model"]
    return {
        **subject.card(),
        "name": job.name or Path(job.output).stem,
        "base_model": str(job.model),
        "base_sha256": settings["base model"],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "fine_tuning_data": json.dumps(_data(job)),
        "fine_tuning": json.dumps(trained),
        "metrics": json.dumps(
            {
                "held_out_iou_before": round(facts["iou_before"], 4),
                "held_out_iou_after": round(facts["iou_after"], 4),
            }
        ),
        "versions": json.dumps(packages),
        "run": run,
    }


def _data(job: FineTuneJob) -> dict[str, Any]:
    references = job.references
    frames = {r.frame if r.frame is not None else id(r) for r in references}
    return {
        "frames": len(frames),
        "sizes": sorted({f"{r.mask.shape[0]} x {r.mask.shape[1]}" for r in references}),
        "channels": int(references[0].image.shape[2]),
        "classes": list(class_ids_of(references)),
        "kinds": sorted({r.kind for r in references}),
        "dtype": str(references[0].image.dtype),
        "normalisation": "percentiles"
        if job.contrast_limits is None
        else list(job.contrast_limits),
    }


def write_result(path: Path, subject: TunableModel, card: Mapping[str, str]) -> None:
    """Write the model with the weights that it has now.

    Raises
    ------
    InputError
        If it cannot be written; what was there stays.
    """
    write_checkpoint(path, subject.tensors(), card)


def read_result(path: Path, run: str) -> FineTuningResult | None:
    """What a run tells whose file is there already; None if the file is another's."""
    card = read_checkpoint(path).metadata
    if card.get("run") != run:
        return None
    metrics = json.loads(card["metrics"])
    return FineTuningResult(path, metrics["held_out_iou_before"], metrics["held_out_iou_after"])
