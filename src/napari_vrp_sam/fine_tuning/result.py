"""File and model card of a fine-tuned model."""

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
from napari_vrp_sam.models.weights.checkpoints import read_checkpoint


def model_card(
    job: FineTuneJob, settings: Mapping[str, Any], run: str, measured: dict[str, Any]
) -> dict[str, str]:
    """Return the entries of the model card about the fine-tuning.

    A resumed run recognises its own file by `run`, the digest of its settings. `measured` has the
    keys `iou_before`, `iou_after`, `steps`, `best_step`, `seconds`, `device`, `ended_by` and
    `improving`.
    """
    training = {**settings, **measured}
    for key in ("annotations", "base model", "iou_before", "iou_after"):
        del training[key]
    metrics = {f"held_out_{key}": round(measured[key], 4) for key in ("iou_before", "iou_after")}
    packages = {
        "napari-vrp-sam": napari_vrp_sam.__version__,
        "torch": metadata.version("torch"),
        "python": platform.python_version(),
    }
    return {
        "name": job.name or job.output.stem,
        "base_model": str(job.model),
        "base_sha256": settings["base model"],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "fine_tuning_data": json.dumps(_describe_data(job)),
        "fine_tuning": json.dumps(training),
        "metrics": json.dumps(metrics),
        "versions": json.dumps(packages),
        "run": run,
    }


def _describe_data(job: FineTuneJob) -> dict[str, Any]:
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


def read_result(path: Path, run: str) -> FineTuningResult | None:
    """Return the result of a run from the file that it wrote; None if another run wrote it."""
    card = read_checkpoint(path).metadata
    if card.get("run") != run:
        return None
    metrics, training = json.loads(card["metrics"]), json.loads(card["fine_tuning"])
    return FineTuningResult(
        path,
        metrics["held_out_iou_before"],
        metrics["held_out_iou_after"],
        training["steps"],
        training["ended_by"],
        training["improving"],
    )
