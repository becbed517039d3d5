from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.protocols.one_slice import (
    FrameMasks,
    calibration_over_datasets,
    choose_references,
    evaluate_dataset,
    mean_over_datasets,
)
from napari_vrp_sam.research.protocols.random_forest import RandomForest


def above(threshold: float) -> Callable:
    """Method that thresholds the intensity for each class."""

    def method(frames: Sequence[np.ndarray], references: Sequence[Reference]) -> Callable:
        def segment(frame: np.ndarray) -> FrameMasks:
            return FrameMasks(np.stack([frame.mean(axis=-1) > threshold for _ in references]))

        return segment

    return method


def labels_with(coverages: Sequence[float]) -> list[np.ndarray]:
    masks = [np.zeros(1000, np.uint8) for _ in coverages]
    for mask, coverage in zip(masks, coverages, strict=True):
        mask[: round(coverage * 1000)] = 1
    return [mask.reshape(20, 50) for mask in masks]


@pytest.mark.parametrize(
    ("coverages", "frame"),
    [
        ([0.5, 0.5, 0.5, 0.5, 0.5], 2),
        ([0.5, 0.5, 0.001, 0.5, 0.5], 1),
        ([0.5, 0.99, 1.0, 0.3, 0.5], 3),
        ([0.0, 0.0, 0.0, 0.0, 0.002], 4),
        ([0.5, 0.5], 1),
    ],
)
def test_the_reference_is_the_suitable_frame_nearest_to_the_middle(
    coverages: list[float], frame: int
) -> None:
    labels = labels_with(coverages)
    (reference,) = choose_references([t[..., None] for t in labels], labels, {1: "a", 2: "absent"})
    assert reference.frame == frame
    np.testing.assert_array_equal(reference.mask, labels[frame])


def test_several_references_are_evenly_spaced() -> None:
    labels = labels_with([0.5, 0.5, 0.5, 0.5, 0.5, 0.001, 0.5, 0.5, 0.5])
    frames = [t[..., None] for t in labels]
    chosen = choose_references(frames, labels, {1: "a"}, count=3)
    assert [r.frame for r in chosen] == [1, 4, 7]
    assert [r.frame for r in choose_references(frames, labels, {1: "a"}, count=20)] != []
    assert len({r.frame for r in choose_references(frames, labels, {1: "a"}, count=20)}) == 8


@pytest.mark.parametrize("kind", ["point", "scribble", "box"])
def test_annotations_are_simulated_reproducibly(kind: str) -> None:
    labels = labels_with([0.3] * 3)
    frames = [t[..., None] for t in labels]
    (reference,) = choose_references(frames, labels, {1: "a"}, kind=kind)  # type: ignore[arg-type]
    (again,) = choose_references(frames, labels, {1: "a"}, kind=kind)  # type: ignore[arg-type]
    assert reference.kind == kind
    np.testing.assert_array_equal(reference.mask, again.mask)
    assert reference.mask.any()


def test_scores_of_a_sequence(data_folder: Path) -> None:
    cells = Dataset.open(data_folder / "cells")
    methods = {"good": above(120), "all": above(-1)}
    results = evaluate_dataset(cells, methods)
    targets = [cells.labels(f"z{index}") > 0 for index in (4, 3, 1, 0)]
    assert results["all"]["mean_iou"] == pytest.approx(np.mean([t.mean() for t in targets]))
    assert results["good"]["mean_iou"] > 0.9
    assert set(results["good"]["classes"]) == {"cell"}
    assert results["good"]["seconds_per_frame"] >= 0
    assert results["good"]["false_area"] is None


def test_scores_are_averaged_over_frames_then_classes_then_groups(data_folder: Path) -> None:
    plates = Dataset.open(data_folder / "plates")
    results = evaluate_dataset(plates, {"bright": above(190)})["bright"]
    expected = []
    for ids in plates.groups().values():
        labels = [plates.labels(item) for item in ids]
        of_class = []
        for class_id in (1, 2):
            scores = []
            for index, item in enumerate(ids):
                if index == 3:
                    continue
                known = labels[index] != 255
                predicted = plates.image(item).mean(axis=-1)[known] > 190
                true = labels[index][known] == class_id
                scores.append((predicted & true).sum() / (predicted | true).sum())
            of_class.append(np.mean(scores))
        expected.append(np.mean(of_class))
    assert results["sequences"] == pytest.approx(expected)
    assert results["mean_iou"] == pytest.approx(np.mean(expected))
    assert results["classes"]["dim"] < 0.1
    assert results["classes"]["bright"] > 0.9


