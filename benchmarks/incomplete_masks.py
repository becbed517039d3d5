"""Warnings of incomplete masks: how often complete and incomplete masks cause one.

    VRP_SAM_DATA=... python benchmarks/incomplete_masks.py --rounds 3 --json incomplete-masks.json

Takes one image of each training dataset per round. Its mask is complete, or 30, 50 or 75 % of its
objects are removed.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from scipy import ndimage

from napari_vrp_sam.files import write_json
from napari_vrp_sam.inference.frames import Frames
from napari_vrp_sam.inference.normalisation import fit_normalisation
from napari_vrp_sam.models.base import EncodedReference
from napari_vrp_sam.models.lite.parts import PROBE_RECIPE
from napari_vrp_sam.models.probe.encoded_shots import shot_from_reference
from napari_vrp_sam.models.probe.look_alikes import MIN_MARKED, find_look_alikes
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.datasets.open import find_datasets

REMOVED = (0.0, 0.3, 0.5, 0.75)
"""Shares of the objects that are removed from a mask."""
MIN_OBJECTS = 6
"""Objects of a mask from which some can be removed."""
SIDE = 512


def main(
    rounds: Annotated[int, typer.Option(help="Images of each dataset.")] = 3,
    json: Annotated[Path | None, typer.Option(help="File to write.")] = None,
) -> None:
    """Print the rate of warnings by the share of removed objects."""
    rng = np.random.default_rng(0)
    model = load_model("lite")
    warnings: dict[float, list[bool]] = defaultdict(list)
    sets: set[str] = set()
    for _ in range(rounds):
        for dataset in find_datasets(["train"]):
            image, objects = _draw(dataset, rng)
            numbers = np.unique(objects[objects > 0])
            if len(numbers) < MIN_MARKED or objects.all():
                continue
            frames = Frames(image[None], "ZYXC" if image.shape[-1] == 1 else "ZYXS")
            planes = torch.from_numpy(fit_normalisation(frames).apply(image))
            features = model.encode(planes[None])
            sets.add(dataset.name)
            for share in REMOVED if len(numbers) >= MIN_OBJECTS else (0.0,):
                removed = rng.permutation(numbers)[: round(share * len(numbers))]
                mask = (objects > 0) & ~np.isin(objects, removed)
                reference = EncodedReference(
                    features, torch.from_numpy(mask.astype(np.float32)), 1, image=planes
                )
                shot = shot_from_reference(reference, [])
                warnings[share].append(find_look_alikes(shot, PROBE_RECIPE) is not None)
    table = [
        {"removed": share, "masks": len(found), "warnings": round(float(np.mean(found)), 3)}
        for share, found in sorted(warnings.items())
    ]
    for row in table:
        typer.echo(row)
    if json is not None:
        write_json(json, {"datasets": len(sets), "rounds": rounds, "table": table})


def _draw(dataset: Dataset, rng: np.random.Generator) -> tuple[Any, Any]:
    """Return an image, and the objects of one of its classes."""
    image_id = dataset.ids[int(rng.integers(len(dataset.ids)))]
    image, mask = dataset.image(image_id), dataset.mask(image_id)
    if dataset.kind == "semantic":
        shown = [c for c in dataset.classes if (mask == c).any()] or [1]
        mask = ndimage.label(mask == shown[int(rng.integers(len(shown)))])[0]
    return image[:SIDE, :SIDE], mask[:SIDE, :SIDE]


if __name__ == "__main__":
    typer.run(main)
