"""The dock widget 'Segment stack'."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.notifications import show_error, show_warning
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.process import ProcessEngine
from napari_vrp_sam.inference.runs.segmentation_job import plan
from napari_vrp_sam.plugin.classes.class_link import CLASSES
from napari_vrp_sam.plugin.inputs.segment_form import SegmentForm
from napari_vrp_sam.plugin.layers.accepted import ACCEPTED
from napari_vrp_sam.plugin.layers.probabilities import Probabilities
from napari_vrp_sam.plugin.layers.results import Result
from napari_vrp_sam.plugin.layers.stacks import frames_of
from napari_vrp_sam.plugin.layers.undo import AddedLayers, RunRecord
from napari_vrp_sam.plugin.models.changes import user_models
from napari_vrp_sam.plugin.objects.panel import ObjectsPanel
from napari_vrp_sam.plugin.preferences import Preferences
from napari_vrp_sam.plugin.segment.accept_button import AcceptButton
from napari_vrp_sam.plugin.segment.expected_iou import ExpectedIoULabel
from napari_vrp_sam.plugin.segment.jobs import JobFactory
from napari_vrp_sam.plugin.segment.preview import PreviewBox
from napari_vrp_sam.plugin.segment.quality_panel import QualityPanel
from napari_vrp_sam.plugin.segment.run import SegmentationRun
from napari_vrp_sam.plugin.segment.run_controls import RunControls
from napari_vrp_sam.plugin.segment.tour import Tour
from napari_vrp_sam.plugin.session.panel import SessionPanel
from napari_vrp_sam.plugin.widgets.closing import CloseWatcher
from napari_vrp_sam.plugin.widgets.controls import MessageLabel
from napari_vrp_sam.plugin.widgets.keyboard import TabNavigation
from napari_vrp_sam.plugin.widgets.scroll_column import ScrollColumn
from napari_vrp_sam.plugin.widgets.undo import UndoButtons, UndoHistory

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

    from napari_vrp_sam.inference.runs.engine import Engine


class SegmentStackWidget(QWidget):
    """Annotate a class on one frame of a stack, get it on every frame.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    engine : Engine, optional
        Where the work runs; a process of its own unless given.
    """

    def __init__(self, viewer: napari.viewer.Viewer, engine: Engine | None = None) -> None:
        super().__init__()
        self._viewer = viewer
        self._engine = engine if engine is not None else ProcessEngine()
        self._run: SegmentationRun | None = None
        self._record: RunRecord | None = None
        self._closed = False
        self.history = UndoHistory(viewer, self)
        self.form = SegmentForm(viewer, self.history)
        self._jobs = JobFactory(viewer, self.form)
        self.preview_box = PreviewBox(viewer, self._engine, self._jobs.preview)
        self._controls = controls = RunControls(self.preview_box)
        self.segment_button, self.cancel_button = controls.segment_button, controls.cancel_button
        self.probability_box, self.progress = controls.probability_box, controls.progress
        self.status = MessageLabel()
        self.quality = ExpectedIoULabel()
        self.accept_button = AcceptButton(viewer, self.form.image_box, self.history)
        self.quality_panel = QualityPanel(viewer, self.form.image_box)
        self.objects_panel = ObjectsPanel(
            viewer, self.form.image_box, lambda: self.form.axes, self._engine
        )
        self.session_panel = SessionPanel(viewer, self.form)
        self.undo_buttons = UndoButtons(self.history)
        self._preferences = Preferences(self.form, self)
        self.scroll = ScrollColumn()
        self.tour = Tour(viewer, self)
        self._keyboard = TabNavigation(self, self.scroll.content)
        self._lay_out()
        self._show_running(running=False)

        self._preferences.downloads_changed.connect(self._downloads_changed)
        self.form.warned.connect(self._refuse)
        self.form.annotation_list.changed.connect(self._warm_up)
        self.form.annotation_list.changed.connect(self._follow_drawings)
        self.preview_box.warned.connect(
            lambda sentence: self.status.show_message(sentence, "warning")
        )
        self.form.model_box.currentIndexChanged.connect(self.preview_box.renew)
        self.form.channel_box.changed.connect(self.preview_box.renew)
        self.segment_button.clicked.connect(self.segment)
        self.cancel_button.clicked.connect(self.cancel)
        self.accept_button.changed.connect(self._accepted)
        self.form.axes_box.currentTextChanged.connect(self.objects_panel.refresh)
        self.objects_panel.reported.connect(self.status.show_message)
        self.objects_panel.warned.connect(self._refuse)
        self.session_panel.reported.connect(self.status.show_message)
        self.session_panel.opened.connect(self.quality_panel.refresh)
        self.session_panel.opened.connect(self.accept_button.refresh)
        self.objects_panel.added.connect(self._remember)
        self.session_panel.added.connect(self._remember)
        self.history.reported.connect(self._step_told)
        self.form.tour_button.clicked.connect(self.tour.start)
        self.tour.shown.connect(self.form.hide_guide)
        user_models.made.connect(self.form.model_box.choose)
        closing = CloseWatcher(self)
        closing.dock_closed.connect(self._abandon)
        closing.window_closed.connect(self._release)

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self._run is not None

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Hold the keys as long as the dock is open, in a tab behind others too."""
        super().showEvent(event)
        self._hold_keys(held=True)
        if self._closed:
            self._closed = False
            self.preview_box.lock(locked=False)

    def focusNextPrevChild(self, forward: bool) -> bool:  # noqa: FBT001, N802 # Qt's
        """Tab goes through the controls as they are seen."""
        return self._keyboard.step(forward=forward)

    def segment(self) -> None:
        """Start a run; a mistake of the user ends in one sentence."""
        if self.running:
            return
        try:
            self._start()
        except InputError as mistake:
            self._refuse(str(mistake))

    def cancel(self) -> None:
        """Stop the run; the frames that are done are kept."""
        if self._run is not None:
            self.cancel_button.setEnabled(False)
            self.status.show_message("Cancelling…")
            self._run.cancel()

    def _start(self) -> None:
        image, axes = self.form.image, self.form.axes
        accepted = self.form.accepted()
        references = self.form.references(accepted)
        class_ids = {reference.class_id for reference in references}
        self.form.class_list.include(class_ids)
        job = self._jobs.run(references, accepted, probabilities=self.probability_box.isChecked())
        frame_count = len(plan(job)[1]) + len(accepted)
        result = Result(
            self._viewer,
            image,
            axes=axes,
            highest_class=max(class_ids),
            accepted=accepted,
            facts={
                ACCEPTED: sorted(accepted),
                "model": job.model,
                CLASSES: self.form.class_list.facts(class_ids),
                "axes": axes,
                "channels": job.channels,
                "reference_frames": sorted({reference.frame for reference in references}),
            },
        )
        names = self._jobs.class_names(class_ids)
        probabilities = (
            Probabilities(self._viewer, image, frames_of(image, axes), names)
            if job.probabilities
            else None
        )
        run = self._engine.submit(job)
        self._record = RunRecord(self._viewer, result, probabilities)
        self._run = SegmentationRun(run, result, frame_count, self, probabilities)
        self._run.progressed.connect(self._show_progress)
        self._run.written.connect(self.quality_panel.refresh)
        self._run.learned.connect(
            lambda calibrations: self.quality.show_choices(calibrations, names)
        )
        self._run.learned.connect(lambda _: self._jobs.loaded.add(str(job.model)))
        self._run.ended.connect(self._end)
        self.quality.forget()
        self._show_progress(0, frame_count, "Starting: the model is loaded first.")
        self._show_running(running=True)

    def _follow_drawings(self) -> None:
        annotations = self.form.annotation_list.annotations
        self.preview_box.refresh([annotation.layer for annotation in annotations])

    def _show_progress(self, done: int, total: int, message: str) -> None:
        self._controls.show_progress(done, total)
        if self.cancel_button.isEnabled():  # else "Cancelling" stays
            self.status.show_message(message)

    def _end(self, outcome: str, message: str) -> None:
        if self._run is not None and outcome in {"done", "cancelled"}:
            least = self._run.least_confident()
            if least:
                self.quality.show_least_confident(least)
        if self._record is not None:
            self._record.push(self.history)
        self._run = self._record = None
        self._show_running(running=False)
        self._warm_up()
        if outcome == "refused":
            self._refuse(message)
        elif outcome == "failed":
            self.status.show_message(message, "error")
            show_error(message)
        else:
            self.status.show_message(message)
        if outcome == "done":
            self.objects_panel.find_after_run()

    def _accepted(self, message: str) -> None:
        self.status.show_message(message)
        self._follow_accepted()
        self._warm_up()

    def _remember(self, action: str, layers: list[Layer]) -> None:
        added = AddedLayers(self._viewer, layers)
        self.history.push(action, added.take_out, added.put_back)

    def _step_told(self, sentence: str) -> None:
        """Something was undone: layers may be others, or accepted otherwise."""
        self.status.show_message(sentence)
        self.accept_button.refresh()
        self._follow_accepted()

    def _follow_accepted(self) -> None:
        self.quality_panel.refresh()
        if not self.running:
            # It would go on to ask for a frame that is accepted.
            self.quality.show_least_confident(self.quality_panel.least_confident())

    def _refuse(self, sentence: str) -> None:
        self.status.show_message(sentence, "warning")
        show_warning(sentence)

    def _warm_up(self) -> None:
        """The user is drawing or correcting: a run will follow."""
        drawn = bool(self.form.annotation_list.annotations) and not self._closed
        if isinstance(self._engine, ProcessEngine) and drawn:
            self._engine.warm_up()

    def _hold_keys(self, *, held: bool) -> None:
        self.history.enable_keys(held=held)
        self.form.class_list.enable_keys(held=held)

    def _abandon(self) -> None:
        """The dock closes: stop, and touch no layer until it is opened again."""
        self._closed = True
        self._hold_keys(held=False)
        self.tour.end()
        if self._run is not None:
            self._run.abandon()
            self._end("cancelled", "Cancelled, as the dock was closed: what was done is kept.")
        self.objects_panel.abandon()
        self.session_panel.leave()
        self.preview_box.abandon()
        self.preview_box.lock(locked=True)
        self._end_worker()

    def _downloads_changed(self) -> None:
        """The process knows what it started with; a run is not disturbed."""
        if self._run is None:
            self._end_worker()
        else:
            self._run.ended.connect(lambda *_: self._end_worker())

    def _end_worker(self) -> None:
        if isinstance(self._engine, ProcessEngine):
            self._engine.close()

    def _release(self) -> None:
        """The window closes."""
        self._abandon()
        self.preview_box.release()
        self.accept_button.release()
        self.quality_panel.release()
        self.objects_panel.release()
        self.session_panel.release()
        self._preferences.release()
        self._keyboard.release()
        self.form.release()
        self.history.release()

    def _show_running(self, *, running: bool) -> None:
        self._controls.show_running(running=running)
        self.preview_box.lock(locked=running)
        self.accept_button.lock(locked=running)
        self.objects_panel.lock(locked=running)
        self.history.lock(locked=running)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(5, 8, 3, 8)
        layout.setSpacing(8)
        layout.addWidget(self.tour)
        layout.addWidget(self.scroll)
        column = self.scroll.column
        column.setContentsMargins(3, 0, 3, 0)
        column.setSpacing(8)
        for widget in (
            self.form,
            self._controls,
            self.accept_button,
            self.undo_buttons,
            self.status,
            self.quality,
            self.quality_panel,
            self.objects_panel,
            self.session_panel,
        ):
            column.addWidget(widget)
        column.addStretch(1)
        self.setMinimumWidth(240)
        # napari needs a vertical size policy to know that the dock may grow.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
