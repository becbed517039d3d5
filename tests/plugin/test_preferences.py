"""The plugin's page in napari's Preferences, and its effects."""

import os
import sys
from pathlib import Path

import pytest
from npe2 import PluginManifest
from qtpy.QtWidgets import QCheckBox, QComboBox, QLineEdit

from napari_vrp_sam.inference.runs.process.engine import ProcessEngine
from napari_vrp_sam.models.weights.downloads import (
    CACHE_VARIABLE,
    MIRROR_VARIABLE,
    OFFLINE_VARIABLE,
    cache_folder,
)
from napari_vrp_sam.models.zoo.registry import list_models
from napari_vrp_sam.plugin.preferences import INHERITED_ENVIRONMENT
from napari_vrp_sam.plugin.segment.widget import SegmentStackWidget


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    # Set first, so that monkeypatch restores the variables in any case.
    for variable in INHERITED_ENVIRONMENT:
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
        monkeypatch.setitem(INHERITED_ENVIRONMENT, variable, None)


@pytest.fixture
def dialog(qtbot, preferences):
    """napari's Preferences, showing the page of the plugin."""
    from napari._qt.dialogs.preferences_dialog import PreferencesDialog

    dialog = PreferencesDialog()
    qtbot.addWidget(dialog)
    names = [dialog._list.item(row).text() for row in range(dialog._list.count())]
    dialog._list.setCurrentRow(names.index("VRP-SAM"))
    dialog.show()
    return dialog


def test_manifest_offers_all_models_and_devices():
    manifest = PluginManifest.from_distribution("napari-vrp-sam")
    offered = manifest.contributions.configurations["segmentation"].properties
    assert offered["model"].enum == [spec.name for spec in list_models()]
    assert offered["device"].enum == ["auto", "cpu", "cuda", "mps"]
    assert all(choice.title and choice.description for choice in offered.values())


def test_preferences_are_applied_to_the_form(viewer, engine, preferences, tmp_path):
    preferences().model = "vit_b"
    preferences().device = "cpu"
    preferences().point_radius = 4.5
    preferences().tile = 1024
    preferences().neighbours = False
    preferences().prompting = "box"
    preferences().cache_folder = str(tmp_path / "models")
    form = SegmentStackWidget(viewer, engine).form
    assert form.model_box.model == "vit_b"
    assert form.device_box.currentText() == "cpu"
    assert form.radius_box.value() == 4.5
    assert form.tile == 1024
    assert not form.neighbours_box.isChecked()
    assert form.prompting_box.prompting == "box"
    assert cache_folder() == tmp_path / "models"
    assert "vit_b" in (tmp_path / "napari-vrp-sam.yaml").read_text()


def test_changed_preferences_are_applied_at_once(dock, dialog, tmp_path):
    page = dialog._stack.currentWidget()
    model, device, prompting, _style = page.findChildren(QComboBox)
    folder, mirror = [
        edit for edit in page.findChildren(QLineEdit) if edit.objectName() != "qt_spinbox_lineedit"
    ]
    model.setCurrentText("vit_h")
    device.setCurrentText("cpu")
    prompting.setCurrentText("points")
    folder.setText(str(tmp_path))
    assert dock.form.model_box.model == "vit_h"
    assert dock.form.device_box.currentText() == "cpu"
    assert dock.form.prompting_box.prompting == "points"
    assert cache_folder() == tmp_path
    folder.setText("")
    assert CACHE_VARIABLE not in os.environ
    mirror.setText("http://weights.lab/sam")
    assert os.environ[MIRROR_VARIABLE] == "http://weights.lab/sam"
    neighbours, offline = page.findChildren(QCheckBox)
    neighbours.setChecked(False)
    assert not dock.form.neighbours_box.isChecked()
    offline.setChecked(True)
    assert os.environ[OFFLINE_VARIABLE] == "1"
    offline.setChecked(False)
    assert OFFLINE_VARIABLE not in os.environ


def test_environment_variables_apply_to_empty_preferences(viewer, engine, preferences, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, "inherited")
    monkeypatch.setitem(INHERITED_ENVIRONMENT, CACHE_VARIABLE, "inherited")
    SegmentStackWidget(viewer, engine)
    assert cache_folder() == Path("inherited")
    preferences().cache_folder = "~/models"
    assert cache_folder() == Path("~/models").expanduser()
    preferences().cache_folder = " "
    assert cache_folder() == Path("inherited")


@pytest.mark.skipif(sys.platform != "linux", reason="reads the environment in /proc")
def test_worker_process_gets_the_cache_folder(qtbot, viewer, preferences, tmp_path):
    engine = ProcessEngine()
    dock = SegmentStackWidget(viewer, engine)
    viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(dock.isVisible)
    idle_worker = engine.warm_up()
    preferences().cache_folder = str(tmp_path)
    assert not idle_worker.alive
    worker = engine.warm_up()
    environment = Path(f"/proc/{worker.process.pid}/environ")  # empty for a moment
    qtbot.waitUntil(lambda: f"{CACHE_VARIABLE}={tmp_path}\0" in environment.read_text())
    viewer.close()
    assert not worker.alive


def test_closed_window_is_disconnected(viewer, dock, preferences):
    assert preferences().events.model.callbacks
    viewer.close()
    assert not preferences().events.model.callbacks
    preferences().model = "vit_l"  # the model box is deleted


def test_napari_without_preferences_of_plugins(viewer, engine, monkeypatch):
    monkeypatch.delattr("napari.settings.get_plugin_settings")  # napari before 0.9
    dock = SegmentStackWidget(viewer, engine)
    viewer.window.add_dock_widget(dock)
    assert dock.form.model_box.model == "lite"
