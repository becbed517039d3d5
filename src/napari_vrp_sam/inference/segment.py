"""`segment_stack`: a whole stack segmented in one call."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_vrp_sam.annotations.reference import AnnotationKind
from napari_vrp_sam.deprecation import renamed_arguments
from napari_vrp_sam.inference.segmentation import ProgressCallback
from napari_vrp_sam.inference.segmenter import Segmenter

if TYPE_CHECKING:
    from napari_vrp_sam.models.base import Model
    from napari_vrp_sam.models.precision import Precision
    from napari_vrp_sam.models.sam.prompting import Prompting
    from napari_vrp_sam.models.vrp.pseudo_mask import PseudoMaskKind


@renamed_arguments(
    annotations="annotation",
    frame="reference_frame",
    kind="annotation_kind",
    limits="contrast_limits",
    tile="tile_size",
)
def segment_stack(
    stack: Any,
    annotation: Any,
    *,
    axes: str | Sequence[str] | None = None,
    channels: Sequence[int] | slice | int | None = None,
    nodata: float | None = None,
    reference_frame: int | Sequence[int] | None = None,
    annotation_kind: AnnotationKind | None = None,
    background: int | None = None,
    ignore: int | None = None,
    one_class: bool | None = None,
    class_column: str | None = None,
    model: str | Path | Model = "lite",
    device: str = "auto",
    precision: Precision = "auto",
    compile: bool = False,
    frames: tuple[int | None, int | None] | range | slice | None = None,
    accepted: Collection[int] = (),
    contrast_limits: tuple[float, float] | None = None,
    tile_size: int | None = None,
    pseudo_mask: PseudoMaskKind | None = None,
    prompting: Prompting | None = None,
    cache: bool | None = None,
    effort: float = 1.0,
    neighbours: bool = True,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: ProgressCallback | None = None,
) -> Any:
    """Segment a class on every frame of a stack after annotating it on one.

    Short for ``Segmenter(...).fit(stack, annotation, ...).predict(stack, ...).labels``. Use a
    `Segmenter` to get the confidence and the probabilities too.

    Parameters
    ----------
    stack : array or path
        NumPy, dask, zarr or xarray array, PyTorch tensor, list of arrays, or path of an image;
        frames are read one by one.
    annotation : integer array, path, or sequence of Reference
        Label image of the stack (every frame with a label is a reference) or of one frame; the
        label value is the class. Or a file of another program; see `Segmenter.fit`.
    axes, channels, nodata, reference_frame, annotation_kind, background, ignore
        See `Segmenter.fit`.
    one_class, class_column
        See `Segmenter.fit`.
    model, device, precision, compile, contrast_limits, tile_size, pseudo_mask, prompting, cache
        See `Segmenter`.
    effort, neighbours
        See `Segmenter`.
    frames, accepted, output, resume, overwrite, workers, scheduler, progress
        See `Segmenter.predict`.

    Returns
    -------
    array, shape of the leading axes + (Y, X)
        Class of each pixel, 0 for background, in the smallest unsigned dtype; read lazily from
        `output` if that is given.

    Raises
    ------
    InputError
        If stack and annotation do not match; the message says how to fix it.

    Examples
    --------
    >>> from napari_vrp_sam.io.samples import sample_stack
    >>> stack, truth = sample_stack(seed=0, size=96, frames=3)
    >>> labels = segment_stack(stack, truth[1], axes="ZYX", reference_frame=1, device="cpu")
    >>> labels.shape, int(labels.max())
    ((3, 96, 96), 1)
    """
    segmenter = Segmenter(
        model,
        device=device,
        precision=precision,
        compile=compile,
        contrast_limits=contrast_limits,
        tile_size=tile_size,
        pseudo_mask=pseudo_mask,
        prompting=prompting,
        cache=cache,
        effort=effort,
        neighbours=neighbours,
    )
    segmenter.fit(
        stack,
        annotation,
        axes=axes,
        channels=channels,
        nodata=nodata,
        reference_frame=reference_frame,
        annotation_kind=annotation_kind,
        background=background,
        ignore=ignore,
        one_class=one_class,
        class_column=class_column,
    )
    return segmenter.predict(
        stack,
        frames=frames,
        accepted=accepted,
        output=output,
        resume=resume,
        overwrite=overwrite,
        workers=workers,
        scheduler=scheduler,
        progress=progress,
    ).labels
