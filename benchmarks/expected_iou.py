"""Accuracy of the expected IoU of a class: before a run, and after it.

    export VRP_SAM_DATA=...
    python benchmarks/expected_iou.py sandstone_ct seismic_penobscot ... --json expected-iou.json

Up to five frames, of which the middle one is annotated; two groups of frames of each dataset, up to
three classes of each. Frames are reduced to at most 320 pixels. The expected IoU of a class is
compared with the mean IoU of the other frames that show it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from scipy.stats import spearmanr

from napari_vrp_sam.annotations.labels import IGNORED
from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.files import write_json
from napari_vrp_sam.inference.prediction.confidence import expected_ious
from napari_vrp_sam.inference.prediction.predictor import Predictor
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.datasets.open import find_datasets
from napari_vrp_sam.research.protocols.model_method import ModelMethod
from napari_vrp_sam.research.protocols.one_slice import Frame, choose_references
from napari_vrp_sam.training.metrics import iou

FRAMES, GROUPS, CLASSES, SIDE = 5, 2, 3, 320
CLOSE = 0.12
"""Error below which an expected IoU counts as close."""


class Recorded(ModelMethod):
    """`lite`, whose predictors are kept."""

    def predictors(
        self, frames: Sequence[NDArray[Any]], references: Sequence[Reference]
    ) -> list[Predictor]:
        """See the base class."""
        self.last = super().predictors(frames, references)
        return self.last


def measure(dataset: Dataset, method: Recorded) -> list[dict[str, Any]]:
    """Return estimates and IoU of the classes of a dataset."""
    rows = []
    for group, all_ids in list(dataset.groups().items())[:GROUPS]:
        at = np.linspace(0, len(all_ids) - 1, min(FRAMES, len(all_ids))).round().astype(int)
        frames = [_reduced(dataset.image(all_ids[i])) for i in at]
        labels = [_reduced(dataset.labels(all_ids[i])) for i in at]
        channels = max(frame.shape[-1] for frame in frames)
        frames = [np.repeat(f, channels // f.shape[-1], axis=-1) for f in frames]
        for reference in choose_references(frames, labels, dataset.classes)[:CLASSES]:
            row = _measure_class(frames, labels, reference, method)
            if row["ious"]:
                rows.append({"dataset": dataset.name, "group": group} | row)
    return rows


def _measure_class(
    frames: Sequence[Frame],
    labels: Sequence[NDArray[np.uint8]],
    reference: Reference,
    method: Recorded,
) -> dict[str, Any]:
    class_id = reference.class_id
    segment = method(frames, [reference])
    held_out = method.last[0].calibrations[class_id].expected_iou
    confidences: dict[int, dict[int, float]] = {}
    ious, of_frames = [], []
    for index, (frame, of_frame) in enumerate(zip(frames, labels, strict=True)):
        truth = of_frame == class_id
        found = segment(frame)
        if index == reference.frame or not truth.any():
            continue
        assert found.confidences is not None
        of_frames.append(float(found.confidences[0]))
        confidences[index] = {} if np.isnan(of_frames[-1]) else {class_id: of_frames[-1]}
        ious.append(iou(found.masks[0], truth, of_frame == IGNORED))
    after = expected_ious({class_id: held_out}, confidences)[class_id]
    return {
        "class": class_id,
        "before": held_out,
        "after": after,
        "iou": float(np.mean(ious)) if ious else None,
        "confidences": of_frames,
        "ious": ious,
    }


def _reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    step = -(-max(image.shape[:2]) // SIDE)
    return np.ascontiguousarray(image[::step, ::step])


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return bias, mean error and correlation of both estimates."""
    actual = np.array([row["iou"] for row in rows])
    ranks = [spearmanr(r["confidences"], r["ious"]).statistic for r in rows if len(r["ious"]) > 2]
    result: dict[str, Any] = {
        "classes": len(rows),
        "datasets": len({row["dataset"] for row in rows}),
        "median rank correlation of confidence and IoU in a group": float(np.nanmedian(ranks)),
    }
    for name in ("before", "after"):
        expected = np.array([row[name] for row in rows], dtype=float)
        error = expected - actual
        result[name] = {
            "bias": float(error.mean()),
            "mean error": float(abs(error).mean()),
            "close": float((abs(error) <= CLOSE).mean()),
            "correlation": float(np.corrcoef(expected, actual)[0, 1]),
        }
    return result


def main(
    data: Annotated[list[str], typer.Argument(help="Datasets; see vrp-sam evaluate one-slice.")],
    json: Annotated[Path, typer.Option(help="Write the results to this file.")],
) -> None:
    """Measure the expected IoU of classes with a mask."""
    method = Recorded(load_model("lite"), "cpu")
    rows: list[dict[str, Any]] = []
    for dataset in find_datasets(data):
        rows += measure(dataset, method)
        write_json(json, {"summary": summary(rows), "rows": rows})
    typer.echo(summary(rows))


if __name__ == "__main__":
    typer.run(main)
