"""The dock widget 'Fine-tune'."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.notifications import show_error, show_warning
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.interrupted.saved_job import load_job
from napari_vrp_sam.inference.runs.process import ProcessEngine
from napari_vrp_sam.plugin.fine_tune.comparison import ComparisonBox
from napari_vrp_sam.plugin.fine_tune.form import FineTuneForm
from napari_vrp_sam.plugin.fine_tune.learning_plot import LearningPlot
from napari_vrp_sam.plugin.fine_tune.run import FineTuningRun
from napari_vrp_sam.plugin.fine_tune.run_controls import FineTuneControls
from napari_vrp_sam.plugin.fine_tune.unfinished_box import UnfinishedBox
from napari_vrp_sam.plugin.layers.stacks import frames_of, stack_data
from napari_vrp_sam.plugin.models.changes import user_model_signals
from napari_vrp_sam.plugin.models.panel import UserModelsPanel
from napari_vrp_sam.plugin.widgets.closing import CloseWatcher
from napari_vrp_sam.plugin.widgets.controls import MessageLabel
from napari_vrp_sam.plugin.widgets.keyboard import TabNavigation
from napari_vrp_sam.plugin.widgets.scroll_column import ScrollColumn

if TYPE_CHECKING:
    from pathlib import Path

    import napari

    from napari_vrp_sam.fine_tuning.events import FineTuningResult
    from napari_vrp_sam.fine_tuning.job import FineTuneJob
    from napari_vrp_sam.inference.runs.engine import Engine


class FineTuneWidget(QWidget):
    """Make a model better on the images at hand, from the frames that are annotated.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    engine : Engine
        Where the work runs; a process of its own unless given: a segmentation need not wait, and
        all memory comes back at the end.
    """

    def __init__(self, viewer: napari.viewer.Viewer, engine: Engine | None = None) -> None:
        super().__init__()
        self._viewer = viewer
        self._engine = engine if engine is not None else ProcessEngine()
        self._run: FineTuningRun | None = None
        self._result: FineTuningResult | None = None
        self._base = ""
        self.unfinished_box = UnfinishedBox()
        self.form = FineTuneForm(viewer)
        self.controls = FineTuneControls()
        self.status = MessageLabel()
        self.plot = LearningPlot()
        self.comparison = ComparisonBox(viewer)
        self.user_models_panel = UserModelsPanel()
        self.scroll = ScrollColumn()
        self._keyboard = TabNavigation(self, self.scroll.content)
        self._lay_out()
        self.plot.hide()

        self.form.warned.connect(self._refuse)
        self.unfinished_box.resumed.connect(self.resume)
        self.unfinished_box.reported.connect(self.status.show_message)
        self.controls.start_button.clicked.connect(self.fine_tune)
        self.controls.pause_button.clicked.connect(self._pause_or_go_on)
        self.controls.cancel_button.clicked.connect(self.cancel)
        self.user_models_panel.reported.connect(self.status.show_message)
        self.user_models_panel.warned.connect(self._refuse)
        self.comparison.warned.connect(show_warning)  # the status tells of the steps
        user_model_signals.changed.connect(self.form.suggest_name)
        closing = CloseWatcher(self)
        closing.dock_closed.connect(self._abandon)
        closing.window_closed.connect(self._release)

    @property
    def running(self) -> bool:
        """Whether a model is learning."""
        return self._run is not None

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Look for runs that were broken off while the dock was closed."""
        super().showEvent(event)
        self.unfinished_box.refresh()
        self.form.suggest_name()

    def focusNextPrevChild(self, forward: bool) -> bool:  # noqa: FBT001, N802 # Qt's
        """Tab goes through the controls as they are seen."""
        return self._keyboard.step(forward=forward)

    def fine_tune(self) -> None:
        """Start; a mistake of the user ends in one sentence."""
        if self._refuse_second():
            return
        try:
            self._start(self.form.job())
        except InputError as mistake:
            self._refuse(str(mistake))

    def resume(self, output: Path) -> None:
        """Go on with a run that was broken off, on the chosen image."""
        if self._refuse_second():
            return
        try:
            self._start(load_job(output, stack_data(self.form.image)))
        except InputError as mistake:
            self._refuse(str(mistake))

    def cancel(self) -> None:
        """Stop; what was learned is kept to be resumed."""
        if self._run is not None:
            self.controls.cancel_button.setEnabled(False)
            self.controls.pause_button.setEnabled(False)
            self.status.show_message("Cancelling…")
            self._run.cancel()

    def _start(self, job: FineTuneJob) -> None:
        image = self.form.image
        self._base, self._result = str(job.model), None
        self._run = FineTuningRun(self._engine.submit(job), job.output.stem, self)
        self._run.reported.connect(self._tell)
        self._run.progressed.connect(self.controls.show_progress)
        self._run.learned.connect(self.plot.add)
        self._run.compared.connect(self.comparison.take)
        self._run.tuned.connect(self._take_result)
        self._run.ended.connect(self._end)
        self.comparison.begin(image, frames_of(image, job.axes))
        self.plot.begin()
        self.plot.show()
        self._show_running(running=True)
        self.status.show_message("Starting: libraries and model are loaded first.")

    def _show_running(self, *, running: bool) -> None:
        self.controls.show_running(running=running)
        self.unfinished_box.lock(locked=running)
        self.form.lock(locked=running)

    def _refuse_second(self) -> bool:
        if self.running:
            self._refuse("One model learns already: wait for it, or cancel it first.")
        return self.running

    def _pause_or_go_on(self) -> None:
        if self._run is None:
            return
        if self._run.paused:
            self._run.resume()
            self.status.show_message("Going on…")
        else:
            self._run.pause()
            self.status.show_message("Paused after this step.")
        self.controls.show_paused(paused=self._run.paused)

    def _tell(self, message: str) -> None:
        if self.controls.cancel_button.isEnabled():  # else "Cancelling" stays
            self.status.show_message(message)

    def _take_result(self, result: FineTuningResult) -> None:
        self._result = result

    def _end(self, outcome: str, message: str) -> None:
        self._run = None
        self._end_worker()
        self._show_running(running=False)
        if outcome == "refused":
            self._refuse(message)
        elif outcome == "failed":
            self.status.show_message(message, "error")
            show_error(message)
        elif outcome == "cancelled":
            kept = " What was learned is kept: resume or discard it above."
            self.status.show_message(message + (kept if self.unfinished_box.rows else ""))
        elif self._result is not None:
            self._announce(self._result)

    def _announce(self, result: FineTuningResult) -> None:
        """Say what came of it, good or bad."""
        ious = f"IoU held out: {result.iou_before:.3f} before, {result.iou_after:.3f} after"
        if result.path is None:
            verdict = "Hardly better" if result.iou_after > result.iou_before else "Not better"
            self.status.show_message(
                f"{verdict} ({ious}): nothing was saved, '{self._base}' stays. Annotate another "
                "frame, or give it more time.",
                "warning",
            )
            return
        name = result.path.stem
        user_model_signals.changed.emit()
        user_model_signals.created.emit(name)
        self.user_models_panel.select(name)
        self.form.forget_name()
        self.status.show_message(f"'{name}' is better ({ious}). It is in the list of models now.")

    def _refuse(self, sentence: str) -> None:
        self.status.show_message(sentence, "warning")
        show_warning(sentence)

    def _abandon(self) -> None:
        """The dock closes: end the process, and touch no layer again."""
        if self._run is not None:
            # Not cancelled: checkpoints stay as they are, and the process has no more say.
            self._end_worker()
            self._run.abandon()
            self._end("cancelled", "Stopped, as the dock was closed.")
        self.user_models_panel.abandon()
        self.comparison.clear()

    def _end_worker(self) -> None:
        if isinstance(self._engine, ProcessEngine):
            self._engine.close()

    def _release(self) -> None:
        """The window closes."""
        self._abandon()
        self.comparison.release()
        self._keyboard.release()
        self.form.release()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(5, 8, 3, 8)
        layout.addWidget(self.scroll)
        column = self.scroll.column
        column.setContentsMargins(3, 0, 3, 0)
        column.setSpacing(8)
        for widget in (
            self.unfinished_box,
            self.form,
            self.controls,
            self.status,
            self.plot,
            self.comparison,
            self.user_models_panel,
        ):
            column.addWidget(widget)
        column.addStretch(1)
        self.setMinimumWidth(240)
        # napari needs a vertical size policy to know that the dock may grow.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
