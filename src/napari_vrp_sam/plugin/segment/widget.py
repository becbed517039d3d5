"""Dock widget "Segment stack"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_warning
from qtpy.QtGui import QShowEvent

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.process.engine import ProcessEngine
from napari_vrp_sam.inference.runs.segmentation_job import plan
from napari_vrp_sam.plugin.batch.opening import FileOpener
from napari_vrp_sam.plugin.batch.panel import FilesPanel
from napari_vrp_sam.plugin.classes.classes import ClassEntry
from napari_vrp_sam.plugin.inputs.segment_form import SegmentForm
from napari_vrp_sam.plugin.layers.accepted import ACCEPTED
from napari_vrp_sam.plugin.layers.appearance.outlines import is_preview_layer
from napari_vrp_sam.plugin.layers.drawing import EditWatch
from napari_vrp_sam.plugin.layers.metadata import CLASSES
from napari_vrp_sam.plugin.layers.probabilities import ProbabilityLayers
from napari_vrp_sam.plugin.layers.results import ResultLayer
from napari_vrp_sam.plugin.layers.stacks import frames_of
from napari_vrp_sam.plugin.layers.undo import AddedLayers, RunRecord
from napari_vrp_sam.plugin.models.changes import user_model_signals
from napari_vrp_sam.plugin.objects.panel import ObjectsPanel
from napari_vrp_sam.plugin.preferences import Preferences
from napari_vrp_sam.plugin.segment.jobs import JobFactory
from napari_vrp_sam.plugin.segment.preview import PreviewBox
from napari_vrp_sam.plugin.segment.result.accept_button import AcceptButton
from napari_vrp_sam.plugin.segment.result.apply_button import ApplyButton
from napari_vrp_sam.plugin.segment.result.export_button import ExportButton
from napari_vrp_sam.plugin.segment.result.result_row import ResultRow
from napari_vrp_sam.plugin.segment.result.result_tools import ResultTools
from napari_vrp_sam.plugin.segment.run import SegmentationRun
from napari_vrp_sam.plugin.segment.run_controls import RunControls
from napari_vrp_sam.plugin.segment.status.incomplete_mask import IncompleteMaskButton
from napari_vrp_sam.plugin.segment.status.panel_status import PanelStatus
from napari_vrp_sam.plugin.segment.status.quality_panel import QualityPanel, quality_metadata
from napari_vrp_sam.plugin.segment.status.status_card import StatusCard
from napari_vrp_sam.plugin.segment.tour import Tour, tour_steps
from napari_vrp_sam.plugin.session.panel import SessionPanel
from napari_vrp_sam.plugin.widgets.controls import keep_place
from napari_vrp_sam.plugin.widgets.dock import PluginDock
from napari_vrp_sam.plugin.widgets.undo import UndoButtons, UndoHistory
from napari_vrp_sam.plugin.widgets.wording import hidden_layers_used, split_message

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Layer
    from numpy.typing import NDArray

    from napari_vrp_sam.inference.runs.engine import Engine
    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
    from napari_vrp_sam.plugin.segment.status.state import Outcome, Topic


PARTIAL = "The masks are partial: unmarked pixels are unknown. {}Press Segment stack to use this."


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
        self._annotations: list[dict[str, Any]] = []
        self._prepared: object = None
        self._target: Image | None = None
        self._edits = EditWatch()
        self.history = UndoHistory(viewer, self)
        self.form = SegmentForm(viewer, self.history)
        self.history.follow(lambda: self.form.image_box.layer)
        self.result_tools = ResultTools(viewer, self.form.image_box, self.history)
        self._jobs = JobFactory(viewer, self.form, lambda: self.result_tools.settings.of_run)
        self.form.gallery_button.compare = lambda m: self._engine.submit(self._jobs.compare(m))
        self.preview_box = PreviewBox(viewer, self._engine, self._jobs.preview)
        self._controls = controls = RunControls(self.preview_box)
        self.segment_button, self.cancel_button = controls.segment_button, controls.cancel_button
        self.probability_box, self.progress = self.form.probability_box, controls.progress
        self.incomplete_mask = IncompleteMaskButton(self.form.annotation_list)
        self.card = StatusCard(self.incomplete_mask)
        self.status, self.expected_iou_label = self.card.message, self.card.quality
        self.result_row = ResultRow(viewer, self.form)
        self.accept_button = AcceptButton(viewer, self.form.image_box, self.history)
        keep_place(self.accept_button)
        self.quality_panel = QualityPanel(viewer, self.form.image_box)
        self.objects_panel = ObjectsPanel(
            viewer,
            self.form.image_box,
            lambda: self.form.axes,
            self._engine,
            self.result_tools.object_settings,
        )
        self.export_button = ExportButton(
            viewer,
            self.form.image_box,
            self.result_tools.relabelling,
            self.objects_panel.is_outdated,
        )
        self.apply_button = ApplyButton(viewer, self.form.image_box, self._jobs.apply)
        classes = self.form.class_list.classes
        # Tests pass an engine without a process.
        own = isinstance(self._engine, ProcessEngine)
        self.files_panel = FilesPanel(ProcessEngine if own else lambda: self._engine)
        self._opener = FileOpener(viewer, classes.as_dicts, self)
        self.session_panel = SessionPanel(
            viewer, self.form, self.objects_panel.form, lambda: self.result_tools.settings
        )
        self.undo_buttons = UndoButtons(self.history)
        self._preferences = Preferences(self.form, self)
        self.preview_box.refused.connect(self.form.label_question.show_error)
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
            self.quality_panel,
            self.accept_button,
            self.result_row,
            self.result_tools,
            self.export_button,
            self.apply_button,
            self.files_panel,
            self.form.notes,
            self.form.advanced,
            self.objects_panel,
            self.session_panel,
        )
        # Below the scroll area, where the answers to all buttons are visible.
        self.layout().addWidget(self.card)
        self.layout().addWidget(self.undo_buttons)  # at the edge, where nothing moves them
        self._panel = PanelStatus(
            viewer, self.form, self.quality_panel, self.card, controls, self._engine, self
        )
        self._lock(locked=False)
        self._connect()
        # Sessions that napari opened before this dock, now that all parts follow.
        self.session_panel.refresh()

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
        self._warm_up()

    def segment(self) -> None:
        """Start a run, or show why it cannot start."""
        if self.running:
            return
        try:
            self._start()
        except InputError as error:
            self.form.label_question.show_error(error)
            self._warn(str(error))

    def cancel(self) -> None:
        """Cancel the run; finished frames are kept."""
        if self._run is not None:
            self._panel.cancel()
            self._run.cancel()

    def _connect(self) -> None:
        self._preferences.downloads_changed.connect(self._restart_worker)
        self.form.warned.connect(self._warn)
        self.form.annotation_list.changed.connect(self._warm_up)
        self.form.annotation_list.changed.connect(self._watch_annotations)
        self.form.image_box.chosen.connect(self.preview_box.on_image)
        self.form.image_box.chosen.connect(self.history.refresh)
        self.form.image_box.chosen.connect(self._scroll_to_top)
        self.form.image_box.chosen.connect(self._warm_up)
        self.form.model_box.currentIndexChanged.connect(self._warm_up)
        self.form.device_box.currentIndexChanged.connect(self._warm_up)
        self.form.model_box.currentIndexChanged.connect(self.preview_box.request_update)
        self.form.prompting_box.currentIndexChanged.connect(self.preview_box.request_update)
        self.form.channel_box.changed.connect(self.preview_box.request_update)
        self.form.axes_box.currentTextChanged.connect(self.objects_panel.refresh)
        self.form.tour_button.clicked.connect(self.tour.start)
        self.form.class_list.classes.changed.connect(self.quality_panel.refresh)
        self.tour.shown.connect(self.form.hide_guide)
        self.preview_box.drawn.connect(self._panel.on_inputs)
        self.preview_box.drawn.connect(self.incomplete_mask.withdraw)
        self.preview_box.state_changed.connect(self._panel.on_preview)
        self.incomplete_mask.warned.connect(self._panel.warn_of_mask)
        self.incomplete_mask.accepted.connect(self._on_partial)
        self.form.class_list.followed.connect(self._panel.notify)
        self.preview_box.loaded.connect(self._panel.on_loaded)
        self.result_row.in_view.changed.connect(self.preview_box.cover)
        self.preview_box.learned.connect(self.incomplete_mask.show_calibrations)
        self.segment_button.clicked.connect(self.segment)
        self.cancel_button.clicked.connect(self.cancel)
        self.accept_button.changed.connect(self._on_accepted)
        self.objects_panel.reported.connect(lambda text: self._panel.notify(text, topic="objects"))
        self.objects_panel.warned.connect(lambda text: self._warn(text, "objects"))
        self.objects_panel.added.connect(self._record_added)
        self.objects_panel.checked.connect(lambda on: self._panel.on_objects(outdated=on))
        self.session_panel.reported.connect(
            lambda text, severity: self._panel.notify(text, severity, "session")
        )
        self.session_panel.opened.connect(self.quality_panel.refresh)
        self.session_panel.opened.connect(self.accept_button.refresh)
        self.session_panel.opened.connect(self.result_row.refresh)
        self.session_panel.opened.connect(self.result_tools.refresh)
        self.session_panel.added.connect(self._record_added)
        relabelling = self.result_tools.relabelling
        self.result_tools.changed.connect(self.objects_panel.on_clean_up)
        relabelling.finished.connect(self.objects_panel.on_clean_up)
        relabelling.started.connect(lambda: self.objects_panel.lock(locked=True))
        relabelling.finished.connect(lambda: self.objects_panel.lock(locked=self.running))
        self.apply_button.made.connect(self._apply)
        self.apply_button.files_made.connect(self.files_panel.start)
        self.files_panel.opened.connect(self._opener.open)
        self._opener.opened.connect(self.form.image_box.choose)
        self._opener.warned.connect(self._warn)
        self.files_panel.reported.connect(self._panel.notify)
        self.files_panel.warned.connect(lambda text: self._warn(text, "action"))
        self.apply_button.reported.connect(self._panel.notify)
        self.apply_button.warned.connect(self._warn)
        self.export_button.reported.connect(self._panel.notify)
        self.export_button.warned.connect(lambda text: self._warn(text, "action"))
        self.history.changed.connect(self._panel.edited)
        self.history.reported.connect(self._on_undo)
        user_model_signals.created.connect(self.form.model_box.choose)

    def _start(self) -> None:
        image = self.form.image
        accepted = self.form.accepted()
        references = self.form.references(accepted)
        job = self._jobs.run(references, accepted, probabilities=self.probability_box.isChecked())
        frames = sorted({r.frame for r in references if r.frame is not None})
        annotations = self.form.annotation_list.annotations
        hidden = [a.layer.name for a in annotations if not a.layer.visible]
        self._submit(job, image, accepted, reference_frames=frames)
        if hidden:
            self._panel.notify(hidden_layers_used(hidden), "warning", "run")

    def _apply(self, target: Image, job: SegmentationJob) -> None:
        """Start the run that segments another image by the annotations of the chosen one."""
        if self.running:
            return
        try:
            self._submit(job, target, {}, reference_frames=[])
        except InputError as error:
            self._warn(str(error))
            return
        self._target = target

    def _submit(
        self,
        job: SegmentationJob,
        image: Image,
        accepted: dict[int, NDArray[Any]],
        *,
        reference_frames: list[int],
    ) -> None:
        """Start a run whose result is a layer on an image."""
        axes = job.axes or ""
        classes = self.form.class_list.classes
        class_ids = {reference.class_id for reference in job.references}
        classes.include(map(ClassEntry.default, class_ids))
        frame_count = len(plan(job)[1]) + len(accepted)
        result = ResultLayer(
            self._viewer,
            image,
            axes=axes,
            class_ids=sorted(class_ids),
            accepted=accepted,
            settings=self.result_tools.settings,
            metadata={
                ACCEPTED: sorted(accepted),
                "model": job.model,
                CLASSES: classes.as_dicts(class_ids),
                "axes": axes,
                "channels": job.channels,
                "reference_frames": reference_frames,
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
        self.result_row.hidden_results.restore()
        self._record = RunRecord(self._viewer, result, probabilities)
        run.written.connect(self.quality_panel.refresh)
        run.written.connect(self.result_row.in_view.refresh)
        run.learned.connect(lambda _: self._jobs.loaded.add(str(job.model)))
        run.learned.connect(self.incomplete_mask.show_calibrations)
        run.ended.connect(self._end)
        self._panel.start(
            run,
            lambda calibrations: result.describe(**quality_metadata(calibrations)),
            str(self.result_tools.settings),
        )
        self._lock(locked=True)

    def _watch_annotations(self) -> None:
        annotations = [vars(annotation) for annotation in self.form.annotation_list.annotations]
        if annotations != self._annotations:  # the list also reports other layers, as the preview
            self._annotations = annotations
            self.preview_box.watch([annotation["layer"] for annotation in annotations])

    def _end(self, outcome: Outcome, message: str) -> None:
        if self._record is not None:
            self._record.push(self.history)
        self._panel.end(outcome, message)
        self._run = self._record = None
        self._lock(locked=False)
        self._show_target(outcome)
        self._warm_up()
        if outcome == "refused":
            show_warning(split_message(message)[0])
        elif outcome == "failed":
            show_error(split_message(message)[0])
        elif outcome == "done":
            self.objects_panel.find_after_run()

    def _show_target(self, outcome: Outcome) -> None:
        """Choose the image that the annotations were applied to, if it has a result."""
        target, self._target = self._target, None
        if outcome != "done":
            self.apply_button.forget_images()
        if target is None or target not in self._viewer.layers or self.apply_button.apply_next():
            return
        if outcome in ("done", "cancelled"):
            self._viewer.layers.selection.active = target
            self.form.image_box.choose(target)
            settings = str(self.result_tools.settings)
            text = f"Applied the annotations to '{target.name}'"
            text += f", with {settings}." if settings else "."
            if outcome == "cancelled":
                text = f"Cancelled: the finished frames of '{target.name}' are kept."
            self._panel.notify(text, topic="result")

    def _scroll_to_top(self) -> None:
        """Show what concerns another image from the start."""
        self.scroll.verticalScrollBar().setValue(0)

    def _warn(self, message: str, topic: Topic = "inputs") -> None:
        self._panel.notify(message, "warning", topic)
        show_warning(split_message(message)[0])

    def _on_partial(self) -> None:
        renewed = self.preview_box.isChecked()
        self._panel.notify(PARTIAL.format("The preview is renewed. " if renewed else ""))

    def _on_accepted(self, message: str) -> None:
        self.quality_panel.refresh()
        self.objects_panel.check()
        self._panel.notify(message)
        self._warm_up()

    def _on_undo(self, message: str) -> None:
        self.accept_button.refresh()
        self.quality_panel.refresh()
        self.objects_panel.check()
        self._panel.notify(message, topic="undo")
        self._edits.release()
        self._edits = EditWatch(
            [layer for layer in self._viewer.layers if not is_preview_layer(layer)],
            self._panel.edited,
        )

    def _record_added(self, action: str, layers: list[Layer]) -> None:
        added = AddedLayers(self._viewer, layers)
        self.history.push(action, added.remove, added.restore)

    def _warm_up(self) -> None:
        """Let the worker load the model and encode the frame in view while the user annotates."""
        if self._closed or self.running or not isinstance(self._engine, ProcessEngine):
            return
        process = self._engine.warm_up().process
        job = self._jobs.prepare()
        if job is None:
            return
        # Frames are not encoded again for every frame that the user looks at.
        image = self.form.image_box.layer
        shown = None if image is None else image.unique_id
        prepared = process.pid, shown, job.model, job.device
        if prepared != self._prepared:
            self._prepared = prepared
            self._engine.submit(job)

    def _restart_worker(self) -> None:
        """End the worker, which keeps the settings of its start, after the current run if any."""
        if self._run is None:
            self._end_worker()
        else:
            self._run.ended.connect(lambda *_: self._end_worker())

    def _enable_keys(self, *, enabled: bool) -> None:
        self.history.enable_keys(enabled=enabled)
        self.form.class_list.enable_keys(enabled=enabled)
        self.result_row.enable_key(enabled=enabled)

    def _abandon(self) -> None:
        self._closed = True
        self._enable_keys(enabled=False)
        self.tour.end()
        if self._run is not None:
            self._run.abandon()
            self._end("cancelled", "because the dock was closed")
        self.result_tools.relabelling.stop()
        self.objects_panel.abandon()
        self.files_panel.abandon()
        self.session_panel.detach()
        self.preview_box.abandon()
        self.preview_box.lock(locked=True)
        self._end_worker()

    def _release(self) -> None:
        super()._release()
        self._edits.release()
        for component in (
            self._panel,
            self.preview_box,
            self.result_row,
            self.accept_button,
            self.quality_panel,
            self.result_tools,
            self.export_button,
            self.apply_button,
            self.files_panel,
            self._opener,
            self.objects_panel,
            self.session_panel,
            self._preferences,
            self.form,
            self.history,
        ):
            component.release()
        self._annotations = []

    def _lock(self, *, locked: bool) -> None:
        """Lock what a run relies on."""
        self.form.lock(locked=locked)
        for widget in (
            self.preview_box,
            self.result_row,
            self.accept_button,
            self.result_tools,
            self.apply_button,
            self.objects_panel,
            self.history,
        ):
            widget.lock(locked=locked)
