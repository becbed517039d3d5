"""Form of the "Fine-tune" dock: checks, suggested names, and links to layers and other docks."""

from importlib import resources

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import Qt

from napari_vrp_sam.models.zoo import user_models as models
from napari_vrp_sam.plugin.fine_tune.parts_box import NO_LORA
from napari_vrp_sam.plugin.layers.metadata import set_metadata
from napari_vrp_sam.plugin.layers.outputs.accepted import ACCEPTED, set_accepted_frames
from napari_vrp_sam.plugin.layers.outputs.results import RESULT_OF
from napari_vrp_sam.plugin.models.changes import user_model_signals

PACKAGED = resources.files("napari_vrp_sam") / "models/weights/lite.safetensors"


def add(name):
    with resources.as_file(PACKAGED) as path:
        models.add(path, name)
    user_model_signals.changed.emit()


def rejection(qtbot, tuner, lessons):
    """Press the button, which is rejected, and return the message."""
    qtbot.mouseClick(tuner.controls.start_button, Qt.MouseButton.LeftButton)
    assert not tuner.running
    assert lessons.jobs == []
    assert tuner.status.severity == "warning"
    return tuner.status.text()


def test_invalid_input_is_rejected(qtbot, viewer, tuner, lessons, stack):
    data, truth = stack
    assert "No image is open" in rejection(qtbot, tuner, lessons)
    viewer.add_image(data, name="stack")
    assert "There is no annotation yet" in rejection(qtbot, tuner, lessons)
    labels = viewer.add_labels(np.zeros_like(truth), name="drawn")
    assert "There is no annotation yet" in rejection(qtbot, tuner, lessons)
    labels.data[3] = 1
    labels.refresh()
    assert "Class 1 covers everything" in rejection(qtbot, tuner, lessons)
    labels.data[3] = truth[3]
    for name, reported in (
        ("", "'' is not a valid model name"),
        ("lite", "is the name of a built-in model"),
        ("a/b", "is not a valid model name"),
    ):
        tuner.form.name_box.setText(name)
        assert reported in rejection(qtbot, tuner, lessons)
    add("nuclei")
    tuner.form.name_box.setText("Nuclei")
    assert "A user model 'nuclei' already exists" in rejection(qtbot, tuner, lessons)


def test_contradicting_annotations_are_rejected(qtbot, viewer, tuner, lessons, opened):
    box = np.array([[3, 6, 6], [3, 6, 18], [3, 24, 18], [3, 24, 6]])
    viewer.add_shapes([box], shape_type="polygon", features={"class": [2]}, scale=(2, 0.5, 0.5))
    viewer.layers[-1].units = ("um",) * 3
    reported = rejection(qtbot, tuner, lessons)
    assert "pixels are marked both as class 1 and as class 2" in reported


def test_name_follows_image_and_base_model_until_it_is_edited(qtbot, viewer, tuner, stack):
    form = tuner.form
    assert form.name_box.text() == "my-lite"
    image = viewer.add_image(stack[0], name="Mitochondria (day 2).tif")
    assert form.name_box.text() == "mitochondria-day-2-tif-lite"
    image.name = "Mito"
    assert form.name_box.text() == "mito-lite"
    form.model_box.choose("vit_b")
    assert form.name_box.text() == "mito-vit_b"
    form.model_box.choose("lite")
    add("mito-lite")
    assert form.name_box.text() == "mito-lite-2"
    form.name_box.clear()
    qtbot.keyClicks(form.name_box, "mine")
    image.name = "other"
    assert form.name_box.text() == "mine"
    assert models.new_model_path(form.name_box.text())


def test_suggested_name_is_valid(viewer, tuner, stack):
    for name in ("", "  ", "...", "日本", "x" * 300, "a/b\\c:d", "_1_"):
        image = viewer.add_image(stack[0], name=name)
        assert tuner.form.image_box.layer == image
        assert models.new_model_path(tuner.form.name_box.text()), name
        viewer.layers.clear()


