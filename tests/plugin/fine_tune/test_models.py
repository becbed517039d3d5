"""The section 'My models': cards, and what comes in and goes out."""

import json
from importlib import resources

import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QDialogButtonBox, QInputDialog, QMessageBox

from napari_vrp_sam.models.weights.checkpoints import read_checkpoint, write_checkpoint
from napari_vrp_sam.models.zoo import user_models as store

PACKAGED = resources.files("napari_vrp_sam") / "models/weights/lite.safetensors"


@pytest.fixture
def mito(tmp_path):
    """A file with a card as a fine-tuning writes it."""
    card = {
        "base_model": "lite",
        "date": "2026-11-23T08:15:00+00:00",
        "fine_tuning_data": json.dumps(
            {"frames": 1, "sizes": ["48 x 64"], "kinds": ["mask"], "classes": [1, 2]}
        ),
        "fine_tuning": json.dumps({"steps": 120, "parts": "decoder"}),
        "metrics": json.dumps({"held_out_iou_before": 0.61, "held_out_iou_after": 0.734}),
    }
    with resources.as_file(PACKAGED) as path:
        packaged = read_checkpoint(path)
    file = tmp_path / "mito.safetensors"
    write_checkpoint(file, packaged.tensors, {**packaged.metadata, **card})
    return file


@pytest.fixture
def models(tuner):
    tuner.my_models.expand(animate=False)
    return tuner.my_models


def answer(kind, do):
    """Let a dialog of this kind be answered as soon as it is there."""

    def look():
        dialog = QApplication.activeModalWidget()
        if isinstance(dialog, kind):
            do(dialog)
        else:
            QTimer.singleShot(50, look)

    QTimer.singleShot(50, look)


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_none_yet(models):
    assert not models.list.isVisible()
    assert models.card.text().startswith("None yet")
    assert models.import_button.isEnabled()
    for button in (models.export_button, models.rename_button, models.delete_button):
        assert not button.isEnabled()


def test_the_card_tells_what_a_model_is(tuner, models, mito):
    models.import_file(mito, "mito EM")
    assert tuner.status.text() == "'mito EM' is one of your models now."
    assert models.chosen == "mito EM"
    assert models.card.text().split("<br>") == [
        "<b>Base</b>: lite",
        "<b>IoU held out</b>: 0.610 before, 0.734 after",
        "<b>Learned from</b>: 1 frame, of 48 x 64, with mask, classes 1, 2",
        "<b>Training</b>: 120 steps, decoder",
        "<b>Made</b>: 2026-11-23 08:15",
    ]
    assert tuner.form.model_box.findData("mito EM") > 0


@pytest.mark.parametrize("value", ["no JSON", "[1]", '"text"', "{}", '{"frames": [], "sizes": 3}'])
def test_cards_of_others_may_hold_anything(models, mito, value):
    checkpoint = read_checkpoint(mito)
    card = {**checkpoint.metadata, "metrics": value, "fine_tuning_data": value, "date": "<b>"}
    write_checkpoint(mito, checkpoint.tensors, card)
    models.import_file(mito, "odd")
    assert models.card.text().startswith("<b>Base</b>: lite")
    assert "<b>Made</b>: &lt;b&gt;" in models.card.text()


def test_a_damaged_file_says_so(models, user_models):
    user_models.mkdir()
    (user_models / "cut.safetensors").write_bytes(PACKAGED.read_bytes()[:-1])
    models.refresh()
    assert models.chosen == "cut"
    assert "cut.safetensors" in models.card.text()
    assert not models.export_button.isEnabled()
    assert models.delete_button.isEnabled()


def test_mistakes_are_told_in_one_sentence(tuner, models, mito, tmp_path):
    models.import_file(mito, "mito")
    models.import_file(mito, "Mito")
    assert "You have a model 'mito' already" in tuner.status.text()
    models.import_file(tmp_path / "none.safetensors", "none")
    assert "none.safetensors" in tuner.status.text()
    models.rename("lite")
    assert "name of a built-in model" in tuner.status.text()
    models.export(tmp_path / "no folder" / "file" / "x.safetensors")
    assert tuner.status.severity in {"info", "warning"}
    assert [model.name for model in store.list_user_models()] == ["mito"]


def test_renamed_by_hand(qtbot, tuner, models, mito):
    models.import_file(mito, "mito")
    tuner.form.model_box.choose("mito")

    def give_name(dialog):
        dialog.setTextValue("mitochondria")
        dialog.accept()

    answer(QInputDialog, give_name)
    press(qtbot, models.rename_button)
    assert models.chosen == "mitochondria"
    assert tuner.form.model_box.model == "mitochondria"
    assert [model.name for model in store.list_user_models()] == ["mitochondria"]


def test_deleting_asks_first(qtbot, tuner, models, mito):
    models.import_file(mito, "mito")
    for choice, left in ((QMessageBox.No, ["mito"]), (QMessageBox.Yes, [])):
        answer(QMessageBox, lambda dialog, choice=choice: press(qtbot, dialog.button(choice)))
        press(qtbot, models.delete_button)
        assert [model.name for model in store.list_user_models()] == left
    assert tuner.status.text() == "'mito' is deleted."
    assert tuner.form.model_box.findData("mito") < 0


def test_exported_and_imported_elsewhere(tuner, models, mito, tmp_path):
    models.import_file(mito, "mito")
    models.export(tmp_path / "copy.safetensors")
    models.delete()
    models.import_file(tmp_path / "copy.safetensors", "again")
    assert (tmp_path / "copy.safetensors").read_bytes() == mito.read_bytes()
    assert models.chosen == "again"


def test_a_wrong_pth_file_is_refused_by_a_process(qtbot, tuner, models, tmp_path):
    file = tmp_path / "paper.pth"
    file.write_bytes(b"nothing")
    models.import_file(file, "paper")
    assert models.busy
    qtbot.waitUntil(lambda: not models.busy, timeout=60_000)
    assert "paper.pth" in tuner.status.text()
    assert tuner.status.severity == "warning"
    assert "Traceback" not in tuner.status.text()
    assert store.list_user_models() == []


def test_closing_the_dock_stops_what_is_written(qtbot, tuner, models, mito, tmp_path):
    models.import_file(mito, "mito")
    models.export(tmp_path / "mito.zip")
    (command,) = models._commands
    tuner.parentWidget().close()
    assert not models.busy
    assert command._process.state() == command._process.NotRunning
    assert not (tmp_path / "mito.zip").exists()


def test_the_dialogs_are_closed_by_their_buttons(qtbot, models, mito):
    """Cancelled, they change nothing."""
    models.import_file(mito, "mito")

    def cancel(dialog):
        box = dialog.findChild(QDialogButtonBox)
        press(qtbot, box.button(QDialogButtonBox.StandardButton.Cancel))

    answer(QInputDialog, cancel)
    press(qtbot, models.rename_button)
    assert [model.name for model in store.list_user_models()] == ["mito"]
