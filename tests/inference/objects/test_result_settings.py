"""Thresholds and clean-up of results: what labels, runs and objects take from them."""

from __future__ import annotations

import json

import pytest

from napari_vrp_sam.inference.objects.result_settings import AUTOMATIC, ResultSettings
from napari_vrp_sam.inference.objects.settings import ObjectSettings
from napari_vrp_sam.inference.relabelling.relabel import RelabelSettings

CHANGED = ResultSettings({2: 0.3}, min_size=40, fill_holes=False, smoothing=1.5)


def test_only_thresholds_other_than_the_default_are_kept() -> None:
    changed = AUTOMATIC.with_threshold(3, 0.7)
    assert (changed.threshold(3), changed.threshold(1)) == (0.7, 0.5)
    assert changed.with_threshold(3, 0.5) == AUTOMATIC


def test_settings_of_a_shown_result_leave_the_other_classes_alone() -> None:
    own = ResultSettings({1: 0.2, 2: 0.8}, min_size=5)
    shown = own.shown_by(ResultSettings({2: 0.6}, smoothing=1.0), class_ids=[2, 3])
    assert shown == ResultSettings({1: 0.2, 2: 0.6}, smoothing=1.0)
    assert own.shown_by(AUTOMATIC, class_ids=[2]).thresholds == {1: 0.2}


def test_automatic_settings_change_no_labels() -> None:
    assert AUTOMATIC.of_run is None
    assert AUTOMATIC.of_labels == RelabelSettings()
    assert CHANGED.of_run == RelabelSettings({2: 0.3}, min_size=40, smoothing=1.5)


def test_objects_keep_their_own_way_of_holes_and_are_smoothed_once() -> None:
    objects = ObjectSettings(fill_holes=True, smoothing=3.0)
    automatic = AUTOMATIC.of_objects(objects, smoothed=False)
    assert (automatic.fill_holes, automatic.min_size, automatic.smoothing) == (True, "auto", 0.0)
    of_mask = CHANGED.of_objects(objects, smoothed=False)
    assert (of_mask.fill_holes, of_mask.min_size, of_mask.smoothing) == (False, 40, 1.5)
    assert CHANGED.of_objects(objects, smoothed=True).smoothing == 0.0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (AUTOMATIC, ""),
        (ResultSettings({1: 0.4}), "threshold 0.40"),
        (CHANGED, "threshold 0.30 (class 2), minimum size 40 px, holes kept, smoothing 1.5 px"),
        (
            ResultSettings({2: 0.6, 1: 0.4}, fill_holes=True),
            "threshold 0.40 (class 1), threshold 0.60 (class 2), holes filled",
        ),
    ],
)
def test_words_name_what_differs(settings: ResultSettings, words: str) -> None:
    assert str(settings) == words


@pytest.mark.parametrize("settings", [AUTOMATIC, CHANGED])
def test_stored_settings_are_the_identity(settings: ResultSettings) -> None:
    assert ResultSettings.from_dict(json.loads(json.dumps(settings.as_dict()))) == settings
    assert ResultSettings.from_dict(None) == AUTOMATIC
