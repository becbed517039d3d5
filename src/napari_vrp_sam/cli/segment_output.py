"""What `vrp-sam segment` writes, and what an earlier run has written already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_vrp_sam.cli.earlier_run import FACT as FILES
from napari_vrp_sam.cli.earlier_run import earlier_files, remove_earlier
from napari_vrp_sam.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_vrp_sam.cli.objects import Wish
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.job import Job
    from napari_vrp_sam.inference.normalisation import Normalisation
    from napari_vrp_sam.io.label_writers import ZarrLabelWriter


@dataclass(frozen=True)
class Output:
    """Where results go.

    Attributes
    ----------
    labels : Path
    probabilities : Path, optional
    names : sequence of str
        Of the frames, in a folder.
    settled : mapping of int to ndarray
        Labels of frames that are known, shape (Y, X), by index.
    wish : Wish, optional
        Objects to find in the labels.
    resume : bool
        Go on with what an earlier run has begun.
    """

    labels: Path
    probabilities: Path | None = None
    names: Sequence[str] = ()
    settled: Mapping[int, NDArray[Any]] = field(default_factory=dict)
    wish: Wish | None = None
    resume: bool = False

    @property
    def in_folder(self) -> bool:
        """Whether labels go into a folder, each frame into a file of its own."""
        from napari_vrp_sam.io.label_writers import grows
        from napari_vrp_sam.io.ome_zarr import SUFFIX

        return grows(self.labels) and self.labels.suffix.lower() != SUFFIX


class Results:
    """Writes what comes, and keeps a journal where a run can be resumed.

    Parameters
    ----------
    job : Job
    view : Frames
        Of its stack.
    output : Output

    Attributes
    ----------
    finished : dict of int to float or None
        Confidence of the frames that are written, by index.

    Raises
    ------
    InputError
        If the output will not do, or an earlier run that should be resumed is another.
    """

    def __init__(self, job: Job, view: Frames, output: Output) -> None:
        from napari_vrp_sam.inference.settings import settings_of
        from napari_vrp_sam.io.journal import Journal
        from napari_vrp_sam.io.label_folder import folder_files
        from napari_vrp_sam.io.label_writers import grows, label_writer
        from napari_vrp_sam.io.results import ProbabilityWriter

        self.finished: dict[int, float | None] = {}
        self._view = view
        self._settled = output.settled
        self._dtype = labels_dtype(job)
        given = (output.labels, view.label_shape, self._dtype, view.label_axes, output.names)
        self._writer = label_writer(*given, resume=output.resume)
        self._files: list[Path] = []
        self._earlier: dict[Path, int] = {}
        if output.in_folder:
            self._files = folder_files(output.labels, view.label_shape, self._dtype, output.names)
            self._earlier = {} if output.resume else earlier_files(output.labels)
        self._journal: Journal | None = None
        if grows(output.labels):
            self._journal = Journal(output.labels, settings_of(job, view))
        if output.resume:
            _check_resumable(output, self._journal)
            assert self._journal is not None
            self._journal.resume(self._writer.read)
            if not self._journal.finished:
                self._writer = label_writer(*given)
            known = self._journal.finished.values()
            self.finished = {frame.index: frame.confidence for frame in known}
        self._probabilities = None
        if output.probabilities is not None:
            shape = (*view.lead_shape, len({r.class_id for r in job.references}), *view.frame_shape)
            axes = view.label_axes[:-2] + "CYX"
            self._probabilities = ProbabilityWriter(output.probabilities, shape, axes)

    @property
    def normalisation(self) -> Normalisation | None:
        """As the run that is resumed has fitted it."""
        from napari_vrp_sam.inference.normalisation import Normalisation

        if not self.finished or self._journal is None:
            return None
        low, high = self._journal.facts["normalisation"]
        return Normalisation(tuple(low), tuple(high))

    def begin(self, normalisation: Normalisation) -> None:
        """Keep what the run has fitted, with the first frame that comes."""
        if self._journal is None:
            return
        self._journal.facts["normalisation"] = astuple(normalisation)
        if self._files:
            self._journal.facts[FILES] = [file.name for file in self._files]

    def add(self, index: int, labels: NDArray[Any], probabilities: NDArray[np.float32]) -> None:
        """Write a frame."""
        from napari_vrp_sam.inference.confidence import confidences, of_frame

        if self._probabilities is not None:
            self._probabilities.write(index, probabilities)
        self.add_labels(index, labels, of_frame(confidences(probabilities)))

    def add_labels(self, index: int, labels: NDArray[Any], confidence: float | None) -> None:
        """Write the labels of a frame."""
        from napari_vrp_sam.annotations.labels import labels_checksum

        if self._journal is not None:
            # The old journal lists them until they are gone.
            remove_earlier(self._earlier)
            self._earlier = {}
            self._journal.begin()
        self._writer.write(index, labels)
        self.note(index, labels_checksum(labels), confidence)

    def shared_writer(self) -> ZarrLabelWriter | None:
        """What several processes can write with at once; whoever does so has to `note` it."""
        from napari_vrp_sam.io.label_writers import ZarrLabelWriter

        if not isinstance(self._writer, ZarrLabelWriter):
            return None
        assert self._journal is not None
        self._journal.begin()
        return self._writer

    def note(self, index: int, labels_checksum: int, confidence: float | None) -> None:
        """Remember that a frame is written, by whomever."""
        from napari_vrp_sam.io.journal import Finished

        if self._journal is not None:
            self._journal.add(Finished(index, labels_checksum, confidence))
        self.finished[index] = confidence

    @property
    def confidence(self) -> dict[int, float]:
        """Of the frames on which something was found."""
        return {index: sure for index, sure in self.finished.items() if sure is not None}

    def classes(self) -> NDArray[Any]:
        """Labels of all frames at once."""
        import numpy as np

        whole = np.zeros(self._view.label_shape, self._dtype)
        for index in self.finished:
            whole[self._view.position(index)] = self._writer.read(index)
        for index, labels in self._settled.items():
            whole[self._view.position(index)] = labels
        return whole

    def close(self) -> None:
        """Finish what was begun; where no frame ever came, leave nothing.

        Raises
        ------
        InputError
            If something cannot be written; all else is finished before.
        """
        with ExitStack() as left_to_do:  # each is done whatever becomes of the others
            if self._journal is not None and not self.finished:
                left_to_do.callback(self._journal.discard)
            # Done last, what becomes of the labels is what is told.
            left_to_do.callback(self._close_labels)
            if self._probabilities is not None:
                last = self._probabilities
                left_to_do.callback(last.close if self.finished else last.discard)

    def _close_labels(self) -> None:
        if not self.finished:
            self._writer.discard()
            return
        try:
            for index, labels in self._settled.items():
                self._writer.write(index, labels)
        finally:
            self._writer.close()


def labels_dtype(job: Job) -> np.dtype[Any]:
    """The smallest that holds the classes of a job."""
    import numpy as np

    return np.dtype(np.min_scalar_type(max(reference.class_id for reference in job.references)))


def _check_resumable(output: Output, journal: object) -> None:
    if journal is None:
        raise InputError(
            f"A run that writes {output.labels.name} cannot be resumed: choose an --output that "
            "ends in .zarr, or a folder."
        )
    if output.probabilities is not None:
        raise InputError(
            "Probabilities are lost with the run that was cut off: leave out --probabilities, or "
            "start again with --overwrite instead of --resume."
        )
