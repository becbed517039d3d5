import numpy as np
from tests.plugin.window import press, run

from napari_vrp_sam.models.calibration import ClassCalibration, LookAlikes


def test_the_button_makes_an_incomplete_mask_partial(qtbot, viewer, dock, annotated):
    _, labels = annotated
    annotation_list = dock.form.annotation_list
    assert [a.kind for a in annotation_list.annotations] == ["mask"]
    warning = dock.incomplete_mask
    assert not warning.isVisible()

    found = LookAlikes(1, marked=8, unmarked=23, frame=2)
    dock.preview_box.learned.emit({1: ClassCalibration(0.5, look_alikes=found)})

    assert warning.isVisible()
    assert dock.status.text().startswith("More objects look like the 8 that are marked on frame 2")
    assert dock.status.severity == "warning"
    viewer.add_labels(np.zeros_like(labels.data), name="not ticked", visible=False)
    assert warning.isVisible()  # as when the preview is added
    press(qtbot, warning)
    assert [(a.layer, a.kind) for a in annotation_list.annotations] == [(labels, "partial")]
    assert not warning.isVisible()
    assert dock.status.text().startswith("The masks are partial")
    assert dock.status.text().endswith("Press Segment stack to apply this.")
    dock.preview_box.learned.emit({1: ClassCalibration(0.5, look_alikes=found)})
    dock.preview_box.learned.emit({1: ClassCalibration(0.5)})
    assert not warning.isVisible()


def test_an_accepted_frame_is_not_doubted(qtbot, viewer, dock, engine, annotated):
    run(qtbot, dock, engine)
    viewer.dims.set_current_step(0, 2)
    found = {1: ClassCalibration(0.5, look_alikes=LookAlikes(1, marked=8, unmarked=23, frame=2))}
    dock.preview_box.learned.emit(found)
    assert dock.incomplete_mask.isVisible()
    assert "More objects look like the 8" in dock.status.text()

    press(qtbot, dock.accept_button)
    assert not dock.incomplete_mask.isVisible()
    assert dock.status.text().startswith("Frame 2 is accepted")
    dock.preview_box.learned.emit(found)
    assert not dock.incomplete_mask.isVisible()
