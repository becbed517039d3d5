"""Dock widget "Segment stack"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtGui import QShowEvent

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.process import ProcessEngine
from napari_vrp_sam.inference.runs.segmentation_job import plan
from napari_vrp_sam.plugin.classes.class_link import CLASSES
from napari_vrp_sam.plugin.classes.classes import ClassEntry
from napari_vrp_sam.plugin.inputs.segment_form import SegmentForm
from napari_vrp_sam.plugin.layers.accepted import ACCEPTED
from napari_vrp_sam.plugin.layers.probabilities import ProbabilityLayers
from napari_vrp_sam.plugin.layers.results import ResultLayer
from napari_vrp_sam.plugin.layers.stacks import frames_of
from napari_vrp_sam.plugin.layers.undo import AddedLayers, RunRecord
from napari_vrp_sam.plugin.models.changes import user_model_signals
from napari_vrp_sam.plugin.objects.panel import ObjectsPanel
from napari_vrp_sam.plugin.preferences import Preferences
from napari_vrp_sam.plugin.segment.accept_button import AcceptButton
from napari_vrp_sam.plugin.segment.jobs import JobFactory
from napari_vrp_sam.plugin.segment.preview import PreviewBox
from napari_vrp_sam.plugin.segment.quality_panel import ExpectedIoULabel, QualityPanel
from napari_vrp_sam.plugin.segment.run import SegmentationRun
from napari_vrp_sam.plugin.segment.run_controls import RunControls
from napari_vrp_sam.plugin.segment.tour import Tour, tour_steps
from napari_vrp_sam.plugin.session.panel import SessionPanel
from napari_vrp_sam.plugin.widgets.dock import PluginDock
from napari_vrp_sam.plugin.widgets.undo import UndoButtons, UndoHistory

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

    from napari_vrp_sam.inference.runs.engine import Engine


class SegmentStackWidget(PluginDock):
    """Segment a class, annotated on one or more frames, on every frame of a stack.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    engine : Engine, optional
        Default: a worker process of this dock.
    """

    def __init__(self, viewer: napari.viewer.Viewer, engine: Engine | None = None) -> None:
        super().__init__(viewer, engine)
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
        self.expected_iou_label = ExpectedIoULabel()
        self.accept_button = AcceptButton(viewer, self.form.image_box, self.history)
        self.quality_panel = QualityPanel(viewer, self.form.image_box)
        self.objects_panel = ObjectsPanel(
            viewer, self.form.image_box, lambda: self.form.axes, self._engine
        )
        self.session_panel = SessionPanel(viewer, self.form)
        self.undo_buttons = UndoButtons(self.history)
        self._preferences = Preferences(self.form, self)
        steps = tour_steps(
            viewer,
            self.form,
            lambda: self.running,
            segment_button=self.segment_button,
            confidence_plot=self.quality_panel.plot,
            accept_button=self.accept_button,
        )
        self.tour = Tour(viewer, steps, self.scroll)
        self.layout().insertWidget(0, self.tour)
        self._add_widgets(
            self.form,
            self._controls,
            self.accept_button,
            self.undo_buttons,
            self.status,
            self.expected_iou_label,
            self.quality_panel,
            self.objects_panel,
            self.session_panel,
        )
        self._show_running(running=False)
        self._connect()

    @property
    def running(self) -> bool:
        """True during a segmentation run."""
        return self._run is not None

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Bind the keys, which stay bound while the dock is open in a hidden tab."""
        super().showEvent(event)
        self._enable_keys(enabled=True)
        if self._closed:
            self._closed = False
            self.preview_box.lock(locked=False)

    def segment(self) -> None:
        """Start a run, or show why it cannot start."""
        if self.running:
            return
        try:
            self._start()
        except InputError as error:
            self._warn(str(error))

    def cancel(self) -> None:
        """Cancel the run; finished frames are kept."""
        if self._run is not None:
            self.cancel_button.setEnabled(False)
            self.status.show_message("Cancelling…")
            self._run.cancel()

    def _connect(self) -> None:
        self._preferences.downloads_changed.connect(self._restart_worker)
        self.form.warned.connect(self._warn)
        self.form.annotation_list.changed.connect(self._warm_up)
        self.form.annotation_list.changed.connect(self._watch_annotations)
        self.form.model_box.currentIndexChanged.connect(self.preview_box.request_update)
        self.form.channel_box.changed.connect(self.preview_box.request_update)
        self.form.axes_box.currentTextChanged.connect(self.objects_panel.refresh)
        self.form.tour_button.clicked.connect(self.tour.start)
        self.tour.shown.connect(self.form.hide_guide)
        self.preview_box.warned.connect(lambda text: self.status.show_message(text, "warning"))
        self.segment_button.clicked.connect(self.segment)
        self.cancel_button.clicked.connect(self.cancel)
        self.accept_button.changed.connect(self._on_accepted)
        self.objects_panel.reported.connect(self.status.show_message)
        self.objects_panel.warned.connect(self._warn)
        self.objects_panel.added.connect(self._record_added)
        self.session_panel.reported.connect(self.status.show_message)
        self.session_panel.opened.connect(self.quality_panel.refresh)
        self.session_panel.opened.connect(self.accept_button.refresh)
        self.session_panel.added.connect(self._record_added)
        self.history.reported.connect(self._on_undo)
        user_model_signals.created.connect(self.form.model_box.choose)

    def _start(self) -> None:
        image, axes = self.form.image, self.form.axes
        accepted = self.form.accepted()
        references = self.form.references(accepted)
        classes = self.form.class_list.classes
        class_ids = {reference.class_id for reference in references}
        classes.include(map(ClassEntry.default, class_ids))
        job = self._jobs.run(references, accepted, probabilities=self.probability_box.isChecked())
        frame_count = len(plan(job)[1]) + len(accepted)
        result = ResultLayer(
            self._viewer,
            image,
            axes=axes,
            highest_class=max(class_ids),
            accepted=accepted,
            metadata={
                ACCEPTED: sorted(accepted),
                "model": job.model,
                CLASSES: classes.as_dicts(class_ids),
                "axes": axes,
                "channels": job.channels,
                "reference_frames": sorted({reference.frame for reference in references}),
            },
        )
        names = {class_id: classes.name(class_id) for class_id in class_ids}
        probabilities = (
            ProbabilityLayers(self._viewer, image, frames_of(image, axes), names)
            if job.probabilities
            else None
        )
        self._run = run = SegmentationRun(
            self._engine.submit(job), result, frame_count, self, probabilities
        )
        self._record = RunRecord(self._viewer, result, probabilities)
        run.progressed.connect(self._show_progress)
        run.written.connect(self.quality_panel.refresh)
        run.learned.connect(lambda c: self.expected_iou_label.show_calibrations(c, names))
        run.learned.connect(lambda _: self._jobs.loaded.add(str(job.model)))
        run.ended.connect(self._end)
        self.expected_iou_label.reset()
        self._show_progress(0, frame_count, "Starting: loading the model.")
        self._show_running(running=True)

    def _watch_annotations(self) -> None:
        annotations = self.form.annotation_list.annotations
        self.preview_box.watch([annotation.layer for annotation in annotations])

    def _show_progress(self, done: int, total: int, message: str) -> None:
        self._controls.show_progress(done, total)
        if self.cancel_button.isEnabled():  # otherwise "Cancelling" stays
            self.status.show_message(message)

    def _end(self, outcome: str, message: str) -> None:
        if self._run is not None and outcome in {"done", "cancelled"}:
            least = self._run.least_confident()
            if least:
                self.expected_iou_label.show_least_confident(least)
        if self._record is not None:
            self._record.push(self.history)
        self._run = self._record = None
        self._show_running(running=False)
        self._warm_up()
        self._show_outcome(outcome, message)
        if outcome == "done":
            self.objects_panel.find_after_run()

    def _on_accepted(self, message: str) -> None:
        self.status.show_message(message)
        self._refresh_quality()
        self._warm_up()

    def _on_undo(self, message: str) -> None:
        self.status.show_message(message)
        self.accept_button.refresh()
        self._refresh_quality()

    def _refresh_quality(self) -> None:
        self.quality_panel.refresh()
        if not self.running:
            self.expected_iou_label.show_least_confident(self.quality_panel.least_confident())

    def _record_added(self, action: str, layers: list[Layer]) -> None:
        added = AddedLayers(self._viewer, layers)
        self.history.push(action, added.remove, added.restore)

    def _warm_up(self) -> None:
        """Start the worker process while the user is still annotating."""
        annotated = bool(self.form.annotation_list.annotations) and not self._closed
        if isinstance(self._engine, ProcessEngine) and annotated:
            self._engine.warm_up()

    def _restart_worker(self) -> None:
        """End the worker, which keeps the settings of its start, after the current run if any."""
        if self._run is None:
            self._end_worker()
        else:
            self._run.ended.connect(lambda *_: self._end_worker())

    def _enable_keys(self, *, enabled: bool) -> None:
        self.history.enable_keys(enabled=enabled)
        self.form.class_list.enable_keys(enabled=enabled)

    def _abandon(self) -> None:
        self._closed = True
        self._enable_keys(enabled=False)
        self.tour.end()
        if self._run is not None:
            self._run.abandon()
            self._end("cancelled", "Cancelled: the dock was closed. Finished frames are kept.")
        self.objects_panel.abandon()
        self.session_panel.detach()
        self.preview_box.abandon()
        self.preview_box.lock(locked=True)
        self._end_worker()

    def _release(self) -> None:
        super()._release()
        for component in (
            self.preview_box,
            self.accept_button,
            self.quality_panel,
            self.objects_panel,
            self.session_panel,
            self._preferences,
            self.form,
            self.history,
        ):
            component.release()

    def _show_running(self, *, running: bool) -> None:
        self._controls.show_running(running=running)
        for widget in (self.preview_box, self.accept_button, self.objects_panel, self.history):
            widget.lock(locked=running)
