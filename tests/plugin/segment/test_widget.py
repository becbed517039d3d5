import threading
from dataclasses import replace

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDockWidget,
    QLabel,
    QProgressBar,
    QPushButton,
    QTreeWidget,
)
from tests.plugin.window import press, results

from napari_vrp_sam.inference.runs.engine import ThreadEngine
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.plugin.classes.annotation_layers import annotate_with_scribbles
from napari_vrp_sam.plugin.layers import stacks


def wait_for(qtbot, condition):
    qtbot.waitUntil(condition, timeout=60_000)


def run_threads():
    return [thread for thread in threading.enumerate() if thread.name == "vrp-sam-run"]


def start(qtbot, dock, engine, frames):
    """Start a run and wait until a number of frames is finished."""
    press(qtbot, dock.segment_button)
    engine.let_through(frames)
    wait_for(qtbot, lambda: dock.progress.value() == frames or not dock.running)


def test_result_layer_has_the_transform_of_the_image(qtbot, viewer, dock, engine, annotated, stack):
    image, _ = annotated
    engine.let_through()

    press(qtbot, dock.segment_button)
    assert dock.running
    wait_for(qtbot, lambda: not dock.running)

    (result,) = results(viewer)
    np.testing.assert_array_equal(result.data, stack[1])
    assert result.data.dtype == np.uint8
    assert result.name == "stack segmented"
    for place in ("scale", "translate", "rotate", "shear"):
        np.testing.assert_allclose(getattr(result, place), getattr(image, place))
    assert result.units == image.units
    assert result.axis_labels == image.axis_labels
    assert result.editable
    assert "all 7 frames" in dock.status.text()
    assert viewer.layers.selection.active.name == "drawn"


def test_frames_are_segmented_outwards(qtbot, viewer, dock, engine, annotated):
    seen = []
    press(qtbot, dock.segment_button)
    for count in range(1, 8):
        engine.let_through(1)
        wait_for(qtbot, lambda n=count: dock.progress.value() == n)
        data = results(viewer)[0].data
        seen.append([z for z in range(7) if data[z].any()])
    wait_for(qtbot, lambda: not dock.running)

    assert seen[0] == [3]
    assert seen[2] == [2, 3, 4]
    assert seen[4] == [1, 2, 3, 4, 5]


def test_expected_iou_is_shown_before_the_first_frame(qtbot, viewer, dock, engine, annotated):
    engine.calibrations = {
        1: ClassCalibration(0.25, 0.7, -0.4, expected_iou=0.744),
        2: ClassCalibration(0.8),
    }
    press(qtbot, dock.segment_button)
    wait_for(qtbot, dock.expected_iou_label.isVisible)
    assert dock.progress.value() == 0
    assert dock.expected_iou_label.text() == "Expected IoU: 0.74 (class 1), unknown (class 2)"
    assert "mask decoder 25%, edges 0.7, offset -0.4" in dock.expected_iou_label.toolTip()
    engine.let_through()
    wait_for(qtbot, lambda: not dock.running)
    assert dock.expected_iou_label.text().startswith(
        "Expected IoU: 0.88 (class 1), 0.88 (class 2). Lowest confidence"
    )

    engine.calibrations = {}
    press(qtbot, dock.segment_button)
    assert not dock.expected_iou_label.isVisible()


def test_cancel_keeps_finished_frames(qtbot, viewer, dock, engine, annotated, stack):
    start(qtbot, dock, engine, 3)
    assert dock.cancel_button.isVisible()

    press(qtbot, dock.cancel_button)
    assert "Cancelling" in dock.status.text()
    engine.let_through()
    wait_for(qtbot, lambda: not dock.running)

    (result,) = results(viewer)
    done = [z for z in range(7) if result.data[z].any()]
    assert 3 <= len(done) <= 4  # the frame in progress is finished
    np.testing.assert_array_equal(result.data[done], stack[1][done])
    assert f"{len(done)} of 7 frames" in dock.status.text()
    assert dock.segment_button.isEnabled()
    assert not dock.cancel_button.isEnabled()
    assert result.editable


def test_activity_dock_shows_and_cancels_the_run(
    qtbot, viewer, dock, engine, annotated, monkeypatch
):
    from napari.utils import progress

    start(qtbot, dock, engine, 2)
    (bar,) = progress._all_instances
    assert (bar.desc.strip(": "), bar.n, bar.total) == ("Segment stack", 2, 7)

    run, cancelled = engine.runs[0], []
    monkeypatch.setattr(run, "cancel", lambda cancel=run.cancel: cancelled.append(cancel()))
    bar.cancel()
    wait_for(qtbot, lambda: bool(cancelled))
    engine.let_through(1)
    wait_for(qtbot, lambda: not dock.running)

    assert "Cancelled" in dock.status.text()
    assert not progress._all_instances


