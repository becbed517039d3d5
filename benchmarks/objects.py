"""Accuracy of the objects that are found in masks of touching cells.

    export VRP_SAM_DATA=/path/to/datasets
    python benchmarks/objects.py --json results/objects.json

`--old` is a Python file with the function `split_instances` of another version to compare with,
and `--predict N` also uses masks that `lite` predicts on N images for each dataset and modality.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from imageio.v3 import imread
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label

from napari_vrp_sam import Segmenter
from napari_vrp_sam.inference.objects.find import objects_from_labels
from napari_vrp_sam.inference.objects.instances import split_instances
from napari_vrp_sam.inference.objects.linking import link

DATASETS = "usiigaci_phase", "dsb2018_nuclei"
Array = NDArray[Any]
Method = Callable[[Array], Array]


def counts(ground_truth: Array, found: Array) -> NDArray[np.int64]:
    """Return the number of matches (IoU above 0.5), of objects, and of objects found."""
    shape = int(ground_truth.max()) + 1, int(found.max()) + 1
    shared = np.zeros(shape, np.int64)
    np.add.at(shared, (ground_truth.ravel(), found.ravel()), 1)
    areas, areas_found = shared.sum(axis=1)[1:], shared.sum(axis=0)[1:]
    union = areas[:, None] + areas_found - shared[1:, 1:]
    iou = shared[1:, 1:] / np.maximum(union, 1)
    return np.array([(iou > 0.5).sum(), (areas > 0).sum(), (areas_found > 0).sum()])


def total_counts(pairs: Iterable[tuple[Array, Array]]) -> NDArray[np.int64]:
    """Return the sum of the `counts` of images."""
    return sum((counts(*pair) for pair in pairs), np.zeros(3, np.int64))


def touching_cells(*, cells: int = 10, frames: int = 30, side: int = 256, seed: int) -> Array:
    """Return ids of crawling cells that touch each other, shape (T, Y, X)."""
    rng = np.random.default_rng(seed)
    radius = 0.085 * side * rng.uniform(0.85, 1.2, cells)
    centre = side * (0.5 + 0.25 * rng.standard_normal((cells, 2)))
    waves = np.arange(2, 5)
    amplitude = 0.1 * rng.standard_normal((cells, 3)) / (waves - 1)
    phase = rng.uniform(0, 2 * np.pi, (cells, 3))
    velocity = rng.standard_normal((cells, 2))
    rows, columns = np.indices((side, side))
    stack = np.zeros((frames, side, side), np.uint8)
    for frame in stack:
        for _ in range(20):  # cells push each other away, and stay inside of the frame
            apart = centre[:, None] - centre
            distance = np.hypot(apart[..., 0], apart[..., 1]) + 1e6 * np.eye(cells)
            overlap = np.maximum(0.85 * (radius[:, None] + radius) - distance, 0) / distance
            centre += 0.3 * (apart * overlap[..., None]).sum(axis=1)
            centre = np.clip(centre, 1.1 * radius[:, None], side - 1.1 * radius[:, None])
        nearest = np.ones((side, side))
        for cell in range(cells):
            y, x = rows - centre[cell, 0], columns - centre[cell, 1]
            turns = waves[:, None, None] * np.arctan2(y, x) + phase[cell][:, None, None]
            outline = 1 + (amplitude[cell][:, None, None] * np.cos(turns)).sum(axis=0)
            depth = np.hypot(y, x) / (radius[cell] * outline)
            frame[depth < nearest] = cell + 1
            nearest = np.minimum(nearest, depth)
        velocity = 0.7 * velocity + rng.standard_normal((cells, 2))
        centre = centre + 0.006 * side * velocity + 0.02 * (side / 2 - centre)
        phase += 0.15 * rng.standard_normal(phase.shape)
    return stack


def roughened(ids: Array, *, seed: int) -> Array:
    """Return a mask of cells with ragged outlines, holes and specks, shape (T, Y, X)."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(ids.shape, np.uint8)
    for index, frame in enumerate(ids > 0):
        depth = ndimage.distance_transform_edt(frame) - ndimage.distance_transform_edt(~frame)
        noise = ndimage.gaussian_filter(rng.standard_normal(frame.shape), 1.5)
        rough = depth + 2 * noise / noise.std() > 0
        for radius, number in ((2, 12), (1, 80)):
            spots = rng.uniform(size=frame.shape) < number / frame.size
            rough ^= ndimage.binary_dilation(spots, iterations=radius)
        mask[index] = rough
    return mask


