"""Runs of the dock "Segment stack": their start, their result layer and their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QObject, Signal

from napari_vrp_sam.annotations.labels import class_ids_of
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.segmentation_job import plan
from napari_vrp_sam.plugin.classes.classes import ClassEntry
from napari_vrp_sam.plugin.layers.frame_view import frame_number
from napari_vrp_sam.plugin.layers.metadata import CLASSES
from napari_vrp_sam.plugin.layers.outputs.accepted import ACCEPTED
from napari_vrp_sam.plugin.layers.outputs.probabilities import ProbabilityLayers
from napari_vrp_sam.plugin.layers.outputs.results import ResultLayer
from napari_vrp_sam.plugin.layers.stacks import frames_of
from napari_vrp_sam.plugin.layers.undo import RunRecord
from napari_vrp_sam.plugin.segment.run import SegmentationRun
from napari_vrp_sam.plugin.segment.status.quality_panel import quality_metadata
from napari_vrp_sam.plugin.segment.unfinished.keeper import RunKeeper
from napari_vrp_sam.plugin.segment.unfinished.snapshot import RunSnapshot, resumed_job
from napari_vrp_sam.plugin.widgets.wording import accepted_over_drawn, hidden_used, split_message

if TYPE_CHECKING:
    import napari
    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_vrp_sam.inference.runs.engine import Engine
    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
    from napari_vrp_sam.io.sessions.unfinished.run import StoredFrame, UnfinishedRun
    from napari_vrp_sam.plugin.segment.parts import SegmentParts
    from napari_vrp_sam.plugin.segment.status.run_state import Outcome


class StackRuns(QObject):
    """Start runs one at a time, write their results into layers, and show how they end.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    engine : Engine
    dock : SegmentParts
        Controls that say what to do, and that a run locks.
    """

    refused = Signal(object)
    """Emits the `InputError` that says why a run could not start."""
    ended = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, engine: Engine, dock: SegmentParts) -> None:
        super().__init__(dock)
        self._viewer = viewer
        self._engine = engine
        self._dock = dock
        self._run: SegmentationRun | None = None
        self._record: RunRecord | None = None
        self._keeper: RunKeeper | None = None
        self._target: Image | None = None

    @property
    def running(self) -> bool:
        """True during a run."""
        return self._run is not None

    def cancel(self) -> None:
        """Cancel the run; finished frames are kept."""
        if self._run is not None:
            self._dock.panel.cancel()
            self._run.cancel()

    def abandon(self, reason: str) -> None:
        """End the run at once, without touching any layer again."""
        if self._run is not None:
            self._run.abandon()
            self._end("cancelled", reason, keep=True)

    def start(self) -> None:
        """Start a run on the chosen image.

        Raises
        ------
        InputError
            If the inputs cannot be used.
        """
        image = self._dock.form.image
        accepted = self._dock.form.accepted()
        overruled: set[int] = set()
        references = self._dock.form.references(accepted, overruled)
        job = self._dock.jobs.run(
            references, accepted, probabilities=self._dock.probability_box.isChecked()
        )
        annotations = self._dock.form.annotation_list.annotations
        hidden = [a.layer.name for a in annotations if not a.layer.visible]
        self._submit(job, image, accepted)
        position = frames_of(image, job.axes).position
        replaced = [frame_number(position(index)) for index in sorted(overruled)]
        if notes := " ".join(filter(None, (hidden_used(hidden), accepted_over_drawn(replaced)))):
            self._dock.panel.notify(notes, "warning" if hidden else "info", "run")

    def apply(self, target: Image, job: SegmentationJob) -> None:
        """Start the run that segments another image by the annotations of the chosen one."""
        if self.running:
            return
        try:
            self._submit(job, target, {})
        except InputError as error:
            self.refused.emit(error)
            return
        self._target = target

    def resume(self, image: Image, unfinished: UnfinishedRun) -> None:
        """Show the finished frames of an interrupted run, and segment the remaining ones."""
        if self.running:
            return
        try:
            session, finished = unfinished.session(), unfinished.frames()
            if len(finished) + len(session.accepted) >= unfinished.total:
                finished.popitem()  # only its end is missing
            job = resumed_job(unfinished, session, image, finished)
            self._dock.restore_inputs(image, session)
            accepted = dict(session.accepted)
            self._submit(job, image, accepted, earlier=(unfinished, finished))
        except InputError as error:
            self.refused.emit(error)

    def _submit(
        self,
        job: SegmentationJob,
        image: Image,
        accepted: dict[int, NDArray[Any]],
        *,
        earlier: tuple[UnfinishedRun | None, dict[int, StoredFrame]] = (None, {}),
    ) -> None:
        """Start a run whose result is a layer on an image, or resume an interrupted one."""
        axes = job.axes or ""
        unfinished, finished = earlier
        classes = self._dock.form.class_list.classes
        class_ids = class_ids_of(job.references)
        classes.include(map(ClassEntry.default, class_ids))
        frame_count = len(plan(job)[1]) + len(accepted) + len(finished)
        result = ResultLayer(
            self._viewer,
            image,
            axes=axes,
            class_ids=class_ids,
            accepted=accepted,
            settings=self._dock.result_tools.settings,
            metadata={
                ACCEPTED: sorted(accepted),
                "model": job.model,
                CLASSES: classes.as_dicts(class_ids),
                "axes": axes,
                "channels": job.channels,
                "reference_frames": job.annotated,
            },
        )
        names = {class_id: classes.name(class_id) for class_id in class_ids}
        probabilities = (
            ProbabilityLayers(self._viewer, image, frames_of(image, axes), names)
            if job.probabilities
            else None
        )
        # Copied before the run may change anything.
        snapshot = RunSnapshot.of(
            self._dock.form,
            image,
            job,
            accepted=accepted,
            clean_up=self._dock.result_tools.settings,
            total=frame_count,
        )
        self._run = run = SegmentationRun(
            self._engine.submit(job), result, frame_count, self._dock, probabilities
        )
        self._keeper = keeper = RunKeeper(self, snapshot, unfinished)
        run.segmented.connect(keeper.add)
        keeper.ended.connect(self._dock.unfinished_offer.search)
        keeper.warned.connect(lambda text: self._dock.panel.notify(text, "warning", "run"))
        self._dock.result_row.hidden_results.restore()
        self._record = RunRecord(self._viewer, result, probabilities)
        if finished:
            run.show_earlier(finished)
        run.written.connect(self._dock.quality_panel.refresh)
        run.written.connect(self._dock.result_row.in_view.refresh)
        run.learned.connect(lambda _: self._dock.jobs.loaded.add(str(job.model)))
        run.learned.connect(self._dock.incomplete_mask.show_calibrations)
        run.ended.connect(
            lambda *_: result.describe(
                **quality_metadata(run.calibrations, class_ids, run.confidences, job.annotated)
            )
        )
        run.ended.connect(self._end)
        self._dock.panel.start(
            run,
            lambda calibrations: result.describe(**quality_metadata(calibrations)),
            str(self._dock.result_tools.settings),
        )
        self._dock.lock(locked=True)
        self._dock.quality_panel.refresh()

    def _end(self, outcome: Outcome, message: str, *, keep: bool = False) -> None:
        if self._keeper is not None:
            self._keeper.end(keep=keep or outcome == "failed")
            self._keeper = None
        if self._record is not None:
            self._record.push(self._dock.history)
        self._dock.quality_panel.refresh()
        self._dock.panel.end(outcome, message)
        self._run = self._record = None
        self._dock.lock(locked=False)
        self._show_target(outcome)
        self.ended.emit()
        if outcome == "refused":
            show_warning(split_message(message)[0])
        elif outcome == "failed":
            show_error(split_message(message)[0])
        elif outcome == "done":
            self._dock.objects_panel.find_after_run()

    def _show_target(self, outcome: Outcome) -> None:
        """Choose the image that the annotations were applied to, if it has a result."""
        target, self._target = self._target, None
        if outcome != "done":
            self._dock.apply_button.forget_images()
        if (
            target is None
            or target not in self._viewer.layers
            or self._dock.apply_button.apply_next()
        ):
            return
        if outcome in ("done", "cancelled"):
            self._viewer.layers.selection.active = target
            self._dock.form.image_box.choose(target)
            settings = str(self._dock.result_tools.settings)
            text = f"Applied the annotations to '{target.name}'"
            text += f", with {settings}." if settings else "."
            if outcome == "cancelled":
                text = f"Cancelled: the finished frames of '{target.name}' are kept."
            self._dock.panel.notify(text, topic="result")