def test_parts_depend_on_the_base_model(tuner, user_models):
    box = tuner.form.parts_box
    row = box.findData("lora")

    def lora_enabled():
        return bool(box.model().item(row).flags() & Qt.ItemFlag.ItemIsEnabled)

    assert not lora_enabled()
    assert box.itemData(row, Qt.ItemDataRole.ToolTipRole) == NO_LORA
    tuner.form.model_box.choose("vit_b")
    assert lora_enabled()
    assert box.parts == "decoder"
    assert not box.model().item(box.findData("head")).isEnabled()
    box.setCurrentIndex(row)
    assert box.parts == "lora"
    add("nuclei")  # based on lite
    tuner.form.model_box.choose("nuclei")
    assert not lora_enabled()
    assert box.parts == "head"
    tuner.form.model_box.choose(str(user_models / "gone.safetensors"))
    assert box.parts == "head"

    box.refresh("dinov2_s")  # only a dense head beside a probe model
    enabled = [box.itemData(row) for row in range(box.count()) if box.model().item(row).isEnabled()]
    assert enabled == ["head"]


def test_job_contains_the_chosen_values(qtbot, viewer, tuner, opened, user_models):
    form = tuner.form
    assert form.job().minutes is None
    form.minutes_box.setValue(7.5)
    form.device_box.setCurrentText("cpu")
    form.parts_box.setCurrentIndex(form.parts_box.findData("vrp-encoder"))
    job = form.job()
    assert (job.minutes, job.device, job.parts) == (7.5, "cpu", "vrp-encoder")
    assert job.output == user_models / "stack-lite.safetensors"
    assert job.axes == "ZYX"
    assert job.data is opened[0].data


def test_form_starts_with_the_preferences(viewer, lessons, preferences):
    from napari_vrp_sam.plugin.fine_tune.widget import FineTuneWidget

    preferences().model, preferences().device = "vit_b", "cpu"
    form = FineTuneWidget(viewer, lessons).form
    assert (form.model_box.model, form.device_box.currentText()) == ("vit_b", "cpu")
    form.release()


def test_docks_share_image_and_annotations(qtbot, viewer, dock, tuner, annotated, stack):
    drawn = annotated[1]
    form, other = tuner.form, dock.form
    form.annotation_list.tick(drawn, on=False)
    assert other.annotation_list.annotations == []
    other.annotation_list.tick(drawn)
    other.annotation_list.set_kind(drawn, "scribble")
    (annotation,) = form.annotation_list.annotations
    assert annotation.kind == "scribble"
    viewer.add_image(stack[0], name="other")
    for mover, follower in ((form, other), (other, form)):
        for name in ("other", "stack"):
            mover.image_box.choose(viewer.layers[name])
            assert follower.image_box.layer.name == name


def test_dock_opened_later_shares_the_annotations(viewer, dock, lessons, annotated):
    from napari_vrp_sam.plugin.fine_tune.widget import FineTuneWidget

    dock.form.annotation_list.tick(annotated[1], on=False)
    form = FineTuneWidget(viewer, lessons).form
    assert form.annotation_list.annotations == []
    form.release()


def test_accepted_frames_are_used(qtbot, viewer, dock, tuner, engine, annotated):
    engine.let_through()
    dock.segment()
    qtbot.waitUntil(lambda: not dock.running, timeout=30_000)
    viewer.dims.set_current_step(0, 5)
    dock.accept_button.click()
    assert {reference.frame for reference in tuner.form.job().references} == {3, 5}


def test_channels_and_axes(viewer, tuner):
    data = np.random.default_rng(0).integers(0, 255, (3, 4, 40, 40)).astype(np.uint8)
    viewer.add_image(data, name="four", axis_labels=("z", "c", "y", "x"))
    form = tuner.form
    assert form.channel_box.isVisible()
    labels = viewer.add_labels(np.zeros(data.shape, np.uint8))
    labels.data[1, :, 5:20, 5:20] = 1
    form.channel_box.choose([1, 3])
    job = form.job()
    assert (job.axes, tuple(job.channels)) == ("ZCYX", (1, 3))


def test_accepted_frames_are_listed(qtbot, viewer, tuner, opened):
    image, drawn = opened
    form = tuner.form
    assert not form.accepted_label.isVisible()
    result = Labels(np.roll(drawn.data, 2, axis=0), name="result", scale=image.scale)
    set_metadata(result, **{RESULT_OF: image.unique_id, "axes": "ZYX", ACCEPTED: [5]})
    viewer.add_layer(result)
    tuner.hide()
    tuner.show()
    assert form.accepted_label.text() == "Accepted frame, also used: 5"
    form.annotation_list.tick(drawn, on=False)
    assert "annotate" not in form.guide.text()
    set_accepted_frames(result, [5, 2])
    tuner.hide()
    tuner.show()
    assert form.accepted_label.text() == "Accepted frames, also used: 2, 5"
    assert sorted({reference.frame for reference in form.job().references}) == [2, 5]
