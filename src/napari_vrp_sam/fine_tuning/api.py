"""`fine_tune`: a fine-tuning in one call."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_vrp_sam.annotations.reference import AnnotationKind
from napari_vrp_sam.fine_tuning.events import FineTuningResult
from napari_vrp_sam.fine_tuning.job import FineTuneJob, TrainableParts
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.references import gather_references
from napari_vrp_sam.inference.runs.control import Control
from napari_vrp_sam.inference.runs.events import Event


def fine_tune(
    stack: Any,
    annotations: Any,
    output: str | os.PathLike[str],
    *,
    axes: str | None = None,
    channels: Sequence[int] | None = None,
    frame: int | Sequence[int] | None = None,
    kind: AnnotationKind = "mask",
    model: str | Path = "lite",
    parts: TrainableParts | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    device: str = "auto",
    contrast_limits: tuple[float, float] | None = None,
    name: str = "",
    seed: int = 0,
    progress: Callable[[Event], None] | None = None,
) -> FineTuningResult:
    """Let a model learn from one to a few annotated frames.

    A part of the annotation is held out to see whether the model gets better, and a file is
    written only if it does. The same call again goes on where an earlier one was broken off.

    Parameters
    ----------
    stack : array
        NumPy, dask, zarr or xarray.
    annotations : integer array or sequence of Reference
        As `segment_stack` takes them. References may show images of different sizes.
    output : path-like
        The `.safetensors` file to write. Until it is there, checkpoints lie in the folder beside it
        that is named like it with `.fine-tuning` added.
    axes : str, optional
        One letter of T, Z, C, Y, X, S for each axis of `stack`, e.g. "TZYX"; guessed unless given.
    channels : sequence of int, optional
        Channels to use; all unless given, of which the first three count.
    frame : int or sequence of int, optional
        The annotated frame: its index, or its position along the leading axes, from 0.
    kind : {"mask", "scribble", "box", "point"}
        How a label image was drawn; "scribble" tells that unmarked pixels are unknown.
    model : str or Path
        The base model: a name or a file.
    parts : {"head", "decoder", "vrp-encoder", "lora"}, optional
        What learns: a dense head on a copy of the backbone, for `lite` unless given; all but the
        backbone; the VRP encoder alone, as in the paper; or low-rank additions to the image encoder
        of a full-size model as well.
    minutes : float, optional
        Time to train; 3 on a CPU and 1 on a GPU, unless it or `steps` is given.
    steps : int, optional
        Steps instead of minutes: on a CPU the same call gives the same weights, to the bit.
    device : str
        "cpu", "cuda", "mps", or "auto" for the fastest one that is there.
    contrast_limits : tuple of float, optional
        Intensities that become black and white; percentiles of the stack unless given.
    name : str
        Of the model, on its card; that of the file unless given.
    seed : int
        Of crops, turns and dropout.
    progress : callable, optional
        Called with every event; see `training.fine_tuning.events`.

    Returns
    -------
    FineTuned
        The file, or None where the model got no better, and the IoU on what was held out, before
        and after.

    Raises
    ------
    InputError
        If it cannot be done as it stands; the sentence says what to mend.

    Examples
    --------
    >>> tuned = fine_tune(stack, labels, "own.safetensors", frame=12)  # doctest: +SKIP
    >>> segment_stack(stack, labels, frame=12, model=tuned.path or "lite")  # doctest: +SKIP
    """
    view = Frames(stack, axes, channels)
    job = FineTuneJob(
        stack,
        references=gather_references(view, annotations, frame=frame, kind=kind),
        output=Path(output),
        name=name,
        axes=view.axes,
        channels=channels,
        model=model,
        parts=parts,
        minutes=minutes,
        steps=steps,
        device=device,
        contrast_limits=contrast_limits,
        seed=seed,
    )
    result = None
    for event in job.events(Control(), None):
        if progress:
            progress(event)
        if isinstance(event, FineTuningResult):
            result = event
    assert result is not None  # it is what every run ends with
    return result
