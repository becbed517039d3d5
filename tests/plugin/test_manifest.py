import subprocess
import sys

import pytest
from npe2 import PluginManifest
from npe2.manifest.utils import import_python_name

NAME = "napari-vrp-sam"


@pytest.fixture(scope="module")
def manifest():
    return PluginManifest.from_distribution(NAME)


def test_npe2_validate():
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "npe2", "validate", NAME],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "valid" in run.stdout


def test_python_names_exist(manifest):
    manifest.validate_imports()
    for command in manifest.contributions.commands:
        assert command.id.startswith(f"{NAME}.")
        assert import_python_name(command.python_name).__doc__


def test_categories_and_menus(manifest):
    assert manifest.display_name == "VRP-SAM"
    assert manifest.visibility == "public"
    assert {str(category) for category in manifest.categories} == {"Segmentation", "Annotation"}
    assert {"napari/layers/segment", "napari/layers/annotate"} <= set(manifest.contributions.menus)


def test_menu_commands(make_napari_viewer_proxy, qtbot, cold_worker):
    """Run commands through napari's application, as its menus do."""
    from napari._app_model import get_app_model

    viewer = make_napari_viewer_proxy()
    viewer.open_sample(NAME, "stack")
    execute = get_app_model().commands.execute_command

    execute(f"{NAME}.annotate_boxes").result()
    assert viewer.layers.selection.active.name == "boxes"
    assert viewer.layers.selection.active.mode == "add_rectangle"

    execute(f"{NAME}.segment_stack").result()
    assert "Segment stack (VRP-SAM)" in viewer.window.dock_widgets
