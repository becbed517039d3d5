"""Output of a run on disk: labels, probabilities, and the journal that lets a run resume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_vrp_sam.annotations.labels import class_ids_of, labels_dtype
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.relabelling.levels import quantise_frame
from napari_vrp_sam.inference.runs.events import FrameResult, FrameResumed, FrameWritten
from napari_vrp_sam.inference.runs.files.earlier_files import FACT as FILES
from napari_vrp_sam.inference.runs.files.earlier_files import earlier_files, remove_earlier_files
from napari_vrp_sam.io.metadata import ImageMetadata

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.normalisation import Normalisation
    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
    from napari_vrp_sam.io.labels.zarr_writer import ZarrWriter


@dataclass(frozen=True)
class RunOutput:
    """Destination of the results of a run.

    Attributes
    ----------
    labels : Path
        TIFF file, .zarr, or folder.
    probabilities : Path, optional
        TIFF file or .zarr.
    names : sequence of str
        Names of the frames, for a folder.
    accepted : mapping of int to ndarray
        Known labels of frames, shape (Y, X), by index.
    overwrite : bool
        Whether an earlier result may be replaced.
    resume : bool
        Resume an interrupted run.
    metadata : ImageMetadata
        Calibration and place of the image, which the results keep.
    sources : sequence of Path
        Image files of the frames, if each has its own.
    """

    labels: Path
    probabilities: Path | None = None
    names: Sequence[str] = ()
    accepted: Mapping[int, NDArray[Any]] = field(default_factory=dict)
    resume: bool = False
    overwrite: bool = True
    metadata: ImageMetadata = field(default_factory=ImageMetadata)
    sources: Sequence[Path] = ()

    @property
    def in_folder(self) -> bool:
        """True if each frame is written to its own file in a folder."""
        from napari_vrp_sam.io.labels.writers import is_folder_output

        return is_folder_output(self.labels)


class OutputWriter:
    """Write the results of a run as they come, and keep a journal if the run can be resumed.

    Parameters
    ----------
    job : SegmentationJob
    frames : Frames
        Its stack.
    output : RunOutput

    Attributes
    ----------
    indices : list of int
        Frames of the job, including those that an interrupted run has finished.
    finished : dict of int to float or None
        Confidence of the frames that are written, by index.
    resumed : list of FrameResumed
        Frames that an interrupted run has finished.

    Raises
    ------
    InputError
        If the output cannot be used, or the interrupted run to resume is another one.
    """

    def __init__(self, job: SegmentationJob, frames: Frames, output: RunOutput) -> None:
        from napari_vrp_sam.inference.runs.job_settings import settings_of
        from napari_vrp_sam.inference.runs.segmentation_job import plan
        from napari_vrp_sam.io.labels.folder import folder_files
        from napari_vrp_sam.io.labels.journal import Journal
        from napari_vrp_sam.io.labels.probabilities import ProbabilityWriter
        from napari_vrp_sam.io.labels.writers import is_incremental, label_writer

        if output.labels.exists() and not (output.resume or output.overwrite):
            raise InputError(
                f"{output.labels} already exists: choose another output, or overwrite it."
            )
        self.indices = plan(job)[1]
        self.finished: dict[int, float | None] = {}
        self.resumed: list[FrameResumed] = []
        self._accepted = output.accepted
        self._dtype = labels_dtype(class_ids_of(job.references))
        given = (output.labels, frames.label_shape, self._dtype, frames.label_axes, output.names)
        metadata = output.metadata
        kept: dict[str, Any] = {"metadata": metadata, "sources": output.sources}
        self._writer = label_writer(*given, **kept, resume=output.resume)
        self._files: list[Path] = []
        self._earlier: dict[Path, int] = {}
        if output.in_folder:
            self._files = folder_files(*given[:3], output.names, metadata)
            self._earlier = {} if output.resume else earlier_files(output.labels)
        self._journal: Journal | None = None
        # A loaded model has no digest by which an interrupted run could be recognised.
        if is_incremental(output.labels) and isinstance(job.model, str | Path):
            self._journal = Journal(output.labels, settings_of(job, frames))
        if output.resume:
            _check_resumable(output, self._journal)
            assert self._journal is not None
            self._journal.resume(self._writer.read)
            if not self._journal.finished:
                self._writer = label_writer(*given, **kept)
            known = self._journal.finished.values()
            self.finished = {frame.index: frame.confidence for frame in known}
            self.resumed = [FrameResumed(frame.index, frame.classes) for frame in known]
        self._probabilities = None
        if output.probabilities is not None:
            class_ids = class_ids_of(job.references)
            shape = (*frames.lead_shape, len(class_ids), *frames.frame_shape)
            axes = frames.label_axes[:-2] + "CYX"
            self._probabilities = ProbabilityWriter(
                output.probabilities, shape, axes, class_ids, metadata
            )

    @property
    def normalisation(self) -> Normalisation | None:
        """Normalisation of the interrupted run that is resumed; None if it has to be repeated."""
        from napari_vrp_sam.inference.normalisation import Normalisation

        known = self._journal.facts.get("normalisation") if self._journal else None
        return Normalisation.from_json(known) if self.finished and known else None

    def begin(self, normalisation: Normalisation) -> None:
        """Record the normalisation of the run, with its first frame."""
        if self._journal is None:
            return
        self._journal.facts["normalisation"] = normalisation.to_json()
        if self._files:
            self._journal.facts[FILES] = [file.name for file in self._files]

    def add(self, result: FrameResult | FrameWritten) -> None:
        """Write the result of a frame, or record that a worker has written its labels."""
        from napari_vrp_sam.annotations.labels import labels_checksum
        from napari_vrp_sam.inference.prediction.confidence import frame_confidence

        if self._probabilities is not None and result.probabilities is not None:
            self._probabilities.write(result.index, quantise_frame(result.probabilities))
        confidence = frame_confidence(result.confidence.values())
        if not isinstance(result, FrameResult):
            self._record(result.index, result.checksum, confidence, result.confidence)
            return
        if self._journal is not None:
            # The old journal lists these files until they are removed.
            remove_earlier_files(self._earlier)
            self._earlier = {}
            self._journal.begin()
        self._writer.write(result.index, result.labels)
        checksum = labels_checksum(result.labels)
        self._record(result.index, checksum, confidence, result.confidence)

    def shared_writer(self) -> ZarrWriter | None:
        """Return a writer that several processes can use at once; None for other formats."""
        from napari_vrp_sam.io.labels.zarr_writer import ZarrWriter

        if not isinstance(self._writer, ZarrWriter):
            return None
        if self._journal is not None:
            self._journal.begin()
        return self._writer

    def _record(
        self, index: int, checksum: int, confidence: float | None, classes: Mapping[int, float]
    ) -> None:
        from napari_vrp_sam.io.labels.journal_lines import FinishedFrame

        if self._journal is not None:
            sure = {class_id: float(value) for class_id, value in classes.items()}
            self._journal.add(FinishedFrame(index, checksum, confidence, sure))
        self.finished[index] = confidence

    @property
    def confidence(self) -> dict[int, float]:
        """Confidence of the frames on which something was found."""
        return {index: sure for index, sure in self.finished.items() if sure is not None}

    def close(self) -> None:
        """Complete the files; if no frame was written, leave none.

        Raises
        ------
        InputError
            If a file cannot be written; the others are completed before.
        """
        with ExitStack() as remaining:  # each is done even if another one fails
            if self._journal is not None and not self.finished:
                remaining.callback(self._journal.discard)
            # Done last, because errors of the labels matter most.
            remaining.callback(self._close_labels)
            if self._probabilities is not None:
                last = self._probabilities
                remaining.callback(last.close if self.finished else last.discard)

    def _close_labels(self) -> None:
        if not self.finished:
            self._writer.discard()
            return
        try:
            for index, labels in self._accepted.items():
                self._writer.write(index, labels)
        finally:
            self._writer.close()


def _check_resumable(output: RunOutput, journal: object) -> None:
    if journal is None:
        raise InputError(
            f"A run that writes {output.labels.name} cannot be resumed: choose an output that ends "
            "in .zarr, or a folder, and give the model by its name or file."
        )
    if output.probabilities is not None:
        raise InputError(
            "The probabilities of an interrupted run are lost: resume without probabilities, or "
            "start the run again and overwrite its results."
        )