def test_deleted_result_is_added_again_with_all_frames(
    qtbot, viewer, dock, engine, annotated, stack
):
    start(qtbot, dock, engine, 2)
    viewer.layers.remove(results(viewer)[0].name)
    assert not results(viewer)

    engine.let_through()
    wait_for(qtbot, lambda: not dock.running)

    (result,) = results(viewer)
    np.testing.assert_array_equal(result.data, stack[1])


def test_deleting_the_annotation_does_not_affect_the_run(
    qtbot, viewer, dock, engine, annotated, stack
):
    start(qtbot, dock, engine, 1)
    viewer.layers.remove("drawn")

    engine.let_through()
    wait_for(qtbot, lambda: not dock.running)

    np.testing.assert_array_equal(results(viewer)[0].data, stack[1])


def test_second_run_keeps_the_first_result(qtbot, viewer, dock, engine, annotated):
    engine.let_through()
    for _ in range(2):
        press(qtbot, dock.segment_button)
        wait_for(qtbot, lambda: not dock.running)
        results(viewer)[-1].data[0, 0, 0] = 9  # a correction by hand

    first, second = results(viewer)
    assert (first.visible, second.visible) == (False, True)
    assert first.data[0, 0, 0] == 9
    assert first.name != second.name
    assert [a.layer.name for a in dock.form.annotation_list.annotations] == ["drawn"]


def test_inputs_are_passed_to_the_engine(qtbot, viewer, dock, engine, annotated):
    image, _ = annotated
    viewer.add_points([[6.0, 3.0, 3.0]], scale=image.scale, units=image.units)
    form = dock.form
    form.model_box.setCurrentText("vit_b")
    form.device_box.setCurrentText("cpu")
    form.radius_box.setValue(2)
    form.axes_box.setCurrentText("TYX")
    form.annotation_list.set_kind(viewer.layers["drawn"], "scribble")
    press(qtbot, dock.segment_button)
    engine.let_through()
    wait_for(qtbot, lambda: not dock.running)

    (job,) = engine.jobs
    assert (job.model, job.device, job.axes) == ("vit_b", "cpu", "TYX")
    kinds = {(r.frame, r.class_id, r.kind): r.mask.sum() for r in job.references}
    assert set(kinds) == {(3, 1, "scribble"), (3, 2, "scribble"), (6, 1, "point")}
    assert kinds[6, 1, "point"] == 13  # a disc of radius 2


def test_closing_the_dock_cancels_the_run(qtbot, viewer, dock, engine, annotated):
    start(qtbot, dock, engine, 2)
    frame = dock.parentWidget()
    assert isinstance(frame, QDockWidget)

    frame.close()

    assert not dock.running
    engine.let_through()
    wait_for(qtbot, lambda: not run_threads())
    qtbot.wait(200)  # no frame may be written now
    assert sum(bool(plane.any()) for plane in results(viewer)[0].data) == 2
    # The dock works again when it is opened again.
    frame.show()
    press(qtbot, dock.segment_button)
    wait_for(qtbot, lambda: not dock.running)
    assert "all 7 frames" in dock.status.text()


def test_removing_the_dock_cancels_the_run(qtbot, viewer, dock, engine, annotated):
    start(qtbot, dock, engine, 2)

    viewer.window.remove_dock_widget(dock)

    assert not dock.running
    dock.close()


def test_closing_the_viewer_cancels_the_run(qtbot, viewer, dock, engine, annotated):
    start(qtbot, dock, engine, 2)

    viewer.close()

    assert not dock.running
    engine.let_through()
    wait_for(qtbot, lambda: not run_threads())


@pytest.fixture
def notices():
    """Severities and messages of napari's notifications during the test."""
    notices = []

    def listen(notice):
        notices.append((str(notice.severity), notice.message))

    notification_manager.notification_ready.connect(listen)
    yield notices
    notification_manager.notification_ready.disconnect(listen)


def nothing_open(viewer):
    pass


def no_annotation(viewer):
    viewer.add_image(np.zeros((5, 32, 32)), name="stack")


def empty_annotation(viewer):
    no_annotation(viewer)
    viewer.add_labels(np.zeros((5, 32, 32), dtype=int))


