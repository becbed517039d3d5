"""Sample data, generated on the spot: no download."""

from __future__ import annotations

from typing import Any


def sample_stack_layers() -> list[tuple[Any, dict[str, Any], str]]:
    """A stack that shows one class among distractors, and its ground truth as a hidden layer."""
    from napari_vrp_sam.io.samples import sample_stack

    stack, truth = sample_stack()
    return [
        (stack, {"name": "sample stack"}, "image"),
        (truth, {"name": "ground truth", "visible": False}, "labels"),
    ]
