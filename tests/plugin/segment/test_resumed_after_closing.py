"""A run that is interrupted because napari closes: its frames are kept, and it can be resumed."""

import threading

import numpy as np
import pytest
from tests.plugin.window import press, results, run

from napari_vrp_sam.inference.runs.events import Failed
from napari_vrp_sam.io.sessions.unfinished.folder import unfinished_folder
from napari_vrp_sam.io.sessions.unfinished.run import RUN_FILE
from napari_vrp_sam.plugin.layers.outputs.kept_probabilities import kept_probabilities
from napari_vrp_sam.plugin.segment.unfinished.keeper import THREAD_NAME
from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget

pytestmark = pytest.mark.alone


def folders():
    return sorted(path.parent for path in unfinished_folder().glob(f"*/{RUN_FILE}"))


def writing():
    return any(thread.name.startswith(THREAD_NAME) for thread in threading.enumerate())


def wait_for(qtbot, condition):
    qtbot.waitUntil(condition, timeout=60_000)


def interrupt(qtbot, dock, engine, frames, close):
    """Start a run, and close the window or the dock after some frames."""
    press(qtbot, dock.segment_button)
    engine.let_through(frames)
    wait_for(qtbot, lambda: dock.progress.value() == frames)
    close()
    engine.let_through(1)  # the cancelled run waits for its next frame
    list(engine.runs[-1].events())
    wait_for(qtbot, lambda: not writing())


def test_finished_frames_outlive_the_window(
    qtbot, viewer, dock, engine, annotated, stack, make_napari_viewer_proxy
):
    data, truth = stack
    dock.form.neighbours_box.setChecked(False)
    dock.form.class_list.classes.rename(1, "nuclei")
    interrupt(qtbot, dock, engine, 3, viewer.close)

    second = make_napari_viewer_proxy(show=True)
    again = SegmentStackWidget(second, engine)
    again.preview_box.setChecked(False)
    second.window.add_dock_widget(again, name="Segment stack")
    second.add_image(data, name="again")
    wait_for(qtbot, again.unfinished_offer.isVisible)
    assert again.status.text() == "Segmenting this image was interrupted after 3 of 7 frames."
    press(qtbot, again.unfinished_offer.resume_button)
    (result,) = results(second)
    assert sorted(np.unique(np.nonzero(result.data)[0])) == [2, 3, 4]
    assert not again.unfinished_offer.isVisible()
    assert not again.form.neighbours_box.isChecked()
    assert again.form.class_list.classes.name(1) == "nuclei"
    np.testing.assert_array_equal(second.layers["drawn"].data, annotated[1].data)
    engine.let_through()
    wait_for(qtbot, lambda: not again.running)
    assert "Segmented all 7 frames" in again.status.text()
    np.testing.assert_array_equal(result.data, truth)
    assert sorted(kept_probabilities(result).frames) == list(range(7))
    assert sorted(engine.jobs[-1].accepted) == [2, 3, 4]
    wait_for(qtbot, lambda: not writing())
    assert folders() == []


def test_discarded_run_is_not_offered_again(qtbot, dock, engine, annotated):
    frame = dock.parentWidget()
    interrupt(qtbot, dock, engine, 1, frame.close)
    assert len(folders()) == 1
    frame.show()
    wait_for(qtbot, dock.unfinished_offer.isVisible)
    assert "because the dock was closed: 1 of 7 frames is kept. Segmenting" in dock.status.text()
    press(qtbot, dock.unfinished_offer.discard_button)
    assert dock.status.text() == "The interrupted run was discarded."
    assert folders() == []
    dock.unfinished_offer.search()
    assert dock.unfinished_offer.run is None


def test_another_image_of_the_same_shape_is_not_offered_the_run(
    qtbot, viewer, dock, engine, annotated, stack
):
    frame = dock.parentWidget()
    interrupt(qtbot, dock, engine, 1, frame.close)
    frame.show()
    wait_for(qtbot, lambda: dock.unfinished_offer.run is not None)
    with qtbot.waitSignal(dock.unfinished_offer._searched, timeout=60_000):
        dock.form.image_box.choose(viewer.add_image(255 - stack[0], name="other"))
    assert dock.unfinished_offer.run is None
    assert not dock.unfinished_offer.isVisible()


@pytest.mark.parametrize("end", ["done", "cancelled"])
def test_nothing_stays_on_disk_after_a_run_that_has_ended(
    qtbot, viewer, dock, engine, annotated, end
):
    if end == "done":
        run(qtbot, dock, engine)
    else:
        press(qtbot, dock.segment_button)
        engine.let_through(1)
        wait_for(qtbot, lambda: dock.progress.value() == 1)
        press(qtbot, dock.cancel_button)
        engine.let_through(1)
        wait_for(qtbot, lambda: not dock.running)
    wait_for(qtbot, lambda: not writing())
    assert list(unfinished_folder().iterdir()) == []


def test_failed_run_can_be_resumed_at_once(qtbot, viewer, dock, engine, annotated, stack):
    press(qtbot, dock.segment_button)
    engine.let_through(2)
    wait_for(qtbot, lambda: dock.progress.value() == 2)
    dock.runs._run._handle_events([Failed("The worker ended early.", "details")])
    engine.runs[0].cancel()
    wait_for(qtbot, dock.unfinished_offer.isVisible)
    assert dock.status.text().startswith("The worker ended early. Segmenting this image was int")
    press(qtbot, dock.unfinished_offer.resume_button)
    assert [layer.name for layer in viewer.layers].count("drawn") == 1
    engine.let_through()
    wait_for(qtbot, lambda: not dock.running)
    np.testing.assert_array_equal(results(viewer)[-1].data, stack[1])
