"""Checkpoints of a run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.clock import TrainingPlan
from napari_vrp_sam.fine_tuning.job import JOB_FILE, FineTuneJob
from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.fine_tuning.tunable.candidate import Candidate
from napari_vrp_sam.inference.prediction.caches.feature_cache import annotations_digest, digest
from napari_vrp_sam.models.weights.checkpoints import read_checkpoint, write_checkpoint

CHECKPOINT = "checkpoint.safetensors"


@dataclass
class Scores:
    """Held-out IoU in the course of a run.

    Attributes
    ----------
    before, best : float
        IoU of the base model, and the best one so far.
    best_step : int
    since : int
        Number of validations since the best one.
    """

    before: float
    best: float
    best_step: int = 0
    since: int = 0


def run_settings(job: FineTuneJob, recipe: FineTuningRecipe, base: str) -> dict[str, Any]:
    """Return everything that the result depends on, with `base` the digest of the base model."""
    return {
        "annotations": annotations_digest(job.references).hex(),
        "image": list(map(int, job.data.shape)) if hasattr(job.data, "shape") else None,
        "channels": None if job.channels is None else list(job.channels),
        **({} if job.nodata is None else {"nodata": repr(job.nodata)}),
        "base model": base,
        "parts": job.parts,
        "minutes": job.minutes,
        "steps": job.steps,
        "limits": None if job.contrast_limits is None else list(job.contrast_limits),
        "seed": job.seed,
        "recipe": json.loads(json.dumps(asdict(recipe))),
    }


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Return a digest that is equal for runs with the same settings."""
    return digest(json.dumps(settings, sort_keys=True)).hex()


class Checkpoint:
    """Checkpoint in the folder of a run with the given settings.

    Raises
    ------
    InputError
        If the folder belongs to another run, or cannot be read.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self._folder = folder
        self._file = folder / CHECKPOINT
        job_file = folder / JOB_FILE
        if job_file.is_file():
            try:
                saved = json.loads(job_file.read_text("utf-8"))["settings"]
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise self._unreadable() from error
            differing = [name for name in settings if saved.get(name) != settings[name]]
            if differing:
                raise InputError(
                    f"The interrupted run in {folder} has different settings "
                    f"({', '.join(differing)}): use the same settings to resume it, delete that "
                    "folder, or choose another name."
                )
        elif folder.exists() and any(folder.iterdir()):
            raise InputError(
                f"{folder} contains files that are not part of a run: choose another name."
            )

    def save(
        self, plan: TrainingPlan, scores: Scores | None, candidates: Sequence[Candidate]
    ) -> None:
        """Write the complete state of a run, atomically.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        tensors = {
            f"{number}/{name}": tensor
            for number, candidate in enumerate(candidates)
            for name, tensor in candidate.state().items()
        }
        # Without the state of random generators: each step seeds its own.
        state = json.dumps({"plan": asdict(plan), "scores": scores and asdict(scores)})
        write_checkpoint(self._file, tensors, {"state": state})

    def load(self, candidates: Sequence[Candidate]) -> tuple[TrainingPlan, Scores | None] | None:
        """Restore the candidates, and return plan and scores; None without a checkpoint.

        Raises
        ------
        InputError
            If the checkpoint is damaged.
        """
        if not self._file.is_file():
            return None
        try:
            stored = read_checkpoint(self._file)
            state = json.loads(stored.metadata["state"])
            for number, candidate in enumerate(candidates):
                prefix = f"{number}/"
                candidate.load(
                    {
                        name.removeprefix(prefix): tensor
                        for name, tensor in stored.tensors.items()
                        if name.startswith(prefix)
                    }
                )
            scores = state["scores"]
            return TrainingPlan(**state["plan"]), scores and Scores(**scores)
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            raise self._unreadable() from error

    def remove(self) -> None:
        """Delete the folder of the run."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _unreadable(self) -> InputError:
        return InputError(f"The interrupted run in {self._folder} is damaged: delete that folder.")
