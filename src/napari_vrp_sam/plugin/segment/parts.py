"""Controls of the dock widget "Segment stack" and their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_vrp_sam.inference.runs.process.engine import ProcessEngine
from napari_vrp_sam.plugin.batch.opening import FileOpener
from napari_vrp_sam.plugin.batch.panel import FilesPanel
from napari_vrp_sam.plugin.inputs.segment_form import SegmentForm
from napari_vrp_sam.plugin.objects.panel import ObjectsPanel
from napari_vrp_sam.plugin.preferences import Preferences
from napari_vrp_sam.plugin.segment.jobs import JobFactory
from napari_vrp_sam.plugin.segment.preview import PreviewBox
from napari_vrp_sam.plugin.segment.result.accept_button import AcceptButton
from napari_vrp_sam.plugin.segment.result.apply_button import ApplyButton
from napari_vrp_sam.plugin.segment.result.export_button import ExportButton
from napari_vrp_sam.plugin.segment.result.result_row import ResultRow
from napari_vrp_sam.plugin.segment.result.result_tools import ResultTools
from napari_vrp_sam.plugin.segment.run_controls import RunControls
from napari_vrp_sam.plugin.segment.status.incomplete_mask import IncompleteMaskButton
from napari_vrp_sam.plugin.segment.status.panel_status import PanelStatus
from napari_vrp_sam.plugin.segment.status.quality_panel import QualityPanel
from napari_vrp_sam.plugin.segment.status.status_card import StatusCard
from napari_vrp_sam.plugin.segment.tour import Tour, tour_steps
from napari_vrp_sam.plugin.segment.unfinished.offer import UnfinishedOffer
from napari_vrp_sam.plugin.segment.unfinished.restoring import restore_inputs
from napari_vrp_sam.plugin.session.panel import SessionPanel
from napari_vrp_sam.plugin.widgets.controls import keep_place
from napari_vrp_sam.plugin.widgets.dock import PluginDock
from napari_vrp_sam.plugin.widgets.undo import UndoButtons, UndoHistory

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_vrp_sam.inference.runs.engine import Engine
    from napari_vrp_sam.io.sessions.session import Session


class SegmentParts(PluginDock):
    """Dock with the controls of "Segment stack", which do not act on each other yet.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    engine : Engine, optional
        Default: a worker process of this dock.
    """

    def __init__(self, viewer: napari.viewer.Viewer, engine: Engine | None = None) -> None:
        super().__init__(viewer, engine)
        self._make_inputs(viewer)
        self._make_result_controls(viewer)
        # Tests pass an engine without a process.
        own = isinstance(self._engine, ProcessEngine)
        self.files_panel = FilesPanel(ProcessEngine if own else lambda: self._engine)
        self.opener = FileOpener(viewer, self.form.class_list.classes.as_dicts, self)
        self.session_panel = SessionPanel(
            viewer, self.form, self.objects_panel.form, lambda: self.result_tools.settings
        )
        self.undo_buttons = UndoButtons(self.history)
        self.preferences = Preferences(self.form, self)
        steps = tour_steps(
            viewer,
            self.form,
            lambda: self.running,
            segment_button=self.segment_button,
            confidence_plot=self.quality_panel.plot,
            accept_button=self.accept_button,
        )
        self.tour = Tour(viewer, steps, self.scroll)
        self._lay_out()
        self.panel = PanelStatus(
            viewer, self.form, self.quality_panel, self.card, self.controls, self._engine, self
        )

    @property
    def running(self) -> bool:
        """True during a segmentation run."""
        raise NotImplementedError

    def restore_inputs(self, image: Image, session: Session) -> None:
        """Apply the inputs of an interrupted run on an image."""
        restore_inputs(
            self._viewer, self.form, image, session, lambda text: self.panel.notify(text, "warning")
        )
        self.result_tools.refresh()

    def lock(self, *, locked: bool) -> None:
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

    def _release(self) -> None:
        super()._release()
        for component in (
            self.panel,
            self.preview_box,
            self.result_row,
            self.accept_button,
            self.quality_panel,
            self.result_tools,
            self.export_button,
            self.apply_button,
            self.files_panel,
            self.opener,
            self.unfinished_offer,
            self.objects_panel,
            self.session_panel,
            self.preferences,
            self.form,
            self.history,
        ):
            component.release()

    def _make_inputs(self, viewer: napari.viewer.Viewer) -> None:
        self.history = UndoHistory(viewer, self)
        self.form = SegmentForm(viewer, self.history)
        self.history.follow(lambda: self.form.image_box.layer)
        self.result_tools = ResultTools(viewer, self.form.image_box, self.history)
        self.jobs = JobFactory(viewer, self.form, lambda: self.result_tools.settings.of_run)
        self.form.gallery_button.compare = lambda m: self._engine.submit(self.jobs.compare(m))
        self.preview_box = PreviewBox(viewer, self._engine, self.jobs.preview)
        self.controls = controls = RunControls(self.preview_box)
        self.segment_button, self.cancel_button = controls.segment_button, controls.cancel_button
        self.probability_box, self.progress = self.form.probability_box, controls.progress
        self.incomplete_mask = IncompleteMaskButton(
            self.form.annotation_list, self.form.accepted_indices
        )
        self.unfinished_offer = UnfinishedOffer(self.form.image_box)
        self.card = StatusCard(self.incomplete_mask, self.unfinished_offer)
        self.status, self.expected_iou_label = self.card.message, self.card.quality

    def _make_result_controls(self, viewer: napari.viewer.Viewer) -> None:
        image_box = self.form.image_box
        self.result_row = ResultRow(viewer, self.form)
        self.accept_button = AcceptButton(viewer, image_box, self.history)
        keep_place(self.accept_button)
        self.quality_panel = QualityPanel(viewer, image_box)
        self.objects_panel = ObjectsPanel(
            viewer,
            image_box,
            lambda: self.form.axes,
            self._engine,
            self.result_tools.object_settings,
        )
        self.export_button = ExportButton(
            viewer, image_box, self.result_tools.relabelling, self.objects_panel.is_outdated
        )
        self.apply_button = ApplyButton(
            viewer,
            image_box,
            self.jobs.apply,
            lambda: self.form.axes,
            self.form.device_box.currentText,
            self.form.class_list.classes.as_dicts,
        )

    def _lay_out(self) -> None:
        self.layout().insertWidget(0, self.tour)
        self._add_widgets(
            self.form,
            self.controls,
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
