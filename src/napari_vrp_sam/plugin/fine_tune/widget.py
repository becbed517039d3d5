"""Dock widget "Fine-tune"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.notifications import show_warning
from qtpy.QtGui import QShowEvent

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.fine_tuning.interrupted.saved_job import load_job
from napari_vrp_sam.fine_tuning.verdict import describe_result
from napari_vrp_sam.plugin.fine_tune.comparison import ComparisonBox
from napari_vrp_sam.plugin.fine_tune.form import FineTuneForm
from napari_vrp_sam.plugin.fine_tune.learning_plot import LearningPlot
from napari_vrp_sam.plugin.fine_tune.run import FineTuningRun
from napari_vrp_sam.plugin.fine_tune.run_controls import FineTuneControls
from napari_vrp_sam.plugin.fine_tune.unfinished_box import UnfinishedBox
from napari_vrp_sam.plugin.layers.stacks import frames_of, stack_data
from napari_vrp_sam.plugin.models.changes import user_model_signals
from napari_vrp_sam.plugin.models.panel import UserModelsPanel
from napari_vrp_sam.plugin.widgets.dock import PluginDock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import napari

    from napari_vrp_sam.fine_tuning.events import FineTuningResult
    from napari_vrp_sam.fine_tuning.job import FineTuneJob
    from napari_vrp_sam.inference.runs.engine import Engine


class FineTuneWidget(PluginDock):
    """Fine-tune a model on annotated frames.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    engine : Engine, optional
        Default: a worker process of this dock, which ends after each run to free its memory.
    """

    def __init__(self, viewer: napari.viewer.Viewer, engine: Engine | None = None) -> None:
        super().__init__(viewer, engine)
        self._run: FineTuningRun | None = None
        self._result: FineTuningResult | None = None
        self._shown: Path | None = None
        self.unfinished_box = UnfinishedBox()
        self.form = FineTuneForm(viewer)
        self.controls = FineTuneControls()
        self.plot = LearningPlot()
        self.comparison = ComparisonBox(viewer)
        self.user_models_panel = UserModelsPanel()
        self._add_widgets(
            self.form,
            self.controls,
            self.form.guide,
            self.status,
            self.unfinished_box,
            self.plot,
            self.comparison,
            self.form.advanced,
            self.user_models_panel,
        )
        self.plot.hide()
        self.form.warned.connect(self._warn)
        self.unfinished_box.resumed.connect(self.resume)
        self.unfinished_box.reported.connect(self.status.show_message)
        self.unfinished_box.discarded.connect(self._forget)
        self.controls.start_button.clicked.connect(self.fine_tune)
        self.controls.pause_button.clicked.connect(self._toggle_pause)
        self.controls.cancel_button.clicked.connect(self.cancel)
        self.user_models_panel.reported.connect(self.status.show_message)
        self.user_models_panel.warned.connect(self._warn)
        self.comparison.warned.connect(show_warning)  # the status shows the training steps
        user_model_signals.changed.connect(self.form.suggest_name)

    @property
    def running(self) -> bool:
        """True during a fine-tuning run."""
        return self._run is not None

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """List runs that were interrupted while the dock was closed."""
        super().showEvent(event)
        self.unfinished_box.refresh()
        self.form.suggest_name()
        self.form.refresh_accepted()

    def fine_tune(self) -> None:
        """Start a run, or show why it cannot start."""
        self._start(self.form.job)

    def resume(self, output: Path) -> None:
        """Resume an interrupted run on the chosen image."""
        self._start(lambda: load_job(output, stack_data(self.form.image)))

    def cancel(self) -> None:
        """Cancel the run; it can be resumed from its checkpoint."""
        if self._run is not None:
            self.controls.cancel_button.setEnabled(False)
            self.controls.pause_button.setEnabled(False)
            self.status.show_message("Cancelling…")
            self._run.cancel()

    def _start(self, make_job: Callable[[], FineTuneJob]) -> None:
        if self.running:
            self._warn("A model is already being trained: wait until it is finished, or cancel it.")
            return
        try:
            job = make_job()
            image = self.form.image
        except InputError as error:
            self.form.label_question.show_error(error)
            self._warn(str(error))
            return
        self._result, self._shown = None, job.output
        self._run = run = FineTuningRun(self._engine.submit(job), job.output.stem, self)
        run.reported.connect(self._show_progress)
        run.progressed.connect(self.controls.show_progress)
        run.trained.connect(self.plot.add)
        run.compared.connect(self.comparison.show_comparison)
        run.finished.connect(self._store_result)
        run.ended.connect(self._end)
        self.comparison.start(image, frames_of(image, job.axes))
        self.plot.reset()
        self.plot.show()
        self._show_running(running=True)
        self.status.show_message("Starting the training process…")

    def _show_running(self, *, running: bool) -> None:
        self.controls.show_running(running=running)
        self.unfinished_box.lock(locked=running)
        self.form.lock(locked=running)

    def _toggle_pause(self) -> None:
        if self._run is None:
            return
        if self._run.paused:
            self._run.resume()
            self.status.show_message("Resuming…")
        else:
            self._run.pause()
            self.status.show_message("Paused after the current step.")
        self.controls.show_paused(paused=self._run.paused)

    def _show_progress(self, message: str) -> None:
        if self.controls.cancel_button.isEnabled():  # otherwise "Cancelling" stays
            self.status.show_message(message)

    def _forget(self, output: Path) -> None:
        """Remove what is left in the tab of a run whose checkpoint was discarded."""
        self.form.suggest_name()
        if output == self._shown:
            self.plot.hide()
            self.comparison.clear()

    def _store_result(self, result: FineTuningResult) -> None:
        self._result = result

    def _end(self, outcome: str, message: str) -> None:
        self._run = None
        self._end_worker()
        self._show_running(running=False)
        if outcome == "done" and self._result is not None:
            self._show_result(self._result)
            return
        if outcome == "cancelled" and self.unfinished_box.rows:
            message += " A checkpoint was saved: resume or discard it below."
        self._show_outcome(outcome, message)

    def _show_result(self, result: FineTuningResult) -> None:
        verdict = describe_result(result)
        if result.path is None:
            self.status.show_message(verdict, "warning")
            return
        name = result.path.stem
        user_model_signals.changed.emit()
        user_model_signals.created.emit(name)
        self.user_models_panel.select(name)
        self.form.reset_name()
        self.status.show_message(f"{verdict} '{name}' was added to the user models.")

    def _abandon(self) -> None:
        if self._run is not None:
            # The process first: a cancelled run would write another checkpoint.
            self._end_worker()
            self._run.abandon()
            self._end("cancelled", "Cancelled: the dock was closed.")
        self.user_models_panel.abandon()
        self.comparison.clear()

    def _release(self) -> None:
        super()._release()
        self.comparison.release()
        self.form.release()
