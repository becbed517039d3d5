from tests.plugin.window import press, results, run

from napari_vrp_sam.plugin.layers.appearance.styles import style_of
from napari_vrp_sam.plugin.layers.outputs.outlines import is_preview_layer
from napari_vrp_sam.plugin.segment.preview_label import COVERED


def test_result_preview_and_annotation_add_no_contours_to_each_other(
    qtbot, viewer, dock, engine, stack
):
    viewer.add_image(stack[0], name="stack")
    viewer.dims.set_current_step(0, 3)
    press(qtbot, dock.form.draw_buttons["mask"])
    masks = viewer.layers["masks"]
    masks.data[3] = stack[1][3]
    masks.refresh()
    dock.form.frame_range.last.setValue(3)
    run(qtbot, dock, engine)
    (result,) = results(viewer)
    assert result.visible
    assert style_of(masks) == "flat"

    # Drawing shows the preview instead of the result.
    dock.preview_box.setChecked(True)
    masks.paint((3, 40, 5), 1)
    assert not result.visible
    assert style_of(masks) == "filled"
    qtbot.waitUntil(lambda: any(map(is_preview_layer, viewer.layers)), timeout=30_000)
    (preview,) = filter(is_preview_layer, viewer.layers)
    qtbot.waitUntil(lambda: dock.preview_box.state.phase == "up to date", timeout=30_000)
    assert preview.visible

    press(qtbot, dock.result_row.show_box)
    assert [result.visible, preview.visible, style_of(masks)] == [True, False, "flat"]
    assert dock.preview_box.state_label.full_text == COVERED
    viewer.dims.set_current_step(0, 5)  # the run did not segment this frame
    assert [preview.visible, style_of(masks)] == [True, "filled"]
    assert dock.preview_box.state_label.full_text != COVERED
    viewer.dims.set_current_step(0, 3)
    assert [preview.visible, style_of(masks)] == [False, "flat"]
    viewer.layers.remove(result)
    assert [preview.visible, style_of(masks)] == [True, "filled"]


def test_another_model_shows_its_preview_instead_of_the_result(
    qtbot, viewer, dock, engine, annotated
):
    viewer.dims.set_current_step(0, 3)
    run(qtbot, dock, engine)
    (result,) = results(viewer)
    dock.preview_box.setChecked(True)
    qtbot.waitUntil(lambda: dock.preview_box.state.phase == "up to date", timeout=30_000)
    assert result.visible
    assert dock.preview_box.state_label.full_text == COVERED

    dock.jobs.loaded.add("vit_b")
    dock.form.model_box.choose("vit_b")
    qtbot.waitUntil(lambda: not result.visible, timeout=30_000)
    (preview,) = filter(is_preview_layer, viewer.layers)
    assert preview.visible
    assert engine.jobs[-1].frames == (3, 4)

    press(qtbot, dock.result_row.show_box)
    dock.form.model_box.choose("vit_h")  # without a download
    qtbot.waitUntil(lambda: dock.preview_box.state.phase == "failed", timeout=30_000)
    assert result.visible
    assert "The model may have to be downloaded" in dock.status.text()