def annotation_on_no_frame(viewer):
    no_annotation(viewer)
    viewer.add_points([[7, 3, 3]])


def annotation_outside(viewer):
    no_annotation(viewer)
    viewer.add_shapes([[[2, 50, 50], [2, 50, 60], [2, 60, 60], [2, 60, 50]]])


def tiny_frames(viewer):
    viewer.add_image(np.zeros((5, 8, 8)), name="stack")
    viewer.add_points([[2, 3, 3]])


def too_many_axes(viewer):
    viewer.add_image(np.zeros((1, 1, 1, 2, 32, 32)), name="stack")
    viewer.add_points([[0, 0, 0, 1, 3, 3]])


def test_user_error_is_reported(qtbot, viewer, dock, engine, notices):
    for open_layers, sentence in (
        (nothing_open, "open an image stack first"),
        (no_annotation, "There is no annotation yet"),
        (empty_annotation, "There is no annotation yet"),
        (annotation_on_no_frame, "lie outside the image 'stack'"),
        (annotation_outside, "outside"),
        (tiny_frames, "too small"),
        (too_many_axes, "at most 5 are supported"),
    ):
        open_layers(viewer)
        notices.clear()

        press(qtbot, dock.segment_button)

        assert sentence in dock.status.text()
        assert dock.status.severity == "warning"
        assert [(severity, sentence in text) for severity, text in notices] == [("warning", True)]
        assert not dock.running
        assert not engine.jobs
        assert not results(viewer)
        viewer.layers.clear()


class NoMemory:
    """NumPy without memory for another stack."""

    def __getattr__(self, name):
        return getattr(np, name)

    def zeros(self, *_, **__):
        raise MemoryError


def test_out_of_memory_is_reported_in_one_sentence(
    qtbot, viewer, dock, engine, annotated, notices, monkeypatch
):
    sentence = "of 7 frames of 48 x 64 pixels need 0.0 GB, more than the free memory"
    layers = list(viewer.layers)
    with monkeypatch.context() as crowded:
        crowded.setattr(stacks, "np", NoMemory())
        for button in (dock.form.draw_buttons["mask"], dock.segment_button):
            dock.status.show_message("")
            press(qtbot, button)
            assert sentence in dock.status.text()
        annotate_with_scribbles(viewer)
    assert [(kind, sentence in text) for kind, text in notices] == [("warning", True)] * 3
    assert list(viewer.layers) == layers
    assert not dock.running
    assert not engine.jobs
    start(qtbot, dock, engine, 7)
    assert len(results(viewer)) == 1


@pytest.mark.slow
def test_input_error_of_the_worker_is_reported(qtbot, viewer, stack, notices):
    from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget

    dock = SegmentStackWidget(viewer)  # with a worker process
    viewer.window.add_dock_widget(dock)
    viewer.add_image(stack[0])
    viewer.add_points([[2, 10, 10]])
    dock.form.model_box.addItem("lost", "no/such/model.safetensors")
    dock.form.model_box.setCurrentText("lost")

    press(qtbot, dock.segment_button)
    wait_for(qtbot, lambda: not dock.running)

    assert "no/such/model.safetensors" in dock.status.text()
    assert "\n" not in dock.status.text()
    assert notices == [("warning", dock.status.text())]
    assert not results(viewer)


def test_unexpected_error_is_reported_and_logged(qtbot, viewer, stack, notices, caplog):
    from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget

    class Broken(ThreadEngine):
        def submit(self, job):
            return super().submit(replace(job, model=object()))

    dock = SegmentStackWidget(viewer, Broken())
    viewer.window.add_dock_widget(dock)
    viewer.add_image(stack[0])
    viewer.add_points([[2, 10, 10]])

    press(qtbot, dock.segment_button)
    wait_for(qtbot, lambda: not dock.running)

    assert "Traceback" in caplog.text
    assert "\n" not in dock.status.text()
    assert dock.status.severity == "error"
    assert notices == [("error", dock.status.text())]


def test_guide_shows_the_next_step(qtbot, viewer, dock, stack):
    form = dock.form
    assert "No image is open" in dock.status.text()
    assert form.sample_button.isVisible()
    texts = [label.text() for label in dock.findChildren(QLabel) if label.isVisible()]
    assert len([text for text in texts if "image stack" in text]) == 1  # advice is given once

    viewer.add_image(stack[0], name="stack")
    qtbot.waitUntil(lambda: "go to a frame" in dock.status.text())
    assert not form.sample_button.isVisible()

    press(qtbot, form.draw_buttons["scribble"])
    qtbot.waitUntil(lambda: "press Segment stack" in dock.status.text())
    drawn = viewer.layers.selection.active
    assert (drawn.name, str(drawn.mode)) == ("scribbles", "paint")
    assert [(a.layer.name, a.kind) for a in form.annotation_list.annotations] == [
        ("scribbles", "scribble")
    ]

    viewer.layers.clear()
    assert "No image is open" in dock.status.text()


