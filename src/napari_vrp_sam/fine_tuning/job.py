"""What there is to do: a stack, its annotated frames, and the file to write.

This module stays light: torch is imported where the work is done, never by whoever submits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.checks import check_annotations
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.job import Job

TrainableParts = Literal["head", "decoder", "vrp-encoder", "lora"]
"""What learns: a dense head on a copy of the backbone of `lite`; all but the backbone; the VRP
encoder alone, as in the paper; low-rank additions to the image encoder of a full-size model as
well."""

TRAINABLE_PARTS: tuple[TrainableParts, ...] = get_args(TrainableParts)

FOLDER_SUFFIX = ".fine-tuning"
JOB_FILE = "job.json"
"""In the folder of a run that is under way: what it does, by which it is known again."""


@dataclass(frozen=True, eq=False)
class FineTuneJob(Job):
    """One fine-tuning.

    The same job again goes on where an earlier one was broken off.

    Attributes
    ----------
    data : array
        The stack, as `Frames` takes it.
    references : sequence of Reference
        Of any number of classes and frames.
    output : Path
        The `.safetensors` file to write. Until then checkpoints lie in the folder beside it that
        is named like it with `.fine-tuning` added.
    name : str
        Of the model, on its card; that of the file unless given.
    axes : str, optional
        One letter of T, Z, C, Y, X, S for each axis of the data.
    channels : sequence of int, optional
    model : str or Path
        The base model: a name or a file.
    parts : {"head", "decoder", "vrp-encoder", "lora"}, optional
        What learns; a head for `lite` and the decoder of other models, unless given.
    minutes : float, optional
        Time to train; 3 on a CPU and 1 on a GPU, unless it or `steps` is given.
    steps : int, optional
        Steps instead of minutes: on a CPU the same job gives the same file, to the bit.
    device : str
    contrast_limits : tuple of float, optional
        Intensities that become 0 and 1; percentiles of the stack unless given.
    seed : int
        Of crops, turns and dropout.
    preview_frame : int, optional
        The frame to compare, before and after; not done where frames are segmented in tiles.
    """

    handler: ClassVar[str] = "napari_vrp_sam.fine_tuning.run:fine_tune_events"
    data: Any
    _: KW_ONLY
    references: Sequence[Reference]
    output: Path
    name: str = ""
    axes: str | None = None
    channels: Sequence[int] | None = None
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
        """Where checkpoints lie while the job is not done."""
        output = Path(self.output)
        return output.with_name(output.name + FOLDER_SUFFIX)

    def check(self) -> None:
        """See whether the job can be done, without loading anything.

        Raises
        ------
        InputError
            If it cannot, with one sentence on what to mend.
        """
        frames = Frames(self.data, self.axes, self.channels)
        check_annotations(self.references, len(frames))
        if self.parts is not None and self.parts not in TRAINABLE_PARTS:
            raise InputError(f"Unknown parts '{self.parts}': choose one of {', '.join(TRAINABLE_PARTS)}.")
        if self.parts == "lora" and self.model == "lite":
            raise InputError(
                "LoRA changes the image encoder of a full-size model, and 'lite' has none: choose "
                "'decoder', or another model."
            )
        if self.minutes is not None and self.steps is not None:
            raise InputError("Give either minutes or steps, not both.")
        if not (self.steps is None or self.steps >= 1):
            raise InputError(f"{self.steps} steps teach nothing: give 1 or more.")
        if not (self.minutes is None or self.minutes > 0):
            raise InputError(f"{self.minutes:g} minutes teach nothing: give more than 0.")
        if self.preview_frame is not None and not 0 <= self.preview_frame < len(frames):
            raise InputError(
                f"There is no frame {self.preview_frame}: the stack has {len(frames)}, from 0."
            )
        output = Path(self.output)
        if output.suffix != ".safetensors":
            raise InputError(f"Models are written as .safetensors, not as '{output.name}'.")
        # What this run wrote itself, before it was killed, is told apart where the run begins.
        if output.exists() and not (self.folder / JOB_FILE).is_file():
            raise InputError(f"{output} is there already: choose another name, or delete it first.")
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder} is in the way: delete it, or choose another name.")


def interrupted_runs(folder: str | Path) -> list[Path]:
    """Outputs in a folder whose runs were broken off and can be gone on with."""
    places = Path(folder).glob(f"*.safetensors{FOLDER_SUFFIX}/{JOB_FILE}")
    return sorted(path.parent.with_name(path.parent.name[: -len(FOLDER_SUFFIX)]) for path in places)
