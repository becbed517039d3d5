"""Probabilities of a result in a session: the threshold can be changed after it is opened."""

import json

import numpy as np
import pytest
from tests.plugin.window import results, run

from napari_vrp_sam.inference.relabelling.levels import CompressedLevels
from napari_vrp_sam.inference.relabelling.relabel import RelabelSettings, relabel_frame
from napari_vrp_sam.io.sessions.levels import PROBABILITIES, read_levels, write_levels
from napari_vrp_sam.io.sessions.session import SESSION_FILE, read_session
from napari_vrp_sam.plugin.layers.outputs.kept_probabilities import (
    KeptProbabilities,
    keep_probabilities,
    kept_probabilities,
)
from napari_vrp_sam.plugin.segment.result.result_tools import NOT_KEPT


def random_levels(frames=7, shape=(48, 64)):
    """Levels of two classes."""
    rng = np.random.default_rng(0)
    return {index: rng.integers(0, 256, (2, *shape), np.uint8) for index in range(frames)}


def kept_of(levels):
    kept = KeptProbabilities((1, 2), RelabelSettings({1: 0.4}))
    kept.frames = {index: CompressedLevels.of(one) for index, one in levels.items()}
    return kept


def test_round_trip_gives_the_same_labels_for_another_threshold(tmp_path):
    levels = random_levels(2)
    kept = kept_of(levels)
    labels = relabel_frame(levels[0], (1, 2), RelabelSettings({1: 0.4}))
    labels[:5] = 2  # by the user
    labels = kept.merge(0, labels, kept.compute(0, RelabelSettings({1: 0.6})))
    write_levels(tmp_path, kept.store())
    restored = KeptProbabilities.restore(read_levels(tmp_path / PROBABILITIES))
    settings = RelabelSettings({1: 0.2, 2: 0.7}, min_size=3)
    for index in (0, 1):
        found = [one.compute(index, settings) for one in (kept, restored)]
        current = labels if index == 0 else found[0].before
        np.testing.assert_array_equal(
            kept.merge(index, current, found[0]), restored.merge(index, current, found[1])
        )
    assert (restored.merge(0, labels, restored.compute(0, settings))[:5] == 2).all()


def wait_for_labels(qtbot, dock):
    qtbot.waitUntil(lambda: not dock.result_tools.relabelling.busy, timeout=60_000)


@pytest.mark.alone
def test_opened_session_has_the_threshold_slider(qtbot, viewer, dock, engine, annotated, tmp_path):
    run(qtbot, dock, engine)
    (result,) = results(viewer)
    levels = random_levels()
    for index, one in levels.items():
        result.data[index] = relabel_frame(one, (1, 2), RelabelSettings({1: 0.4}))
    keep_probabilities(result, kept_of(levels))
    tools = dock.result_tools
    tools.set_settings(tools.settings.with_threshold(1, 0.6))
    wait_for_labels(qtbot, dock)
    before = result.data.copy()
    folder = tmp_path / "a.vrpsam"
    dock.session_panel.save(folder)
    qtbot.waitUntil(lambda: not dock.session_panel.saving, timeout=60_000)
    tools.set_settings(tools.settings.with_threshold(1, 0.3))
    wait_for_labels(qtbot, dock)
    wanted = result.data.copy()
    assert (wanted != before).any()

    viewer.layers.clear()
    dock.session_panel.open(folder)
    (opened,) = results(viewer)
    np.testing.assert_array_equal(opened.data, before)
    assert kept_probabilities(opened).class_ids == (1, 2)
    assert tools.note.text() != NOT_KEPT
    assert tools.settings.thresholds[1] == 0.6
    tools.set_settings(tools.settings.with_threshold(1, 0.3))
    wait_for_labels(qtbot, dock)
    np.testing.assert_array_equal(opened.data, wanted)

    # An earlier version drops the entry when it saves the session again, and keeps the file.
    content = json.loads((folder / SESSION_FILE).read_text())
    assert content.pop("probabilities")
    (folder / SESSION_FILE).write_text(json.dumps(content))
    assert read_session(folder).result.levels is None
    content["probabilities"] = True
    (folder / SESSION_FILE).write_text(json.dumps(content))
    (folder / PROBABILITIES).write_bytes(b"PK torn")
    viewer.layers.clear()
    dock.session_panel.open(folder)
    assert kept_probabilities(results(viewer)[0]) is None
    np.testing.assert_array_equal(results(viewer)[0].data, before)
