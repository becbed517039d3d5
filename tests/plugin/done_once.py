"""Fixtures that do once what each window would do again."""

import gc
import sys
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from napari_vrp_sam.io import samples


@pytest.fixture(scope="session", autouse=True)
def frozen_imports():
    """Exclude the objects of imported modules from garbage collection.

    napari's fixture collects garbage three times per test, which takes longer than most tests.
    napari itself does so whenever a layer is removed, for OpenGL on Windows: not here.
    """
    import napari._qt.qt_main_window  # noqa: F401
    from napari._vispy import canvas

    import napari_vrp_sam.plugin.segment.widget  # noqa: F401

    gc.collect()
    gc.freeze()
    with pytest.MonkeyPatch.context() as patch:
        if sys.platform != "win32":
            patch.setattr(canvas, "gc", SimpleNamespace(collect=lambda: 0), raising=False)
        yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def frozen_survivors(frozen_imports):
    """Exclude from the collections of the next tests what several windows have left.

    Set up before the viewer, and so torn down after its garbage was collected.
    """
    yield
    if len(gc.get_objects()) > 50_000:
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def plugins_found_once():
    """Look for plugins and their settings once, and do not save napari's own settings.

    Each window searches all installed packages twice and saves the settings seven times, a quarter
    of the time of a test.
    """
    from napari import settings
    from npe2 import PluginManifest

    found = list(PluginManifest.discover())
    models = settings.plugin_configuration_generator()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginManifest, "discover", lambda paths=(): iter(found))
        patch.setattr(settings, "plugin_configuration_generator", lambda: models)
        patch.setattr(settings.get_settings(), "_save_on_change", False)
        yield


@pytest.fixture(scope="session", autouse=True)
def sample_made_once():
    """Make the sample stack once: it takes three seconds."""
    made = cache(samples.sample_stack)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            samples,
            "sample_stack",
            lambda *args, **options: tuple(map(np.copy, made(*args, **options))),
        )
        yield
