import threading
from unittest.mock import Mock

import dask.array as da
import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.runs.engine import Run
from napari_vrp_sam.inference.runs.events import Cancelled
from napari_vrp_sam.plugin.inputs import stack_form
from napari_vrp_sam.plugin.layers.outputs.outlines import FrameOutline, is_preview_layer
from napari_vrp_sam.plugin.layers.outputs.results import is_result_layer
from napari_vrp_sam.plugin.segment.preview import FAILURE_MESSAGE


def previews(viewer):
    return [layer for layer in viewer.layers if is_preview_layer(layer)]


@pytest.fixture
def live(qtbot, viewer, dock, engine, annotated):
    """Show a first preview, of frame 3."""
    engine.let_through()
    viewer.dims.set_current_step(0, 3)
    viewer.layers.selection.active = annotated[1]
    dock.preview_box.setChecked(True)
    qtbot.waitUntil(lambda: bool(previews(viewer)), timeout=30_000)
    return annotated


def test_frame_in_view_is_outlined_after_drawing(qtbot, viewer, dock, engine, live, stack):
    image, labels = live
    (layer,) = previews(viewer)
    assert engine.jobs[-1].frames == (3, 4)
    np.testing.assert_array_equal(layer.data[3], stack[1][3])
    assert not np.delete(layer.data, 3, axis=0).any()
    np.testing.assert_allclose(layer.scale, image.scale)
    assert layer.contour
    assert viewer.layers.selection.active.name == "drawn"
    layer_showing = [annotation.layer.name for annotation in dock.form.annotation_list.annotations]
    assert layer_showing == ["drawn"]

    # Paint over the square with the other class.
    count = len(engine.jobs)
    labels.paint((3, 20, 50), 0)
    qtbot.waitUntil(lambda: len(engine.jobs) > count, timeout=30_000)
    assert len(previews(viewer)) == 1


def test_preview_has_the_colours_of_the_classes(viewer, dock, live):
    (layer,) = previews(viewer)
    dock.form.class_list.row(2).recoloured.emit("#ff00ff")
    np.testing.assert_allclose(layer.get_color(2), (1, 0, 1, 1))
    np.testing.assert_allclose(layer.get_color(2), live[1].get_color(2))


def test_scrolling_updates_the_preview_until_a_run(qtbot, viewer, dock, engine, live, stack):
    viewer.dims.set_current_step(0, 5)
    qtbot.waitUntil(lambda: bool(previews(viewer)[0].data[5].any()), timeout=30_000)
    np.testing.assert_array_equal(previews(viewer)[0].data[5], stack[1][5])
    assert not previews(viewer)[0].data[3].any()

    dock.segment()
    assert not previews(viewer)
    qtbot.waitUntil(lambda: not dock.running, timeout=30_000)
    assert [layer for layer in viewer.layers if is_result_layer(layer)]
    count = len(engine.jobs)
    viewer.dims.set_current_step(0, 1)
    qtbot.wait(900)
    assert len(engine.jobs) == count


def test_series_of_strokes_starts_one_preview(qtbot, viewer, dock, engine, live):
    count = len(engine.jobs)
    for column in range(40, 54, 2):
        live[1].paint((3, 14, column), 2)
        QApplication.processEvents()
    qtbot.waitUntil(lambda: len(engine.jobs) > count, timeout=30_000)
    qtbot.wait(1000)
    assert len(engine.jobs) == count + 1


def test_annotations_are_read_in_another_thread(qtbot, viewer, dock, engine, live, monkeypatch):
    threads = []
    read = stack_form.references_from_layers

    def recorded(*arguments, **settings):
        threads.append(threading.current_thread())
        return read(*arguments, **settings)

    monkeypatch.setattr(stack_form, "references_from_layers", recorded)
    count = len(engine.jobs)
    live[1].paint((3, 14, 45), 2)
    qtbot.waitUntil(lambda: len(engine.jobs) > count, timeout=30_000)
    assert threads
    assert threading.main_thread() not in threads


def test_a_stroke_cancels_the_refinement_of_the_preview_before(qtbot, viewer, dock, engine, live):
    qtbot.waitUntil(lambda: dock.preview_box._run is None, timeout=30_000)
    box, run = dock.preview_box, Run(None, None)
    box._run, box._shown = run, True  # a run that has shown its quick result
    run.cancel = Mock()
    count = len(engine.jobs)
    live[1].paint((3, 14, 45), 2)
    qtbot.waitUntil(lambda: run.cancel.called, timeout=30_000)
    assert len(engine.jobs) == count
    run._queue.put(Cancelled(0))
    box._poll.start()
    qtbot.waitUntil(lambda: len(engine.jobs) == count + 1, timeout=30_000)