def test_false_positives_on_frames_without_the_class(data_folder: Path) -> None:
    plates = Dataset.open(data_folder / "plates")

    class WithoutDim(Dataset):
        def labels(self, image_id: str) -> np.ndarray:
            labels = super().labels(image_id)
            labels[(labels == 1) & (image_id != plates.groups()["group-0"][3])] = 0
            return labels

    modified = WithoutDim(**vars(plates))
    results = evaluate_dataset(modified, {"all": above(-1)})["all"]
    assert set(results["classes"]) == {"bright"}
    assert results["false_area"] == 1


def test_methods_get_the_same_input_and_sequences_can_be_reduced(data_folder: Path) -> None:
    cells = Dataset.open(data_folder / "cells")
    seen: dict[str, list] = {"a": [], "b": []}

    def spy(name: str) -> Callable:
        def method(frames: Sequence[np.ndarray], references: Sequence[Reference]) -> Callable:
            seen[name] += [len(frames), references[0].frame, references[0].mask.sum()]
            return above(120)(frames, references)

        return method

    evaluate_dataset(cells, {name: spy(name) for name in seen}, max_frames=3)
    assert seen["a"] == seen["b"]
    assert seen["a"][:2] == [3, 1]


def test_the_number_of_sequences_can_be_limited(data_folder: Path) -> None:
    plates = Dataset.open(data_folder / "plates")
    assert len(plates.groups()) > 1
    method = {"threshold": above(120)}
    whole, first = (evaluate_dataset(plates, method, max_sequences=n) for n in (None, 1))
    assert first["threshold"]["sequences"] == whole["threshold"]["sequences"][:1]
    assert len(whole["threshold"]["sequences"]) > 1


def test_fewer_references_are_evaluated_on_the_same_frames(data_folder: Path) -> None:
    plates = Dataset.open(data_folder / "plates")
    seen: dict[int, tuple[int, set]] = {}

    def spy(number: int) -> Callable:
        def method(frames: Sequence[np.ndarray], references: Sequence[Reference]) -> Callable:
            segmented: set[bytes] = set()
            seen[number] = len(references), segmented

            def segment(frame: np.ndarray) -> FrameMasks:
                segmented.add(frame.tobytes())
                return FrameMasks(np.stack([frame.mean(axis=-1) > 190] * 2))

            return segment

        return method

    for number in (1, 5):
        evaluate_dataset(plates, {"spy": spy(number)}, references=number, spared=5)
    assert seen[1][0] == 2
    assert seen[5][0] == 10
    assert seen[1][1] == seen[5][1]


def test_expected_and_actual_iou_are_paired(data_folder: Path) -> None:
    plates = Dataset.open(data_folder / "plates")

    def method(frames: Sequence[np.ndarray], references: Sequence[Reference]) -> Callable:
        def segment(frame: np.ndarray) -> FrameMasks:
            return FrameMasks(np.stack([frame.mean(axis=-1) > 190] * 2), np.array([np.nan, 0.25]))

        return segment

    results = {"plates": evaluate_dataset(plates, {"bold": method, "mute": above(190)})}
    pairs = results["plates"]["bold"]["confidences"]
    assert pairs
    assert {expected for expected, _ in pairs} == {0.25}
    reached = np.mean([score for _, score in pairs])
    assert reached == pytest.approx(results["plates"]["bold"]["classes"]["bright"], abs=0.02)
    assert calibration_over_datasets(results) == {
        "bold": pytest.approx(abs(reached - 0.25)),
        "mute": None,
    }


def test_a_dataset_without_a_usable_class_is_reported(data_folder: Path) -> None:
    cells = replace(Dataset.open(data_folder / "cells"), classes={7: "absent"})
    with pytest.raises(InputError, match="no class with a reference"):
        evaluate_dataset(cells, {"all": above(-1)})


def test_a_method_is_compared_with_the_random_forest(data_folder: Path) -> None:
    plates = Dataset.open(data_folder / "plates")
    methods = {"model": above(190), "random-forest": RandomForest(trees=5)}
    results = {"plates": evaluate_dataset(plates, methods, max_frames=3)}
    means = mean_over_datasets(results)
    assert set(means) == {"model", "random-forest"}
    assert means["random-forest"] == results["plates"]["random-forest"]["mean_iou"]
    assert means["random-forest"] > 0.6
