"""A whole stack segmented by annotations: `segment_stack`, and the generator beneath it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import (
    check_class_count,
    check_labels_dtype,
    labels_in,
    references_from_labels,
)
from napari_vrp_sam.annotations.reference import AnnotationKind, Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.job import Job, Order, normalisation_of, plan

if TYPE_CHECKING:
    from napari_vrp_sam.inference.memory import Memory
    from napari_vrp_sam.models.choice import Choice
    from napari_vrp_sam.models.pseudo_mask import PseudoMaskKind
    from napari_vrp_sam.models.types import Model


def segment_stack(
    stack: Any,
    annotations: Any,
    *,
    axes: str | None = None,
    channels: Sequence[int] | None = None,
    frame: int | Sequence[int] | None = None,
    kind: AnnotationKind = "mask",
    model: str | Path | Model = "lite",
    device: str = "auto",
    frames: tuple[int | None, int | None] | None = None,
    limits: tuple[float, float] | None = None,
    pseudo_mask: PseudoMaskKind | None = None,
    tile: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[Any]:
    """Segment a class on every frame of a stack after annotating it on one.

    Parameters
    ----------
    stack : array
        NumPy, dask, zarr or xarray; frames are read one by one.
    annotations : integer array or sequence of Reference
        Label image of the stack (every frame with a non-zero label is a reference) or of one
        frame; the label value is the class. Or references that were made before.
    axes : str, optional
        One letter of T, Z, C, Y, X, S for each axis of `stack`, e.g. "TZYX"; guessed unless given.
    channels : sequence of int, optional
        Channels to use; all unless given, of which the first three count.
    frame : int or sequence of int, optional
        The annotated frame: its index, or its position along the leading axes, from 0.
    kind : {"mask", "scribble", "box", "point"}
        How a label image was drawn; "scribble" tells that unmarked pixels are unknown.
    model : str, Path or Model
        Name of a model, a file, or what `load_model` returned.
    device : str
        "cpu", "cuda", "mps", or "auto" for the fastest one that is there.
    frames : tuple of int, optional
        Segment only frames from the first number up to, not including, the second; others stay 0.
    limits : tuple of float, optional
        Intensities that become black and white; percentiles of the stack unless given.
    pseudo_mask : {"probe", "correlation"}, optional
        How the first guess of a target is made, see `load_model`; a loaded model keeps its own way.
    tile : int, optional
        Longest side in pixels that is seen at once, 2048 unless given; larger frames are segmented
        in overlapping tiles.
    progress : callable, optional
        Called with (frames done, frames to do).

    Returns
    -------
    ndarray, shape of the leading axes + (Y, X)
        Class of each pixel in the smallest unsigned dtype, 0 is background.

    Raises
    ------
    InputError
        If stack and annotations cannot be used together; the sentence says what to mend.

    Examples
    --------
    >>> labels = segment_stack(stack, annotation, frame=12)  # doctest: +SKIP
    """
    view = Frames(stack, axes, channels)
    job = Job(
        stack,
        references=gather_references(view, annotations, frame=frame, kind=kind),
        axes=view.axes,
        channels=channels,
        model=model,
        device=device,
        frames=frames,
        limits=limits,
        pseudo_mask=pseudo_mask,
        tile=tile,
    )
    total = len(plan(job)[1])
    highest = max(reference.class_id for reference in job.references)
    labels = np.zeros(view.label_shape, dtype=np.min_scalar_type(highest))
    for done, (index, frame_labels, _) in enumerate(_segment(job), start=1):
        labels[view.position(index)] = frame_labels
        if progress:
            progress(done, total)
    return labels


def iter_segment(
    job: Job,
    *,
    order: Order = "nearest",
    report: Callable[[str], None] | None = None,
    learned: Callable[[dict[int, Choice]], None] | None = None,
    memory: Memory | None = None,
) -> Generator[tuple[int, NDArray[Any], NDArray[np.float32]]]:
    """Segment the frames of a job one by one; stop at any time by leaving the loop.

    Parameters
    ----------
    job : Job
    order : {"nearest", "sequential"}
        Frames nearest to an annotated one first, or as the stack goes.
    report : callable, optional
        Told in words what is being done before the first frame comes.
    learned : callable, optional
        Told how the result of each class will be put together and what to expect of it, before the
        first frame comes.
    memory : Memory, optional
        Of earlier jobs: what they loaded, learned and encoded is not done again.

    Yields
    ------
    index : int
        Of the frame, counted along the flattened leading axes.
    labels : ndarray, shape (Y, X)
        Class of each pixel, smallest unsigned dtype.
    probabilities : ndarray, shape (K, Y, X), float32
        Of each class, ascending.

    Raises
    ------
    InputError
        If the job cannot be done as it stands.
    """
    results = _segment(
        job, order=order, report=report, learned=learned, memory=memory, probabilities=True
    )
    # Closed with this one: a thread may be reading ahead.
    with closing(results):
        for index, labels, found in results:
            assert found is not None
            yield index, labels, found


def _segment(
    job: Job,
    *,
    order: Order = "nearest",
    report: Callable[[str], None] | None = None,
    learned: Callable[[dict[int, Choice]], None] | None = None,
    memory: Memory | None = None,
    probabilities: bool = False,
) -> Generator[tuple[int, NDArray[Any], NDArray[np.float32] | None]]:
    """`iter_segment`, also without probabilities: on a GPU they are most of what comes back."""
    frames, indices = plan(job, order)
    report = report or (lambda _: None)
    report("Loading the model")
    # torch takes seconds to import: not before the job is known to make sense.
    from napari_vrp_sam.inference.memory import load_predictor

    predictor = memory.predictor(job, report) if memory else load_predictor(job, report)
    report("Sampling intensities")
    normalisation = normalisation_of(job, frames)
    report("Learning from the annotations")
    predictor.set_references(job.references, normalisation)
    if learned:
        learned(predictor.choices)
    report("Segmenting")
    wanted = (frames[index] for index in indices)
    with closing(predictor.predict_stream(wanted, probabilities=probabilities)) as results:
        for index, (labels, found) in zip(indices, results, strict=True):
            yield index, labels, found


def gather_references(
    frames: Frames,
    annotations: Any,
    *,
    frame: int | Sequence[int] | None = None,
    kind: AnnotationKind = "mask",
) -> list[Reference]:
    """References out of whatever annotates a stack.

    Parameters
    ----------
    frames : Frames
        The annotated stack.
    annotations : integer array or sequence of Reference
        Labels of the stack's `label_shape` or of one frame; frame by frame if lazy.
    frame : int or sequence of int, optional
        The annotated frame; of a label stack, the only one to use.
    kind : {"mask", "scribble", "box", "point"}

    Returns
    -------
    list of Reference
        One for each annotated frame and class.

    Raises
    ------
    InputError
        If nothing is annotated, the labels do not lie on the stack, or they number objects.
    """
    if isinstance(annotations, Reference):
        return [annotations]
    if isinstance(annotations, Sequence) and all(isinstance(r, Reference) for r in annotations):
        return list(annotations)
    labels = annotations if hasattr(annotations, "dtype") else np.asarray(annotations)
    check_labels_dtype(labels)
    shape = tuple(labels.shape)
    one_frame = shape[-2:] == frames.frame_shape and np.prod(shape[:-2]) == 1
    if not one_frame and shape != frames.label_shape:
        raise InputError(
            f"The labels have the shape {shape}, the image needs {frames.label_shape}, "
            f"or {frames.frame_shape} for one frame."
        )
    chosen = _frame_index(frames, frame)
    if one_frame and chosen is None and len(frames) > 1:
        raise InputError(
            f"The labels show one frame, the stack has {len(frames)}: say which one was annotated "
            "(`frame`, on the command line --frame)."
        )
    drawn: dict[int, NDArray[Any]] = {}
    class_ids: set[int] = set()
    for index in range(len(frames)) if chosen is None else (chosen,):
        plane = np.asarray(labels[(0,) * (len(shape) - 2) if one_frame else frames.position(index)])
        if plane.any():
            drawn[index] = plane
            # Before any mask is made: masks of many objects on many frames would fill the memory.
            class_ids |= labels_in(plane)
            check_class_count(class_ids)
    if not drawn:
        raise InputError(
            "There is no annotation: mark a class with a label of 1 or more on at least one frame."
        )
    return [
        reference
        for index, plane in drawn.items()
        for reference in references_from_labels(plane, frames[index], kind=kind, frame=index)
    ]


def _frame_index(frames: Frames, frame: int | Sequence[int] | None) -> int | None:
    if frame is None:
        return None
    if isinstance(frame, Sequence):
        return frames.index(frame)
    if not 0 <= frame < len(frames):
        raise InputError(
            f"There is no frame {frame}: the stack has {len(frames)}, counted from 0, as its shape "
            f"{frames.shape} is read as {frames.axes}."
        )
    return int(frame)