def test_sample_has_a_hidden_unticked_ground_truth(qtbot, viewer, dock):
    press(qtbot, dock.form.sample_button)

    image, truth = viewer.layers
    assert image.data.shape == truth.data.shape
    assert not truth.visible
    assert dock.form.annotation_list.annotations == []


def test_lists_follow_the_layers(qtbot, viewer, dock, stack):
    form = dock.form
    viewer.add_image(stack[0], name="first")
    second = viewer.add_image(stack[0], name="second")
    assert form.image_box.layer.name == "second"  # the image that was opened last
    labels = viewer.add_labels(stack[1], name="labels")
    form.annotation_list.tick(labels, on=False)

    labels.name = "renamed"
    viewer.add_points([[1, 1, 1]], name="points")
    viewer.layers.remove("first")

    assert form.image_box.layer == second
    assert [form.image_box.itemText(i) for i in range(form.image_box.count())] == ["second"]
    rows = [form.annotation_list.topLevelItem(row) for row in range(2)]
    assert [row.text(1) for row in rows] == ["points", "renamed"]
    assert [a.layer.name for a in form.annotation_list.annotations] == ["points"]
    form.annotation_list.itemClicked.emit(rows[1], 1)  # click on the name
    assert [a.layer.name for a in form.annotation_list.annotations] == ["points", "renamed"]


def test_object_labels_are_not_ticked(qtbot, viewer, dock, stack, notices):
    viewer.add_image(stack[0])
    objects = np.zeros(stack[0].shape, dtype=np.int32)
    objects[:, ::4, ::4] = 1 + np.arange(12 * 16).reshape(12, 16)
    layer = viewer.add_labels(objects, name="nuclei")
    annotations = dock.form.annotation_list
    assert [(row.layer.name, row.ticked) for row in annotations.rows] == [("nuclei", False)]

    annotations.tick(layer)
    dock.segment()
    assert not dock.running
    assert "different values" in dock.status.text()
    layer.data = np.minimum(objects, 1)
    dock.segment()
    assert dock.running


def test_class_list_and_active_layer_are_synchronised(qtbot, viewer, dock, stack):
    viewer.add_image(stack[0])
    class_list = dock.form.class_list
    press(qtbot, dock.form.draw_buttons["mask"])
    masks = viewer.layers.selection.active
    class_list.classes.choose(3)
    assert masks.selected_label == 3

    masks.selected_label = 5
    assert class_list.classes.current == 5

    press(qtbot, dock.form.draw_buttons["point"])
    points = viewer.layers.selection.active
    points.add([0, 5, 5])
    class_list.classes.choose(2)
    points.add([0, 9, 9])
    assert points.features["class"].tolist() == [5, 2]

    viewer.layers.selection.active = masks
    assert class_list.classes.current == 5


def test_every_control_has_a_tooltip(viewer, dock, annotated):
    controls = (QAbstractSpinBox, QCheckBox, QComboBox, QProgressBar, QPushButton, QTreeWidget)
    children = [child for kind in controls for child in dock.findChildren(kind)]
    assert len(children) > 10
    assert [child for child in children if not child.toolTip()] == []


def test_dock_fits_300_pixels(qtbot, viewer, dock, stack):
    viewer.add_image(stack[0], name="an image whose name is a good deal longer than the dock")
    for button in dock.form.draw_buttons.values():
        press(qtbot, button)
    dock.status.show_message("Some long sentence that has to be wrapped because it is long. " * 3)

    assert dock.minimumSizeHint().width() <= 284  # the frame of the dock takes 16 pixels


def test_tile_size_is_checked_and_used(viewer, dock, engine):
    form = dock.form
    viewer.add_image(np.zeros((1100, 64), np.uint8), name="large")
    assert form.tile is None
    labels = viewer.add_labels(np.zeros((1100, 64), np.uint8), name="drawn")
    labels.data[:20] = 1
    form.tile_box.setValue(100)
    dock.segment()
    assert "Tiles of 100 pixels are too small" in dock.status.text()
    form.tile_box.setValue(512)
    dock.segment()
    assert engine.jobs[-1].tile_size == 512
