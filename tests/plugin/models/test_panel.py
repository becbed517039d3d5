"""The "User models" section: cards, import, export, rename, delete."""

import json
from importlib import resources

import psutil
import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QDialogButtonBox, QInputDialog, QMessageBox

from napari_vrp_sam.models.weights.checkpoints import read_checkpoint, write_checkpoint
from napari_vrp_sam.models.zoo.user_models import list_user_models

PACKAGED = resources.files("napari_vrp_sam") / "models/weights/lite.safetensors"


@pytest.fixture
def mito(tmp_path):
    """Model file with a card as fine-tuning writes it."""
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
def panel(tuner):
    tuner.user_models_panel.expand(animate=False)
    return tuner.user_models_panel


def answer(kind, do):
    """Call `do` with the next modal dialog of this kind."""

    def find_dialog():
        dialog = QApplication.activeModalWidget()
        if isinstance(dialog, kind):
            do(dialog)
        else:
            QTimer.singleShot(50, find_dialog)

    QTimer.singleShot(50, find_dialog)


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_without_user_models(panel):
    assert not panel.list.isVisible()
    assert panel.card.text().startswith("No user models yet")
    assert panel.import_button.isEnabled()
    for button in (panel.export_button, panel.rename_button, panel.delete_button):
        assert not button.isEnabled()


def test_card_of_a_fine_tuned_model(tuner, panel, mito):
    panel.import_file(mito, "mito EM")
    assert tuner.status.text() == "Imported the model 'mito EM'."
    assert panel.selected == "mito EM"
    assert panel.card.text().split("<br>") == [
        "<b>Base</b>: lite",
        "<b>IoU on held-out parts</b>: 0.610 before, 0.734 after",
        "<b>Training data</b>: 1 frame, size 48 x 64, annotated by mask, classes 1, 2",
        "<b>Training</b>: 120 steps, decoder",
        "<b>Created</b>: 2026-11-23 08:15",
    ]
    assert tuner.form.model_box.findData("mito EM") > 0


def test_invalid_card_entries_are_ignored(panel, mito):
    checkpoint = read_checkpoint(mito)
    values = "not JSON", "[1]", '"text"', "{}", '{"frames": [], "sizes": 3}'
    for number, value in enumerate(values):
        card = {**checkpoint.metadata, "metrics": value, "fine_tuning_data": value, "date": "<b>"}
        write_checkpoint(mito, checkpoint.tensors, card | {"note": str(number)})
        panel.import_file(mito, f"odd {number}")
        assert panel.card.text().startswith("<b>Base</b>: lite"), value
        assert "<b>Created</b>: &lt;b&gt;" in panel.card.text(), value


def test_card_of_a_damaged_file(panel, user_models):
    user_models.mkdir()
    (user_models / "cut.safetensors").write_bytes(PACKAGED.read_bytes()[:-1])
    panel.refresh()
    assert panel.selected == "cut"
    assert "cut.safetensors" in panel.card.text()
    assert not panel.export_button.isEnabled()
    assert panel.delete_button.isEnabled()


def test_errors_are_shown_in_the_status_label(tuner, panel, mito, tmp_path):
    panel.import_file(mito, "mito")
    panel.import_file(mito, "Mito")
    assert "A user model 'mito' already exists" in tuner.status.text()
    panel.import_file(tmp_path / "none.safetensors", "none")
    assert "none.safetensors" in tuner.status.text()
    panel.rename("lite")
    assert "name of a built-in model" in tuner.status.text()
    panel.export(tmp_path / "missing" / "folder" / "x.safetensors")
    assert tuner.status.severity in {"info", "warning"}
    assert [model.name for model in list_user_models()] == ["mito"]


def test_rename_dialog(qtbot, tuner, panel, mito):
    panel.import_file(mito, "mito")
    tuner.form.model_box.choose("mito")

    def enter_name(dialog):
        dialog.setTextValue("mitochondria")
        dialog.accept()

    answer(QInputDialog, enter_name)
    press(qtbot, panel.rename_button)
    assert panel.selected == "mitochondria"
    assert tuner.form.model_box.model == "mitochondria"
    assert [model.name for model in list_user_models()] == ["mitochondria"]


def test_delete_dialog(qtbot, tuner, panel, mito):
    panel.import_file(mito, "mito")
    for choice, left in ((QMessageBox.No, ["mito"]), (QMessageBox.Yes, [])):
        answer(QMessageBox, lambda dialog, choice=choice: press(qtbot, dialog.button(choice)))
        press(qtbot, panel.delete_button)
        assert [model.name for model in list_user_models()] == left
    assert tuner.status.text() == "Deleted 'mito'."
    assert tuner.form.model_box.findData("mito") < 0


def test_export_and_reimport(tuner, panel, mito, tmp_path):
    panel.import_file(mito, "mito")
    panel.export(tmp_path / "copy.safetensors")
    panel.delete()
    panel.import_file(tmp_path / "copy.safetensors", "again")
    assert (tmp_path / "copy.safetensors").read_bytes() == mito.read_bytes()
    assert panel.selected == "again"


def test_importing_an_invalid_pth_file(qtbot, tuner, panel, tmp_path):
    file = tmp_path / "paper.pth"
    file.write_bytes(b"invalid")
    panel.import_file(file, "paper")
    assert panel.busy
    qtbot.waitUntil(lambda: not panel.busy, timeout=60_000)
    assert "paper.pth" in tuner.status.text()
    assert tuner.status.severity == "warning"
    assert "Traceback" not in tuner.status.text()
    assert list_user_models() == []


def test_closing_the_dock_kills_the_export(qtbot, tuner, panel, mito, tmp_path):
    panel.import_file(mito, "mito")
    panel.export(tmp_path / "mito.zip")
    exports = [p for p in psutil.Process().children() if "export" in p.cmdline()]
    assert len(exports) == 1
    tuner.parentWidget().close()
    assert not panel.busy
    assert not exports[0].is_running()
    assert not (tmp_path / "mito.zip").exists()


def test_cancelling_the_rename_dialog(qtbot, panel, mito):
    panel.import_file(mito, "mito")

    def cancel(dialog):
        box = dialog.findChild(QDialogButtonBox)
        press(qtbot, box.button(QDialogButtonBox.StandardButton.Cancel))

    answer(QInputDialog, cancel)
    press(qtbot, panel.rename_button)
    assert [model.name for model in list_user_models()] == ["mito"]
