"""The dock widget 'Segment stack'."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error, show_warning
from qtpy.QtGui import QKeySequence, QShowEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.job import Job, plan
from napari_vrp_sam.inference.process import ProcessEngine
from napari_vrp_sam.plugin.accept_button import AcceptButton
from napari_vrp_sam.plugin.accepted import ACCEPTED
from napari_vrp_sam.plugin.class_link import CLASSES
from napari_vrp_sam.plugin.closing import ClosingWatch
from napari_vrp_sam.plugin.controls import PRIMARY, MessageLabel, explain
from napari_vrp_sam.plugin.frame_view import frame_in_view
from napari_vrp_sam.plugin.keyboard import KeyboardWalk
from napari_vrp_sam.plugin.objects_panel import ObjectsPanel
from napari_vrp_sam.plugin.preferences import Preferences
from napari_vrp_sam.plugin.preview import PreviewBox
from napari_vrp_sam.plugin.probabilities import Probabilities
from napari_vrp_sam.plugin.quality_panel import QualityPanel
from napari_vrp_sam.plugin.results import Result
from napari_vrp_sam.plugin.scroll_column import ScrollColumn
from napari_vrp_sam.plugin.segment_form import SegmentForm
from napari_vrp_sam.plugin.segmentation_run import SegmentationRun
from napari_vrp_sam.plugin.session_panel import SessionPanel
from napari_vrp_sam.plugin.stacks import frames_of, stack_data
from napari_vrp_sam.plugin.tour import Tour
from napari_vrp_sam.plugin.undo import UndoButtons, UndoHistory
from napari_vrp_sam.plugin.undo_layers import RunRecord

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_vrp_sam.annotations.reference import Reference
    from napari_vrp_sam.inference.engine import Engine
    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.models.choice import Choice

DEFAULT_MODEL = "lite"
RUN_KEYS = QKeySequence("Ctrl+Shift+Return")


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
        self.history = UndoHistory(viewer, self)
        self.form = SegmentForm(viewer, self.history)
        self.preview_box = PreviewBox(viewer, self._engine, self._preview_job)
        self.probability_box = QCheckBox("Probabilities")
        self.segment_button = QPushButton("Segment stack")
        self.cancel_button = QPushButton("Cancel")
        self.progress = QProgressBar()
        self.status = MessageLabel()
        self.quality = MessageLabel()
        self.accept_button = AcceptButton(viewer, self.form.image_box, self.history)
        self.quality_panel = QualityPanel(viewer, self.form.image_box)
        self.objects_panel = ObjectsPanel(
            viewer, self.form.image_box, lambda: self.form.axes, self._engine
        )
        self._models_used = {DEFAULT_MODEL}
        self.session_panel = SessionPanel(viewer, self.form)
        self.undo_buttons = UndoButtons(self.history)
        self._preferences = Preferences(self.form, self)
        self.scroll = ScrollColumn()
        self.tour = Tour(viewer, self)
        self._keyboard = KeyboardWalk(self, self.scroll.content)
        self._lay_out()
        self._show_running(running=False)

        self._preferences.cache_moved.connect(self._cache_moved)
        self.form.mistaken.connect(self._refuse)
        self.form.annotation_list.changed.connect(self._warm_up)
        self.form.annotation_list.changed.connect(self._follow_drawings)
        self.form.model_box.currentIndexChanged.connect(self.preview_box.renew)
        self.form.channel_box.changed.connect(self.preview_box.renew)
        self.segment_button.clicked.connect(self.segment)
        self.cancel_button.clicked.connect(self.cancel)
        self.accept_button.changed.connect(self._accepted)
        self.form.axes_box.currentTextChanged.connect(self.objects_panel.follow)
        self.objects_panel.told.connect(self.status.say)
        self.objects_panel.mistaken.connect(self._refuse)
        self.session_panel.told.connect(self.status.say)
        self.session_panel.opened.connect(self.quality_panel.follow)
        self.session_panel.opened.connect(self.accept_button.follow)
        self.history.told.connect(self._step_told)
        self.form.tour_button.clicked.connect(self.tour.start)
        self.tour.shown.connect(self.form.leave_guiding)
        closing = ClosingWatch(self)
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
            self.status.say("Cancelling…")
            self._run.cancel()

    def _start(self) -> None:
        image, axes = self.form.image, self.form.axes
        settled = self.form.settled()
        references = self.form.references(settled)
        class_ids = {reference.class_id for reference in references}
        self.form.class_list.include(class_ids)
        job = replace(
            self._job(references, settled),
            frames=self.form.frame_range.value(),
            first=self._frame_in_view(),
            probabilities=self.probability_box.isChecked(),
        )
        frame_count = len(plan(job)[1]) + len(settled)
        result = Result(
            self._viewer,
            image,
            axes=axes,
            highest_class=max(class_ids),
            settled=settled,
            facts={
                ACCEPTED: sorted(settled),
                "model": job.model,
                CLASSES: self.form.class_list.facts(class_ids),
                "axes": axes,
                "channels": job.channels,
                "reference_frames": sorted({reference.frame for reference in references}),
            },
        )
        probabilities = (
            Probabilities(self._viewer, image, frames_of(image, axes), self._class_names(class_ids))
            if job.probabilities
            else None
        )
        run = self._engine.submit(job)
        self._record = RunRecord(self._viewer, result, probabilities)
        self._run = SegmentationRun(run, result, frame_count, self, probabilities)
        self._run.progressed.connect(self._show_progress)
        self._run.written.connect(self.quality_panel.follow)
        self._run.learned.connect(self._show_choices)
        self._run.learned.connect(lambda _: self._models_used.add(str(job.model)))
        self._run.ended.connect(self._end)
        self.quality.say("")
        self._show_progress(0, frame_count, "Starting: the model is loaded first.")
        self._show_running(running=True)

    def _job(self, references: list[Reference], settled: Collection[int]) -> Job:
        """All frames, with what is chosen in the form."""
        return Job(
            data=stack_data(self.form.image),
            axes=self.form.axes,
            channels=self.form.channels,
            references=references,
            model=self.form.model_box.model,
            device=self.form.device_box.currentText(),
            settled=frozenset(settled),
        )

    def _preview_job(self) -> tuple[Image, Frames, int, Job]:
        """See `PreviewBox`."""
        image = self.form.image
        if self.form.model_box.model not in self._models_used:
            raise InputError("Only a run may download a model: press Segment stack once.")
        index = self._frame_in_view()
        if index is None:
            raise InputError("No frame is in view: move the sliders onto one.")
        settled = self.form.settled()
        job = self._job(self.form.references(settled), settled)
        job = replace(job, frames=(index, index + 1))
        plan(job)
        return image, frames_of(image, self.form.axes), index, job

    def _frame_in_view(self) -> int | None:
        image = self.form.image
        try:
            return frame_in_view(image, frames_of(image, self.form.axes), self._viewer.dims)
        except InputError:  # between frames, or beyond the stack
            return None

    def _class_names(self, class_ids: Iterable[int]) -> dict[int, str]:
        return {class_id: self.form.class_list.name(class_id) for class_id in class_ids}

    def _follow_drawings(self) -> None:
        annotations = self.form.annotation_list.annotations
        self.preview_box.follow([annotation.layer for annotation in annotations])

    def _show_progress(self, done: int, total: int, message: str) -> None:
        self.progress.setRange(0, total)
        self.progress.setValue(done)
        if self.cancel_button.isEnabled():  # else "Cancelling" stays
            self.status.say(message)

    def _show_choices(self, choices: dict[int, Choice]) -> None:
        """What to expect, before the first frame comes."""
        names = self._class_names(choices)
        expected = {
            class_id: "unknown" if choice.expected_iou is None else f"{choice.expected_iou:.2f}"
            for class_id, choice in choices.items()
        }
        if any(choice.expected_iou is not None for choice in choices.values()):
            texts = [f"{names[class_id]} {iou}" for class_id, iou in expected.items()]
            self.quality.say(f"Expected IoU: {', '.join(texts)}")
        details = [f"{escape(names[class_id])}: {choice}." for class_id, choice in choices.items()]
        explain(
            self.quality,
            "Measured by holding back half of the mask annotation and segmenting it by the other "
            "half.<br>" + "<br>".join(details),
        )

    def _show_confidence(self, run: SegmentationRun) -> None:
        """Where to look first."""
        least = run.least_sure()
        if least:
            expected = f"{self.quality.text()}. " if self.quality.text() else ""
            frame, confidence = least
            self.quality.say(
                f"{expected}Least sure of frame {frame} ({confidence:.2f}): if it went wrong, "
                "annotate it too."
            )

    def _end(self, outcome: str, message: str) -> None:
        if self._run is not None and outcome in {"done", "cancelled"}:
            self._show_confidence(self._run)
        if self._record is not None:
            self._record.push(self.history)
        self._run = self._record = None
        self._show_running(running=False)
        self._warm_up()
        if outcome == "refused":
            self._refuse(message)
        elif outcome == "failed":
            self.status.say(message, "error")
            show_error(message)
        else:
            self.status.say(message)
        if outcome == "done":
            self.objects_panel.find_after_run()

    def _accepted(self, message: str) -> None:
        self.status.say(message)
        self.quality_panel.follow()
        self._warm_up()

    def _step_told(self, sentence: str) -> None:
        """Something was undone: layers may be others, or accepted otherwise."""
        self.status.say(sentence)
        self.accept_button.follow()
        self.quality_panel.follow()

    def _refuse(self, sentence: str) -> None:
        self.status.say(sentence, "warning")
        show_warning(sentence)

    def _warm_up(self) -> None:
        """The user is drawing or correcting: a run will follow."""
        if isinstance(self._engine, ProcessEngine) and self.form.annotation_list.annotations:
            self._engine.warm_up()

    def _hold_keys(self, *, held: bool) -> None:
        self.history.hold_keys(held=held)
        self.form.class_list.hold_keys(held=held)

    def _abandon(self) -> None:
        """The dock closes: stop, and touch no layer again."""
        self._hold_keys(held=False)
        self.tour.end()
        if self._run is not None:
            self._run.abandon()
            self._end("cancelled", "Cancelled, as the dock was closed: what was done is kept.")
        self.objects_panel.abandon()
        self.session_panel.leave()
        self.preview_box.abandon()
        self._end_worker()

    def _cache_moved(self) -> None:
        """The process knows the folder that it started with; a run is not disturbed."""
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
        self.segment_button.setEnabled(not running)
        self.cancel_button.setEnabled(running)
        self._progress_row.setVisible(running)
        self.preview_box.lock(locked=running)
        self.accept_button.lock(locked=running)
        self.objects_panel.lock(locked=running)
        self.history.lock(locked=running)

    def _lay_out(self) -> None:
        self.segment_button.setMinimumHeight(38)
        self.segment_button.setStyleSheet(PRIMARY)
        explain(
            self.segment_button,
            "Segment every frame. The result is a new Labels layer, filled from the annotated "
            "frames outwards; earlier results are kept, hidden. Keys: "
            + RUN_KEYS.toString(QKeySequence.SequenceFormat.NativeText),
        )
        self.segment_button.setShortcut(RUN_KEYS)
        explain(self.cancel_button, "Stop the run; the frames that are done are kept.")
        self.progress.setFormat("%v of %m frames")
        explain(self.progress, "Frames that are done.")
        self._progress_row = QWidget()
        row = QHBoxLayout(self._progress_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.progress, 1)
        row.addWidget(self.cancel_button)
        explain(
            self.probability_box,
            "Keep the probability of each class in every pixel too, in percent: an Image layer for "
            "each class, hidden at first, as large as the stack.",
        )
        options = QWidget()
        options_row = QHBoxLayout(options)
        options_row.setContentsMargins(0, 0, 0, 0)
        options_row.addWidget(self.preview_box)
        options_row.addWidget(self.probability_box)
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
            options,
            self.segment_button,
            self._progress_row,
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
