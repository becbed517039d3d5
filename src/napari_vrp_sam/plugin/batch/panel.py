"""Progress and results of files that are segmented with one annotation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QHeaderView,
    QProgressBar,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_vrp_sam.inference.runs.files.batch_job import BatchJob
from napari_vrp_sam.inference.runs.files.file_result import summary_path
from napari_vrp_sam.inference.runs.process.engine import ProcessEngine
from napari_vrp_sam.plugin.batch.choice import FileChoice, ask_about_existing
from napari_vrp_sam.plugin.batch.run import BatchRun
from napari_vrp_sam.plugin.widgets.controls import ElidedLabel, MessageLabel, pack, set_help
from napari_vrp_sam.wording import count

if TYPE_CHECKING:
    from napari_vrp_sam.inference.runs.engine import Engine
    from napari_vrp_sam.inference.runs.events import Progress
    from napari_vrp_sam.inference.runs.files.file_result import FileResult

COLUMNS = "File", "State", "Frames", "Conf."
LIST_HEIGHT = 110
RESULT = Qt.ItemDataRole.UserRole


class FilesPanel(QWidget):
    """Segment files in a worker process of their own, and list the results; hidden before.

    The live preview and *Segment stack* can be used meanwhile.

    Parameters
    ----------
    make_engine : callable
        Returns the engine of a run, which is closed after it.

    Signals
    -------
    reported, warned : (message,)
    opened : (result,)
        A `FileResult` that was double-clicked.
    """

    reported = Signal(str)
    warned = Signal(str)
    opened = Signal(object)

    def __init__(self, make_engine: Callable[[], Engine] = ProcessEngine) -> None:
        super().__init__()
        self._make_engine = make_engine
        self._engine: Engine | None = None
        self._run: BatchRun | None = None
        self._title = ""
        self._summary = Path()
        self.results: list[FileResult] = []
        self.state = ElidedLabel()
        self.progress = QProgressBar()
        self.cancel_button = QPushButton("Cancel")
        self.list = _ResultList()
        self.message = MessageLabel()
        self._lay_out()
        self.cancel_button.clicked.connect(self.cancel)
        self.list.currentItemChanged.connect(self._show_message)
        self.list.itemActivated.connect(lambda item, _column: self._open(item))
        self.hide()

    @property
    def running(self) -> bool:
        """True while files are being segmented."""
        return self._run is not None

    def start(self, choice: FileChoice) -> None:
        """Segment files, after asking about those that have labels."""
        if self.running:
            self.warned.emit("Other files are being segmented: wait, or cancel them.")
            return
        answer = ask_about_existing(choice, self)
        if answer is None:
            return
        self.results = []
        self.list.show_files(choice.images)
        self._summary = summary_path(choice.images, None)
        job = BatchJob(
            job=choice.job,
            images=choice.images,
            labels=choice.labels,
            summary=self._summary,
            resume=answer == "skip",
        )
        self._engine = self._make_engine()
        self._run = run = BatchRun(self._engine.submit(job), len(choice.images), self)
        run.started.connect(self._on_started)
        run.progressed.connect(self._on_progress)
        run.finished.connect(self._on_finished)
        run.ended.connect(self._end)
        self.state.set_full_text("Starting…")
        self.progress.setRange(0, 0)
        self._show_running(running=True)
        self.show()
        self.reported.emit(f"Segmenting {count(len(choice.images), 'file')}: see the list.")

    def cancel(self) -> None:
        """Stop after the frame in progress; finished files are kept."""
        if self._run is not None:
            self.cancel_button.setEnabled(False)
            self.state.set_full_text("Cancelling after the frame in progress…")
            self._run.cancel()

    def abandon(self) -> None:
        """Stop at once, because the dock is closing."""
        if self._run is not None:
            self._run.abandon()
            self._end("cancelled", "")

    def release(self) -> None:
        """Stop, because the viewer is closing."""
        self.abandon()

    def _on_started(self, number: int, total: int, image: Path) -> None:
        self._title = f"File {number} of {total}: {image.name}"
        self.state.set_full_text(self._title)
        self.progress.setRange(0, 0)
        self.list.show_state(number - 1, "running")

    def _on_progress(self, progress: Progress) -> None:
        self.state.set_full_text(f"{self._title}: {progress.message}")
        # In steps of a hundredth of a frame, for tiles.
        self.progress.setRange(0, 100 * progress.total)
        self.progress.setValue(round(100 * progress.completed))

    def _on_finished(self, result: FileResult) -> None:
        self.list.show_result(len(self.results), result)
        self.results.append(result)

    def _end(self, outcome: str, message: str) -> None:
        self._run = None
        if isinstance(self._engine, ProcessEngine):
            self._engine.close()
        self._engine = None
        failed = sum(result.state == "failed" for result in self.results)
        done = len(self.results) - failed
        text = f"{done} of {self.list.topLevelItemCount()} files are segmented"
        if outcome == "cancelled":
            text = f"Cancelled: {text}"
        if self.results:
            text += f"; {self._summary.name} lists them"
        self.list.clear_running()
        self.state.set_full_text(f"{text}.")
        self._show_running(running=False)
        if outcome in ("done", "cancelled"):
            (self.warned if failed else self.reported).emit(f"{text}.")
        else:
            self.warned.emit(message)

    def _show_running(self, *, running: bool) -> None:
        self.progress.setVisible(running)
        self.cancel_button.setVisible(running)
        self.cancel_button.setEnabled(running)

    def _show_message(self, item: QTreeWidgetItem | None) -> None:
        result: FileResult | None = None if item is None else item.data(0, RESULT)
        self.message.show_message("" if result is None else result.message, "warning")

    def _open(self, item: QTreeWidgetItem) -> None:
        result = item.data(0, RESULT)
        if result is not None:
            self.opened.emit(result)

    def _lay_out(self) -> None:
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(8)
        self.state.setAccessibleName("State of the files")
        self.message.setAccessibleName("Why the selected file failed")
        set_help(self.progress, "Number of segmented frames of the file.")
        set_help(self.cancel_button, "Stop after the frame in progress; finished files are kept.")
        row = QWidget()
        pack(QHBoxLayout(row), self.progress, self.cancel_button, spacing=5)
        pack(QVBoxLayout(self), self.state, row, self.list, self.message, spacing=4)


class _ResultList(QTreeWidget):
    """List of files with the state, frames and confidence of each."""

    def __init__(self) -> None:
        super().__init__()
        self.setColumnCount(len(COLUMNS))
        self.setHeaderLabels(COLUMNS)
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setMinimumWidth(60)
        self.setFixedHeight(LIST_HEIGHT)
        self.setAccessibleName("Segmented files")
        self.setTabKeyNavigation(False)
        set_help(
            self,
            "Segmented files with the number of frames and the mean confidence (expected IoU). "
            "Double-click a file to open the image with its labels.",
        )
        header = self.header()
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(20)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in range(1, len(COLUMNS)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return a size that does not widen the dock."""
        return QSize(60, LIST_HEIGHT)

    def show_files(self, images: Sequence[Path]) -> None:
        """List files that wait."""
        self.clear()
        for image in images:
            item = QTreeWidgetItem([image.name, "waiting", "", ""])
            item.setToolTip(0, str(image))
            self.addTopLevelItem(item)

    def show_state(self, row: int, state: str) -> None:
        """Show the state of a file, and scroll to it."""
        item = self.topLevelItem(row)
        if item is not None:
            item.setText(1, state)
            self.scrollToItem(item)

    def show_result(self, row: int, result: FileResult) -> None:
        """Show the result of a file."""
        item = self.topLevelItem(row)
        if item is None:
            return
        item.setData(0, RESULT, result)
        item.setText(1, result.state)
        item.setText(2, str(result.frames) if result.frames else "")
        item.setText(3, "" if result.confidence is None else f"{result.confidence:.2f}")
        for column in range(len(COLUMNS)):
            item.setToolTip(column, result.message or str(result.image))
        if result.state == "failed":
            self.setCurrentItem(item)

    def clear_running(self) -> None:
        """Show that files that have not ended were not segmented."""
        for row in range(self.topLevelItemCount()):
            item = self.topLevelItem(row)
            if item is not None and item.data(0, RESULT) is None:
                item.setText(1, "cancelled")
