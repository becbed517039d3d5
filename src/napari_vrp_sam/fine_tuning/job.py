"""Fine-tuning jobs: a stack, its annotated frames, and the file to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.checks import check_annotations
from napari_vrp_sam.inference.job import Job

TrainableParts = Literal["head", "decoder", "vrp-encoder", "lora"]
"""Parts of a model to train:

- "head": a dense head, on a copy of the backbone of `lite` or on the frozen backbone of a probe
  model;
- "decoder": everything except the image encoder or backbone (not of probe models);
- "vrp-encoder": the VRP encoder only, as in the paper;
- "lora": as "decoder", and low-rank adapters in the image encoder (full-size models only).
"""

TRAINABLE_PARTS: tuple[TrainableParts, ...] = get_args(TrainableParts)

NO_LORA = (
    "LoRA adapts the image encoder of a full-size model, which 'lite' does not have: choose "
    "'decoder', or another model."
)
FOLDER_SUFFIX = ".fine-tuning"
JOB_FILE = "job.json"
"""Description of the job in the folder of an unfinished run."""


@dataclass(frozen=True, eq=False)
class FineTuneJob(Job):
    """Fine-tuning of a model. Submitted again, it resumes an interrupted run.

    Attributes
    ----------
    data : array
        The stack, as `Frames` takes it.
    references : sequence of Reference
        Annotations of any number of classes and frames.
    output, name, axes, channels, nodata, model, parts, minutes, steps, device, contrast_limits,
    seed
        See `fine_tune`.
    preview_frame : int, optional
        Index of a frame to segment before training and after each improvement; ignored for frames
        that are segmented in tiles.
    """

    handler: ClassVar[str] = "napari_vrp_sam.fine_tuning.run:fine_tune_events"
    data: Any
    _: KW_ONLY
    references: Sequence[Reference]
    output: Path
    name: str = ""
    axes: str | None = None
    channels: Sequence[int] | None = None
    nodata: float | None = None
    model: str | Path = "lite"
    parts: TrainableParts | None = None
    minutes: float | None = None
    steps: int | None = None
    device: str = "auto"
    contrast_limits: tuple[float, float] | None = None
    seed: int = 0
    preview_frame: int | None = None

    @property
    def folder(self) -> Path:
        """Folder of the checkpoints."""
        return self.output.with_name(self.output.name + FOLDER_SUFFIX)

    def check(self) -> None:
        """Check the job without loading anything.

        Raises
        ------
        InputError
            If it cannot be done.
        """
        frames = self.view()
        check_annotations(self.references, len(frames))
        if self.parts is not None and self.parts not in TRAINABLE_PARTS:
            choices = ", ".join(TRAINABLE_PARTS)
            raise InputError(f"Unknown parts '{self.parts}': choose one of {choices}.")
        if self.parts == "lora" and self.model == "lite":
            raise InputError(NO_LORA)
        if self.minutes is not None and self.steps is not None:
            raise InputError("Give either minutes or steps, not both.")
        if self.steps is not None and self.steps < 1:
            raise InputError(f"Cannot train for {self.steps} steps: give 1 or more.")
        if self.minutes is not None and not self.minutes > 0:
            raise InputError(f"Cannot train for {self.minutes:g} minutes: give more than 0.")
        if self.preview_frame is not None and not 0 <= self.preview_frame < len(frames):
            raise InputError(
                f"There is no frame {self.preview_frame}: choose one from 0 to {len(frames) - 1}."
            )
        if self.output.suffix != ".safetensors":
            raise InputError(
                f"Models are saved as .safetensors files: give '{self.output.name}' that suffix."
            )
        # The run itself recognises a file that it wrote before it was killed.
        if self.output.exists() and not (self.folder / JOB_FILE).is_file():
            raise InputError(f"{self.output} already exists: choose another name, or delete it.")
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(
                f"{self.folder} is not a folder: delete it, or choose another name for the model."
            )


def interrupted_runs(folder: str | Path) -> list[Path]:
    """Return the output files of the interrupted runs in a folder."""
    jobs = Path(folder).glob(f"*.safetensors{FOLDER_SUFFIX}/{JOB_FILE}")
    return sorted(path.parent.with_name(path.parent.name[: -len(FOLDER_SUFFIX)]) for path in jobs)
