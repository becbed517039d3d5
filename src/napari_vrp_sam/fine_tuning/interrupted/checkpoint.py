"""What a broken-off run goes on from."""

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
from napari_vrp_sam.inference.prediction.feature_cache import annotations_digest, digest
from napari_vrp_sam.models.weights.checkpoints import read_checkpoint, write_checkpoint

CHECKPOINT = "checkpoint.safetensors"


@dataclass
class Scores:
    """IoU on what is held out.

    Attributes
    ----------
    before, best : float
        Of the base model, and the highest until now.
    best_step : int
    since : int
        Validations since the best one.
    """

    before: float
    best: float
    best_step: int = 0
    since: int = 0


def run_settings(job: FineTuneJob, recipe: FineTuningRecipe, base: str) -> dict[str, Any]:
    """Whatever the result depends on, by names that a user knows.

    Parameters
    ----------
    job : FineTuneJob
    recipe : FineTuningRecipe
    base : str
        Digest of the base model.
    """
    return {
        "annotations": annotations_digest(job.references).hex(),
        "image": list(map(int, job.data.shape)) if hasattr(job.data, "shape") else None,
        "channels": None if job.channels is None else list(job.channels),
        "base model": base,
        "parts": job.parts,
        "minutes": job.minutes,
        "steps": job.steps,
        "limits": None if job.contrast_limits is None else list(job.contrast_limits),
        "seed": job.seed,
        "recipe": json.loads(json.dumps(asdict(recipe))),
    }


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Equal for runs that do the same."""
    return digest(json.dumps(settings, sort_keys=True)).hex()


class Checkpoint:
    """The folder of a run.

    Parameters
    ----------
    folder : Path
    settings : dict
        See `run_settings`.

    Raises
    ------
    InputError
        If the folder holds another run, or cannot be written.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self._folder = folder
        self._file = folder / CHECKPOINT
        record = folder / JOB_FILE
        if record.is_file():
            try:
                begun = json.loads(record.read_text("utf-8"))["settings"]
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"The run in {folder} cannot be read: delete that folder."
                ) from error
            differing = [name for name in settings if begun.get(name) != settings[name]]
            if differing:
                raise InputError(
                    f"{folder} holds a run with another {' and '.join(differing)}: go on with the "
                    "same, delete that folder, or choose another name."
                )
        elif folder.exists() and any(folder.iterdir()):
            raise InputError(f"{folder} is no run of ours: choose another name.")

    def save(self, plan: TrainingPlan, scores: Scores, candidates: Sequence[Candidate]) -> None:
        """Write all that is needed to go on; the last checkpoint stays until this one is whole.

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
        # No random state: everything random is drawn anew for each step, from the seed and its
        # number.
        state = json.dumps({"plan": asdict(plan), "scores": asdict(scores)})
        write_checkpoint(self._file, tensors, {"state": state})

    def load(self, candidates: Sequence[Candidate]) -> tuple[TrainingPlan, Scores] | None:
        """Take up where the last checkpoint was made; None if there is none.

        Raises
        ------
        InputError
            If it is damaged.
        """
        if not self._file.is_file():
            return None
        try:
            stored = read_checkpoint(self._file)
            state = json.loads(stored.metadata["state"])
            for number, candidate in enumerate(candidates):
                start = f"{number}/"
                candidate.load(
                    {
                        name.removeprefix(start): tensor
                        for name, tensor in stored.tensors.items()
                        if name.startswith(start)
                    }
                )
            return TrainingPlan(**state["plan"]), Scores(**state["scores"])
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            raise InputError(
                f"The run in {self._folder} cannot be read: delete that folder."
            ) from error

    def remove(self) -> None:
        """Forget the run."""
        shutil.rmtree(self._folder, ignore_errors=True)