def ground_truth(folder: Path) -> Iterator[tuple[str, Array]]:
    """Yield the names and object ids of the images of a dataset."""
    for path in sorted((folder / "masks").glob("*.png")):
        yield path.stem, np.asarray(imread(path)).astype(np.int64)


def predictions(folder: Path, number: int) -> Iterator[tuple[Array, Array]]:
    """Yield object ids, and the mask that `lite` predicts, for images of each modality.

    A modality is a shape and a brightness; of its first images, the one with the most objects is
    annotated.
    """
    groups: dict[Any, list[tuple[Array, Array]]] = {}
    for name, ids in ground_truth(folder):
        image = np.asarray(imread(next((folder / "images").glob(f"{name}.*"))))
        groups.setdefault((image.shape, image.mean() > 110), []).append((image, ids))
    for members in groups.values():
        if len(members) <= number:
            continue
        few = sorted(members[: number + 1], key=lambda m: -len(np.unique(m[1])))
        stack = np.stack([image for image, _ in few])
        axes = "ZYX" if stack.ndim == 3 else "ZYXS"
        segmenter = Segmenter("lite", device="cpu")
        segmenter.fit(
            stack[:1], (few[0][1] > 0).astype(np.uint8)[None], axes=axes, reference_frame=0
        )
        masks = segmenter.predict(stack).labels
        yield from ((ids, mask) for (_, ids), mask in zip(few[1:], masks[1:], strict=True))


def scores(pairs: list[tuple[Array, Array]], methods: dict[str, Method]) -> dict[str, Any]:
    """Return the F1 score and the number of objects of each method."""
    result: dict[str, Any] = {"images": len(pairs)}
    for name, method in methods.items():
        matched, objects, found = total_counts((ids, method(mask)) for ids, mask in pairs)
        result["objects"] = int(objects)
        result[name] = {"f1": round(2 * matched / (objects + found), 3), "found": int(found)}
    return result


def series(old: Method | None, seeds: int) -> dict[str, Any]:
    """Return the scores on generated time series of ten cells, and the number of linked ids."""
    result: dict[str, Any] = {"images": 0, "objects": 0}
    total = {"old": np.zeros(4, int), "new": np.zeros(4, int)}
    for seed in range(seeds):
        ids = touching_cells(seed=seed)
        mask = roughened(ids, seed=seed + 100)
        result["images"] += len(ids)
        found = objects_from_labels(mask, axes="TYX").labels
        linked = objects_from_labels(mask, axes="TYX", linked=True)
        total["new"] += [*total_counts(zip(ids, found, strict=True)), len(linked.table)]
        if old is not None:
            stack = np.stack([old(frame) for frame in mask]).astype(np.uint32)
            matches = total_counts(zip(ids, stack, strict=True))
            classes = [np.minimum(np.arange(frame.max() + 1), 1) for frame in stack]
            total["old"] += [*matches, len(link(stack, classes, bridge=True).classes) - 1]
    for name, (matched, objects, number, ids_linked) in total.items():
        if objects:
            result["objects"] = int(objects)
            result[name] = {
                "f1": round(2 * matched / (objects + number), 3),
                "found": int(number),
                "ids": int(ids_linked),
            }
    return result


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--old", type=Path)
    parser.add_argument("--predict", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    old: Method | None = None
    if options.old:
        spec = importlib.util.spec_from_file_location("old", options.old)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        old = lambda mask: module.split_instances(mask).labels  # noqa: E731
    methods: dict[str, Method] = {"connected": lambda mask: label(mask, connectivity=2)}
    methods |= {} if old is None else {"old": old}
    methods["new"] = lambda mask: split_instances(mask).labels
    results = {"generated time series, rough masks": series(old, options.seeds)}
    data = Path(os.environ["VRP_SAM_DATA"])
    for name in DATASETS:
        every = [(ids, (ids > 0).astype(np.uint8)) for _, ids in ground_truth(data / name)]
        results[f"{name}, ground truth"] = scores(every, methods)
        if options.predict:
            predicted = list(predictions(data / name, options.predict))
            results[f"{name}, lite"] = scores(predicted, methods)
    text = json.dumps(results, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
