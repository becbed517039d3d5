"""Prediction with a fitted `Segmenter`: arrays, files, frame by frame, and many files."""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.arguments import as_array, as_frame_range, as_indices
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.opening import open_stack
from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache
from napari_vrp_sam.inference.runs.events import FrameResult
from napari_vrp_sam.inference.runs.files.dispatch import job_events, segment_to
from napari_vrp_sam.inference.runs.files.file_result import (
    FileResult,
    gather_results,
    summary_path,
)
from napari_vrp_sam.inference.runs.files.output import RunOutput
from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
from napari_vrp_sam.inference.segmentation import (
    ProgressCallback,
    Segmentation,
    gather_segmentation,
)
from napari_vrp_sam.inference.segmenter_file import SHARED_SETTINGS
from napari_vrp_sam.io.axes import parse_axes

if TYPE_CHECKING:
    from napari_vrp_sam.inference.relabelling.relabel import RelabelSettings
    from napari_vrp_sam.models.base import Model


class Prediction:
    """Predict with settings and what was learned; see `Segmenter`, which has these."""

    model: str | Path | Model
    device: str
    relabelling: RelabelSettings | None
    references_: list[Reference]
    class_ids_: tuple[int, ...]
    normalisation_: Normalisation
    _axes: str | None
    _channels: tuple[int, ...] | None
    _nodata: float | None
    _predictors: PredictorCache

    def predict(
        self,
        stack: Any,
        *,
        axes: str | Sequence[str] | None = None,
        nodata: float | None = None,
        frames: tuple[int | None, int | None] | range | slice | None = None,
        accepted: Collection[int] = (),
        probabilities: bool = False,
        output: str | os.PathLike[str] | None = None,
        resume: bool = False,
        overwrite: bool = False,
        workers: int | None = None,
        scheduler: str | None = None,
        progress: ProgressCallback | None = None,
    ) -> Segmentation:
        """Segment a stack: the fitted one, or another one of the same kind.

        Parameters
        ----------
        stack : array, path or StoredImage
            As for `fit`; frames are read one by one. The result keeps the calibration of a file.
        axes : str or sequence of str, optional
            As for `fit`; default: those of the file, else the axes of the fitted stack, if the
            number of axes is the same.
        nodata : float, optional
            As for `fit`; default: what the file or xarray states, else the value given to `fit`.
        frames : tuple of int, range or slice, optional
            Range (start, stop) of frames to segment; `stop` is excluded. Default: all.
        accepted : collection of int
            Indices of frames to skip, because their labels are known.
        probabilities : bool, default: False
            Return the probabilities too.
        output : path, optional
            File (.tif, .zarr) or folder to write the labels to as they come. The labels of the
            result are then read from there, lazily.
        resume : bool, default: False
            Resume an interrupted run that wrote to `output`, a .zarr or a folder.
        overwrite : bool, default: False
            Replace an earlier result at `output`.
        workers : int, optional
            Number of worker processes to start; default: segment in this process.
        scheduler : str, optional
            Address of a dask scheduler whose workers do the work, tcp://HOST:PORT.
        progress : callable, optional
            Called with the frames done, the frames in total, and a message.

        Returns
        -------
        Segmentation

        Raises
        ------
        InputError
            If the segmenter was not fitted, the stack does not fit, or the result cannot be
            written.
        """
        job = replace(
            self._job(stack, axes, nodata),
            frames=as_frame_range(frames),
            accepted=frozenset(as_indices(accepted, "accepted")),
            probabilities=probabilities,
        )
        view = job.view()
        opened = open_stack(stack)
        if output is None:
            if resume or overwrite:
                raise InputError("There is nothing to resume or to overwrite: give an output.")
            events = job_events(job, workers=workers, scheduler=scheduler, cache=self._predictors)
        else:
            target = RunOutput(
                Path(output),
                resume=resume,
                overwrite=overwrite,
                metadata=opened.metadata,
                sources=opened.frame_files(),
            )
            events = segment_to(
                job, view, target, workers=workers, scheduler=scheduler, cache=self._predictors
            )
        return gather_segmentation(
            events,
            view,
            self.class_ids_,
            annotated=job.annotated,
            output=None if output is None else Path(output),
            probabilities=probabilities,
            metadata=opened.metadata,
            progress=progress,
        )

    def predict_iter(
        self,
        stack: Any,
        *,
        axes: str | Sequence[str] | None = None,
        nodata: float | None = None,
        frames: tuple[int | None, int | None] | range | slice | None = None,
        probabilities: bool = True,
    ) -> Generator[FrameResult]:
        """Segment a stack frame by frame; stop at any time by leaving the loop.

        Parameters are those of `predict`.

        Yields
        ------
        FrameResult
            `index`, `labels` (Y, X), `confidence` by class and `probabilities` (K, Y, X).
        """
        job = replace(
            self._job(stack, axes, nodata),
            frames=as_frame_range(frames),
            probabilities=probabilities,
        )
        for event in job_events(job, cache=self._predictors):
            if isinstance(event, FrameResult):
                yield event

    def predict_proba(
        self,
        stack: Any,
        *,
        axes: str | Sequence[str] | None = None,
        nodata: float | None = None,
    ) -> NDArray[np.float32]:
        """Return the probability of each class in each pixel of a frame or a stack.

        Parameters are those of `predict`.

        Returns
        -------
        ndarray, shape of the leading axes + (K, Y, X), float32
            In the order of `class_ids_`.
        """
        found = self.predict(stack, axes=axes, nodata=nodata, probabilities=True).probabilities
        assert found is not None
        return found

    def predict_files(
        self,
        images: Sequence[str | os.PathLike[str]],
        output: str | os.PathLike[str] | None = None,
        *,
        image_number: int | str | None = None,
        nodata: float | None = None,
        resume: bool = False,
        overwrite: bool = False,
        workers: int | None = None,
        scheduler: str | None = None,
        progress: ProgressCallback | None = None,
    ) -> list[FileResult]:
        """Segment image files, one after another.

        A file that fails does not stop the others. The results are also written to a table,
        vrp-sam-summary.csv in the folder of the labels.

        Parameters
        ----------
        images : sequence of path
            Images of any supported format; a folder is one stack with a file for each frame.
        output : path, optional
            Folder of the labels. Default: *_labels beside each image.
        image_number : int or str, optional
            Number or name of the image in files that hold several.
        nodata : float, optional
            Value of missing pixels; default: what a file states, else the value given to `fit`.
        resume : bool, default: False
            Skip files that an earlier run has finished.
        overwrite : bool, default: False
            Replace earlier results.
        workers, scheduler
            As for `predict`.
        progress : callable, optional
            Called with the frames done, the frames in total of the file in progress, and a message.

        Returns
        -------
        list of FileResult
            One for each file: `image`, `labels`, `state`, `frames`, `confidence`, `message`.

        Raises
        ------
        InputError
            If the segmenter was not fitted, there is no image, or labels would overwrite an input,
            each other, or earlier results.

        Examples
        --------
        >>> segmenter.predict_files(sorted(Path("scans").glob("*.tif")), "labels")  # doctest: +SKIP
        """
        from napari_vrp_sam.inference.runs.files.batch import segment_files
        from napari_vrp_sam.inference.runs.files.output_paths import plan_files

        if isinstance(images, str | os.PathLike):
            raise InputError("`images` is one path: give a list of paths.")
        job = replace(self._job(None), axes=self._axes)
        paths = [Path(image) for image in images]
        folder = None if output is None else Path(output)
        labels = plan_files(paths, folder, replace=resume or overwrite)
        events = segment_files(
            job,
            paths,
            labels,
            summary=summary_path(paths, folder),
            image_number=image_number,
            nodata=nodata,
            resume=resume,
            workers=workers,
            scheduler=scheduler,
            cache=self._predictors,
        )
        return gather_results(events, progress)

    def _job(
        self, stack: Any, axes: str | Sequence[str] | None = None, nodata: float | None = None
    ) -> SegmentationJob:
        if not hasattr(self, "references_"):
            raise InputError("The segmenter is not fitted: call `fit` first.")
        opened = open_stack(stack, axes, nodata)
        data, axes, nodata = opened.data, opened.axes, opened.nodata
        if stack is not None:
            data = as_array(data)
            # Not through `Frames`, which would guess axes and refuse unusual ones.
            if axes is None and self._axes is not None and len(data.shape) == len(self._axes):
                axes = self._axes
            if axes is not None:
                axes = parse_axes(axes)
        return SegmentationJob(
            data,
            references=self.references_,
            axes=None if axes is None else str(axes),
            channels=self._channels,
            nodata=self._nodata if nodata is None else nodata,
            model=self.model,
            device=self.device,
            **{name: getattr(self, name) for name in SHARED_SETTINGS},
            relabelling=self.relabelling,
            normalisation=self.normalisation_,
            references_on_stack=False,
        )