def test_deleting_or_unticking_the_preview_stops_it(qtbot, viewer, dock, engine, live):
    viewer.layers.remove(previews(viewer)[0])
    live[1].paint((3, 14, 45), 2)
    qtbot.waitUntil(lambda: not dock.preview_box.isChecked(), timeout=30_000)
    dock.preview_box.setChecked(True)
    qtbot.waitUntil(lambda: bool(previews(viewer)), timeout=30_000)
    dock.preview_box.setChecked(False)
    assert not previews(viewer)


def test_preview_survives_deletion_of_image_and_annotation(qtbot, viewer, dock, engine, live):
    image, labels = live
    labels.paint((3, 14, 45), 2)
    viewer.layers.remove(labels)
    viewer.layers.remove(image)
    assert not previews(viewer)
    qtbot.wait(900)
    assert not dock.running
    image = viewer.add_image(np.asarray(image.data), scale=image.scale, units=image.units)
    viewer.layers.append(labels)
    dock.form.annotation_list.tick(labels)  # it was drawn for the image that is gone
    labels.paint((3, 14, 46), 2)
    qtbot.waitUntil(
        lambda: bool(previews(viewer)) and previews(viewer)[-1].name.startswith(image.name),
        timeout=30_000,
    )


def test_preview_does_not_download_a_model(qtbot, viewer, dock, engine, annotated):
    dock.form.model_box.setCurrentText("vit_b")
    dock.preview_box.setChecked(True)
    qtbot.wait(900)
    assert not engine.jobs
    engine.let_through()
    dock.segment()
    qtbot.waitUntil(lambda: not dock.running, timeout=30_000)
    annotated[1].paint((3, 14, 45), 2)
    qtbot.waitUntil(lambda: len(engine.jobs) == 2, timeout=30_000)
    assert engine.jobs[-1].model == "vit_b"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (InputError("It is too large: show less."), "It is too large: show less."),
        (ZeroDivisionError("ours"), FAILURE_MESSAGE),
    ],
)
def test_preview_continues_after_an_error(
    qtbot, viewer, dock, engine, live, stack, monkeypatch, error, sentence
):
    def fail(*_):
        raise error

    with monkeypatch.context() as broken, qtbot.capture_exceptions() as faults:
        broken.setattr(FrameOutline, "show", fail)
        live[1].paint((3, 14, 45), 2)
        qtbot.waitUntil(lambda: dock.preview_box.state.reason == sentence, timeout=30_000)
    assert dock.preview_box.state.phase == "failed"
    assert [kind for kind, *_ in faults] == (
        [] if sentence != FAILURE_MESSAGE else [ZeroDivisionError]
    )
    shown = []
    monkeypatch.setattr(FrameOutline, "show", lambda *arguments: shown.append(arguments))
    live[1].paint((3, 14, 46), 2)
    qtbot.waitUntil(lambda: bool(shown), timeout=30_000)


def test_preview_does_not_read_lazy_labels(qtbot, viewer, dock, engine, stack):
    reads = []

    def read(block):
        reads.append(block.shape)
        return block

    viewer.add_image(stack[0], name="stack")
    engine.let_through()
    lazy = da.from_array(stack[1], chunks=(1, 48, 64)).map_blocks(
        read, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8)
    )
    labels = viewer.add_labels(lazy, name="lazy")
    qtbot.wait(100)
    reads.clear()
    dock.preview_box.setChecked(True)
    dock.preview_box.request_update()
    qtbot.wait(900)
    assert not reads
    assert not engine.jobs
    dock.form.annotation_list.tick(labels, on=False)
    viewer.add_labels(stack[1], name="in memory")
    qtbot.waitUntil(lambda: bool(previews(viewer)), timeout=30_000)


def test_closed_dock_shows_no_preview_until_it_is_opened_again(qtbot, viewer, dock, engine, live):
    frame = dock.parentWidget()
    frame.close()
    assert not previews(viewer)
    count = len(engine.jobs)
    live[1].paint((3, 20, 50), 1)
    dock.form.annotation_list.set_kind(live[1], "scribble")
    qtbot.wait(1000)
    assert len(engine.jobs) == count

    frame.show()
    live[1].paint((3, 25, 50), 1)
    qtbot.waitUntil(lambda: bool(previews(viewer)), timeout=30_000)
