"""Dock widget "Segment stack"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning
from qtpy.QtGui import QShowEvent

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.plugin.layers.drawing import EditWatch
from napari_vrp_sam.plugin.layers.outputs.accepted import current_result
from napari_vrp_sam.plugin.layers.outputs.outlines import is_preview_layer
from napari_vrp_sam.plugin.layers.undo import AddedLayers
from napari_vrp_sam.plugin.models.changes import user_model_signals
from napari_vrp_sam.plugin.segment.parts import SegmentParts
from napari_vrp_sam.plugin.segment.runs import StackRuns
from napari_vrp_sam.plugin.segment.warm_up import WarmUp
from napari_vrp_sam.plugin.widgets.wording import split_message

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels, Layer

    from napari_vrp_sam.inference.runs.engine import Engine
    from napari_vrp_sam.plugin.segment.preview_state import PreviewState
    from napari_vrp_sam.plugin.segment.status.state import Topic

PARTIAL = "The masks are partial: unmarked pixels are unknown. {}Press Segment stack to apply this."
CORRECTION = "Correct the result with the brush and the eraser, then press Accept frame {}."


class SegmentStackWidget(SegmentParts):
    """Segment a class, annotated on one or more frames, on every frame of a stack.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    engine : Engine, optional
        Default: a worker process of this dock.
    """

    def __init__(self, viewer: napari.viewer.Viewer, engine: Engine | None = None) -> None:
        super().__init__(viewer, engine)
        self._closed = self._restart_due = self._uncovers = False
        self._annotations: list[dict[str, Any]] = []
        self._edits = EditWatch()
        self._worker = WarmUp(self._engine, self.form, self.jobs)
        self.runs = StackRuns(viewer, self._engine, self)
        self.lock(locked=False)
        self._connect()
        # Sessions that napari opened before this dock, now that all parts follow.
        self.session_panel.refresh()

    @property
    def running(self) -> bool:
        """True during a segmentation run."""
        return self.runs.running

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Bind the keys, which stay bound while the dock is open in a hidden tab."""
        super().showEvent(event)
        self._enable_keys(enabled=True)
        if self._closed:
            self._closed = False
            self.preview_box.lock(locked=False)
        if not self.running:
            self.unfinished_offer.search()
        self._warm_up()

    def segment(self) -> None:
        """Start a run, or show why it cannot start."""
        if self.running:
            return
        try:
            self.runs.start()
        except InputError as error:
            self.form.label_question.show_error(error)
            self._warn(str(error))

    def cancel(self) -> None:
        """Cancel the run; finished frames are kept."""
        self.runs.cancel()

    def _connect(self) -> None:
        self.preferences.downloads_changed.connect(self._restart_worker)
        self.form.warned.connect(self._warn)
        self.form.annotation_list.changed.connect(self._warm_up)
        self.form.annotation_list.changed.connect(self._watch_annotations)
        self.form.image_box.chosen.connect(self.preview_box.on_image)
        self.form.image_box.chosen.connect(self.history.refresh)
        self.form.image_box.chosen.connect(self._scroll_to_top)
        self.form.image_box.chosen.connect(self._warm_up)
        self.form.model_box.currentIndexChanged.connect(self._warm_up)
        self.form.device_box.currentIndexChanged.connect(self._warm_up)
        for setting in (
            self.form.model_box.currentIndexChanged,
            self.form.prompting_box.currentIndexChanged,
            self.form.channel_box.changed,
        ):
            setting.connect(self._on_setting)
        self.form.axes_box.currentTextChanged.connect(self.objects_panel.refresh)
        self.form.tour_button.clicked.connect(self.tour.start)
        self.form.class_list.classes.changed.connect(self.quality_panel.refresh)
        self.tour.shown.connect(self.form.hide_guide)
        self.preview_box.refused.connect(self.form.label_question.show_error)
        self.preview_box.drawn.connect(self.panel.on_inputs)
        self.preview_box.drawn.connect(self.incomplete_mask.withdraw)
        self.preview_box.state_changed.connect(self.panel.on_preview)
        self.preview_box.state_changed.connect(self._uncover)
        self.incomplete_mask.warned.connect(self.panel.warn_of_mask)
        self.incomplete_mask.accepted.connect(self._on_partial)
        self.form.class_list.followed.connect(self.panel.notify)
        self.preview_box.loaded.connect(self.panel.on_loaded)
        self.result_row.in_view.changed.connect(self.preview_box.cover)
        self.preview_box.learned.connect(self.incomplete_mask.show_calibrations)
        self.segment_button.clicked.connect(self.segment)
        self.cancel_button.clicked.connect(self.cancel)
        self.accept_button.changed.connect(self._on_accepted)
        self.quality_panel.asked.connect(self._prepare_correction)
        self.objects_panel.reported.connect(lambda text: self.panel.notify(text, topic="objects"))
        self.objects_panel.warned.connect(lambda text: self._warn(text, "objects"))
        self.objects_panel.added.connect(self._record_added)
        self.objects_panel.checked.connect(lambda on: self.panel.on_objects(outdated=on))
        self.session_panel.reported.connect(
            lambda text, severity: self.panel.notify(text, severity, "session")
        )
        self.session_panel.opened.connect(self._keep_covered)
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
        self.runs.refused.connect(lambda error: self._warn(str(error)))
        self.runs.ended.connect(self._on_run_ended)
        self.apply_button.made.connect(self.runs.apply)
        self.apply_button.files_made.connect(self.files_panel.start)
        self.files_panel.opened.connect(self.opener.open)
        self.opener.opened.connect(self.form.image_box.choose)
        self.opener.warned.connect(self._warn)
        self.files_panel.reported.connect(self.panel.notify)
        self.files_panel.warned.connect(lambda text: self._warn(text, "action"))
        self.apply_button.reported.connect(self.panel.notify)
        self.apply_button.warned.connect(self._warn)
        self.export_button.reported.connect(self.panel.notify)
        self.export_button.warned.connect(lambda text: self._warn(text, "action"))
        self.unfinished_offer.found.connect(self.panel.on_unfinished)
        self.unfinished_offer.resumed.connect(self.runs.resume)
        self.unfinished_offer.discarded.connect(
            lambda: self.panel.notify("The interrupted run was discarded.")
        )
        self.history.changed.connect(self.panel.edited)
        self.history.reported.connect(self._on_undo)
        user_model_signals.created.connect(self.form.model_box.choose)

    def _watch_annotations(self) -> None:
        annotations = [vars(annotation) for annotation in self.form.annotation_list.annotations]
        if annotations != self._annotations:  # the list also reports other layers, as the preview
            self._annotations = annotations
            self.preview_box.watch([annotation["layer"] for annotation in annotations])

    def _on_setting(self) -> None:
        """Preview the frame in view by another setting."""
        self._uncovers = self.preview_box.isChecked() and not self.running
        self.preview_box.request_update()

    def _uncover(self, preview: PreviewState) -> None:
        """Hide the result as soon as the preview by another setting is there."""
        if self._uncovers and preview.phase == "refining":
            self._uncovers = False
            self.result_row.hidden_results.hide()

    def _keep_covered(self) -> None:
        """Keep the result of a session in view, which has changed the settings."""
        self._uncovers = False

    def _scroll_to_top(self) -> None:
        """Show what concerns another image from the start."""
        self.scroll.verticalScrollBar().setValue(0)

    def _warn(self, message: str, topic: Topic = "inputs") -> None:
        self.panel.notify(message, "warning", topic)
        show_warning(split_message(message)[0])

    def _on_partial(self) -> None:
        renewed = self.preview_box.isChecked()
        self.panel.notify(PARTIAL.format("The preview is renewed. " if renewed else ""))

    def _on_accepted(self, message: str) -> None:
        self.quality_panel.refresh()
        self.objects_panel.check()
        self.incomplete_mask.check()
        self.result_tools.refresh()
        self.panel.notify(message)
        self._warm_up()

    def _prepare_correction(self, layer: Labels, number: str) -> None:
        """Let the user paint in the result, and not in the annotation that was drawn before."""
        if self.running:
            return
        self._viewer.layers.selection.active = layer
        layer.visible = True
        layer.mode = "paint"
        self.panel.notify(CORRECTION.format(number), topic="view")

    def _on_undo(self, message: str) -> None:
        self.accept_button.refresh()
        self.quality_panel.refresh()
        self.objects_panel.check()
        self.incomplete_mask.check()
        self.result_tools.refresh()
        self.panel.notify(message, topic="undo")
        image = self.form.image_box.layer
        if not self._viewer.layers.selection and image is not None:
            # The selected layer is gone; keys and tools need another one.
            selected = current_result(self._viewer, image) or image
            self._viewer.layers.selection.active = selected
        self._edits.release()
        self._edits = EditWatch(
            [layer for layer in self._viewer.layers if not is_preview_layer(layer)],
            self.panel.edited,
        )

    def _record_added(self, action: str, layers: list[Layer]) -> None:
        added = AddedLayers(self._viewer, layers)
        self.history.push(action, added.remove, added.restore)

    def _warm_up(self) -> None:
        """Prepare the worker while the user annotates."""
        if not (self._closed or self.running):
            self._worker.request()

    def _on_run_ended(self) -> None:
        if self._restart_due:
            self._restart_due = False
            self._end_worker()
        self._warm_up()

    def _restart_worker(self) -> None:
        """End the worker, which keeps the settings of its start, after the current run if any."""
        if self.running:
            self._restart_due = True
        else:
            self._end_worker()

    def _enable_keys(self, *, enabled: bool) -> None:
        self.history.enable_keys(enabled=enabled)
        self.form.class_list.enable_keys(enabled=enabled)
        self.result_row.enable_key(enabled=enabled)

    def _abandon(self) -> None:
        self._closed = True
        self._enable_keys(enabled=False)
        self.tour.end()
        self.runs.abandon("because the dock was closed")
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
        self._annotations = []
