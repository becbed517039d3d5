"""Connection of the panel's state with the viewer, the worker and the widgets that show it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.process.engine import ProcessEngine
from napari_vrp_sam.plugin.layers.frame_view import view_problem
from napari_vrp_sam.plugin.layers.stacks import frames_of
from napari_vrp_sam.plugin.segment.status.panel_view import view
from napari_vrp_sam.plugin.segment.status.run_state import Outcome, Quality, RunEnd
from napari_vrp_sam.plugin.segment.status.state import Notice, PanelState
from napari_vrp_sam.plugin.widgets.wording import split_message

if TYPE_CHECKING:
    import napari

    from napari_vrp_sam.inference.runs.engine import Engine
    from napari_vrp_sam.inference.runs.events import Loaded
    from napari_vrp_sam.inference.runs.process.worker_process import WorkerState
    from napari_vrp_sam.models.calibration import ClassCalibration
    from napari_vrp_sam.plugin.inputs.segment_form import SegmentForm
    from napari_vrp_sam.plugin.segment.preview_state import PreviewState
    from napari_vrp_sam.plugin.segment.run import SegmentationRun
    from napari_vrp_sam.plugin.segment.run_controls import RunControls
    from napari_vrp_sam.plugin.segment.status.quality_panel import QualityPanel
    from napari_vrp_sam.plugin.segment.status.state import Topic
    from napari_vrp_sam.plugin.segment.status.status_card import StatusCard
    from napari_vrp_sam.plugin.widgets.controls import Severity

TICK_MILLISECONDS = 1000

Describe = Callable[["dict[int, ClassCalibration]"], None]
"""Stores the calibrations with the result."""


class PanelStatus(QObject):
    """Hold the state of the panel, change it with events, and show what follows from it.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    form : SegmentForm
    quality_panel : QualityPanel
    card : StatusCard
    controls : RunControls
    engine : Engine
    parent : QObject
    """

    _worker_changed = Signal(object)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        form: SegmentForm,
        quality_panel: QualityPanel,
        card: StatusCard,
        controls: RunControls,
        engine: Engine,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self.state = PanelState()
        self._viewer = viewer
        self._form = form
        self._quality_panel = quality_panel
        self._card, self._controls = card, controls
        self._engine = engine
        self._run: SegmentationRun | None = None
        self._settings = ""
        form.image_box.chosen.connect(self._on_image)
        for changed in (
            form.annotation_list.changed,
            form.model_box.currentIndexChanged,
            form.axes_box.currentTextChanged,
            form.channel_box.changed,
        ):
            changed.connect(self.on_inputs)
        quality_panel.refreshed.connect(self._on_result)
        dims = viewer.dims.events
        self._view_emitters = dims.current_step, dims.ndisplay, dims.order
        for emitter in self._view_emitters:
            emitter.connect(self._on_view)
        events = viewer.layers.events
        names = ("inserted", "removed", "renamed")
        self._emitters = [events.emitters[name] for name in names if name in events.emitters]
        for emitter in self._emitters:
            emitter.connect(self._on_layers)
        self._worker_changed.connect(self._on_worker)
        if isinstance(engine, ProcessEngine):
            engine.listen(self._report_worker)
            self._on_worker(engine.state)
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MILLISECONDS)
        self._timer.timeout.connect(self._tick)
        self._timer.start()
        self._on_layers()
        self.on_inputs()
        self._on_result()
        self._show()

    def notify(self, text: str, severity: Severity = "info", topic: Topic = "action") -> None:
        """Show a message until what it is about changes."""
        notice = Notice(text, severity=severity, topic=topic, time=time.monotonic())
        self._set(self.state.noticed(notice))

    def warn_of_mask(self, text: str) -> None:
        """Show that a mask seems to be incomplete; an empty text withdraws the warning."""
        self._set(self.state.mask_doubted(text))

    def start(
        self,
        run: SegmentationRun,
        describe: Describe,
        settings: str = "",
    ) -> None:
        """Follow a run.

        Parameters
        ----------
        run : SegmentationRun
        describe : callable
            Stores the expected quality, once it is known, with the result.
        settings : str
            Thresholds and clean-up in words; empty for the automatic ones.
        """
        self._run, self._settings = run, settings
        run.progressed.connect(lambda event: self._set(self.state.progressed(event, _now())))
        run.loaded.connect(self.on_loaded)
        run.warned.connect(lambda text: self._set(self.state.warned(text, _now())))
        run.learned.connect(lambda found: self._on_learned(found, describe))
        self._set(self.state.started(run.frame_count - run.frames_done, _now()))

    def on_loaded(self, event: Loaded) -> None:
        """Show the device on which a model was loaded."""
        self._set(self.state.loaded(event.device_name))

    def cancel(self) -> None:
        """Show that the run is being cancelled."""
        self._set(self.state.cancelling(_now()))

    def end(self, outcome: Outcome, message: str) -> None:
        """Show how the run has ended."""
        run, started = self._run, self.state.run
        self._run = None
        if run is None or started is None:
            return
        layer = run.layer
        end = RunEnd(
            outcome,
            done=run.frames_done,
            total=run.frame_count,
            seconds=_now() - started.started,
            layer=None if layer is None else layer.unique_id,
            message=message,
            settings=self._settings,
        )
        self._on_layers()
        self._set(self.state.ended(end))

    def on_inputs(self, _event: Any = None) -> None:
        """Update the state after a change of the annotations or settings."""
        form = self._form
        annotated = bool(form.annotation_list.annotations)
        self._set(
            self.state.inputs_changed(image=form.image_box.layer is not None, annotated=annotated)
        )

        self._on_view()

    def on_preview(self, preview: PreviewState) -> None:
        """Show why the frame in view has no preview."""
        self._set(self.state.previewed(preview.reason))

    def on_objects(self, *, outdated: bool) -> None:
        """Show that the objects are out of date, or no longer."""
        self._set(self.state.objects_checked(outdated=outdated))

    def on_unfinished(self, text: str) -> None:
        """Offer to resume an interrupted run of the image, or no longer."""
        self._set(self.state.unfinished_found(text))

    def edited(self, _event: Any = None) -> None:
        """Remove the message on an action that was undone or redone."""
        self._set(self.state.edited())

    def release(self) -> None:
        """Disconnect from the viewer, which is closing."""
        self._timer.stop()
        if isinstance(self._engine, ProcessEngine):
            self._engine.ignore(self._report_worker)
        self._worker_changed.disconnect(self._on_worker)
        for emitter in self._emitters:
            emitter.disconnect(self._on_layers)
        for emitter in self._view_emitters:
            emitter.disconnect(self._on_view)

    def _on_image(self) -> None:
        self._set(self.state.image_chosen(image=self._form.image_box.layer is not None))
        self.on_inputs()
        self._on_result()

    def _on_view(self, event: Any = None) -> None:
        image = self._form.image_box.layer
        problem = ""
        if image is not None:
            try:
                frames = frames_of(image, self._form.axes or None)
                problem = view_problem(image, frames, self._viewer.dims)
            except InputError as error:  # such as an image that is too small
                problem = split_message(str(error))[0]
        self._set(self.state.view_changed(problem, moved=event is not None))

    def _on_result(self) -> None:
        self._set(self.state.result_changed(self._quality_panel.quality()))

    def _on_layers(self, _event: Any = None) -> None:
        names = {layer.unique_id: layer.name for layer in self._viewer.layers}
        self._set(self.state.layers_changed(names))

    def _on_learned(
        self,
        calibrations: dict[int, ClassCalibration],
        describe: Describe,
    ) -> None:
        names = self._form.class_list.classes.name
        quality = Quality(
            tuple((names(c), calibration.expected_iou) for c, calibration in calibrations.items()),
            tuple(f"{names(c)}: {calibration}." for c, calibration in calibrations.items()),
        )
        describe(calibrations)
        self._set(self.state.learned(quality))

    def _report_worker(self, state: WorkerState) -> None:
        """Pass on a state of the worker process, which another thread reports."""
        with suppress(RuntimeError):  # Qt may have deleted the panel when napari ends
            self._worker_changed.emit(state)

    def _on_worker(self, _state: object = None) -> None:
        # The present state, because signals of several threads may overtake each other.
        assert isinstance(self._engine, ProcessEngine)
        self._set(self.state.worker_changed(self._engine.state))

    def _tick(self) -> None:
        """Follow the clock."""
        if self.state.run is not None:
            self._show()

    def _set(self, state: PanelState) -> None:
        if state != self.state:
            self.state = state
            self._show()

    def _show(self) -> None:
        shown = view(self.state, _now())
        self._card.show_view(shown)
        self._controls.show_view(shown)


def _now() -> float:
    return time.monotonic()
