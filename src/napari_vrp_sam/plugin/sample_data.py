"""Sample data, generated without a download."""

from __future__ import annotations

from typing import Any


def sample_stack_layers() -> list[tuple[Any, dict[str, Any], str]]:
    """Return a stack with one class among distractors, and its ground truth as a hidden layer."""
    from napari_vrp_sam.io.samples import sample_stack

    return _layers("sample stack", *sample_stack())


def sample_nuclei_layers() -> list[tuple[Any, dict[str, Any], str]]:
    """Return a time series of moving nuclei, and its ground truth as a hidden layer."""
    from napari_vrp_sam.io.samples import sample_nuclei

    return _layers("sample nuclei", *sample_nuclei(), axis_labels=("t", "y", "x"))


def sample_scene_layers() -> list[tuple[Any, dict[str, Any], str]]:
    """Return an aerial scene, outlines of some orchards, and a hidden ground truth."""
    from napari_vrp_sam.io.samples import sample_scene

    scene, ground_truth, polygons = sample_scene()
    image, labels = _layers("sample scene", scene, ground_truth)
    image[1]["rgb"] = True
    outlines = {"name": "orchards", "shape_type": "polygon", "face_color": "#e69f0055"}
    return [image, labels, (polygons, outlines, "shapes")]


def _layers(
    name: str, stack: Any, ground_truth: Any, **options: Any
) -> list[tuple[Any, dict[str, Any], str]]:
    return [
        (stack, {"name": name, **options}, "image"),
        (ground_truth, {"name": "ground truth", "visible": False, **options}, "labels"),
    ]
