"""The model box while the list of user models changes."""

from importlib import resources

import numpy as np
import pytest
from safetensors.numpy import save_file

from napari_vrp_sam.models.weights import catalogue
from napari_vrp_sam.models.zoo import user_models as store
from napari_vrp_sam.plugin.inputs.model_box import ModelBox
from napari_vrp_sam.plugin.models.changes import user_model_signals

BUILT_IN = [spec.name for spec in catalogue.BUILT_IN]
PACKAGED = resources.files("napari_vrp_sam") / "models/weights/lite.safetensors"


def entries(box):
    return [box.itemText(row) for row in range(box.count())]


def add(name):
    with resources.as_file(PACKAGED) as path:
        return store.add(path, name)


@pytest.fixture
def box(dock):
    return dock.form.model_box


def test_user_models_are_listed_after_the_built_in_models(box, user_models):
    assert entries(box) == [*BUILT_IN, ModelBox.FROM_FILE]
    add("nuclei")
    add("Mito")
    (user_models / "cut.safetensors").write_bytes(PACKAGED.read_bytes()[:-1])
    user_model_signals.changed.emit()
    assert entries(box) == [*BUILT_IN, "Mito", "nuclei", ModelBox.FROM_FILE]
    box.choose("Mito")
    assert box.model == "Mito"
    add("a first one")
    user_model_signals.changed.emit()
    assert box.model == "Mito"
    assert entries(box)[len(BUILT_IN)] == "a first one"


def test_selection_follows_a_renamed_model_and_resets_for_a_deleted_one(box):
    add("mito")
    user_model_signals.changed.emit()
    box.choose("mito")
    heard = []
    box.currentIndexChanged.connect(heard.append)
    store.rename("mito", "z mito")
    user_model_signals.renamed.emit("mito", "z mito")
    user_model_signals.changed.emit()
    assert box.model == "z mito"
    assert heard == []
    store.delete("z mito")
    user_model_signals.changed.emit()
    assert box.model == "lite"
    assert heard == [0]


def test_files_stay_in_the_list(box, tmp_path):
    box.add_file(tmp_path / "paper.pth")
    add("mito")
    user_model_signals.changed.emit()
    assert entries(box) == [*BUILT_IN, "mito", "paper.pth", ModelBox.FROM_FILE]
    assert box.model == str(tmp_path / "paper.pth")


def test_prompting_label_describes_the_model(dock, box, tmp_path):
    label = dock.form.prompting_label
    assert label.isHidden()  # nothing to explain for lite
    box.choose("vit_b")
    assert not label.isHidden()
    assert "no VRP encoder" in label.text()
    assert "a mask for each object in the probe's pseudo-mask" in label.text()
    assert "Fine-tuning" in label.text()
    tensors = {"augmenter.merge.0.weight": np.zeros((4, 8, 1, 1), np.float32)}
    save_file(tensors, tmp_path / "mine.safetensors", {"kind": "vrp-encoder", "sam": "vit_b"})
    box.add_file(tmp_path / "mine.safetensors")
    assert label.text() == "SAM is prompted by the VRP encoder."
    box.choose("lite")
    assert label.isHidden()


def test_opening_the_list_shows_models_of_other_processes(box):
    add("mito")
    assert "mito" not in entries(box)
    box.showPopup()
    assert "mito" in entries(box)
    box.hidePopup()


def test_deleted_box_receives_no_signals(qtbot):
    box = ModelBox()
    with qtbot.waitSignal(box.destroyed):
        box.deleteLater()
    user_model_signals.changed.emit()


def test_user_model_is_used_for_previews(qtbot, viewer, dock, engine, annotated):
    add("mito")
    user_model_signals.changed.emit()
    dock.form.model_box.choose("mito")
    engine.let_through(100)
    dock.preview_box.setChecked(True)
    qtbot.waitUntil(lambda: len(engine.jobs) > 0)
    assert {job.model for job in engine.jobs} == {"mito"}


def test_session_with_a_missing_model(
    qtbot, viewer, dock, engine, annotated, tmp_path, make_napari_viewer_proxy
):
    add("mito")
    dock.form.model_box.choose("mito")
    folder = tmp_path / "a.vrpsam"
    dock.session_panel.save(folder)
    qtbot.waitUntil(lambda: not dock.session_panel.saving, timeout=60_000)
    store.rename("mito", "mitochondria")
    viewer.layers.clear()
    dock.form.model_box.choose("lite")
    dock.session_panel.open(folder)
    assert dock.status.text() == (
        "The session's model 'mito' does not exist: import it or choose another model."
    )
    assert dock.form.model_box.model == "lite"
    store.rename("mitochondria", "mito")
    viewer.layers.clear()
    dock.session_panel.open(folder)
    assert dock.form.model_box.model == "mito"
    assert dock.status.text() == "Opened a.vrpsam."
