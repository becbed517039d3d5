"""Table of the benchmarks page, from results of `vrp-sam evaluate one-slice`.

python benchmarks/one_slice_tables.py benchmarks/results/one-slice.json
python benchmarks/one_slice_tables.py one.json two.json --json merged.json
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from accuracy_tables import table

from napari_vrp_sam.files import write_json
from napari_vrp_sam.research.protocols.one_slice import (
    calibration_over_datasets,
    mean_over_datasets,
)

NEWER = "ev_"
"""Prefix of the names of datasets that earlier versions of the table did not have."""

FOREST = "random-forest"


def is_newer(name: str) -> bool:
    """Return True for a dataset that earlier versions of the table did not have."""
    return name.startswith(NEWER)


def merged(files: list[Path]) -> dict[str, Any]:
    """Merge the results of several runs of the same protocol."""
    runs = [json.loads(file.read_text("utf-8")) for file in files]
    datasets = {name: found for run in runs for name, found in run["datasets"].items()}
    datasets = dict(sorted(datasets.items(), key=lambda item: (is_newer(item[0]), item[0])))
    return {
        "protocol": runs[0]["protocol"],
        "datasets": datasets,
        "mean_iou": mean_over_datasets(datasets),
        "calibration_error": calibration_over_datasets(datasets),
    }


def lines(datasets: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[str]:
    """Yield the lines of the table, the means, and the part of the forest's error removed."""
    ious = {
        name: (found["model"]["mean_iou"], found[FOREST]["mean_iou"])
        for name, found in datasets.items()
    }
    rows = [[name, f"{lite:.3f}", f"{forest:.3f}"] for name, (lite, forest) in ious.items()]
    first = [name for name in ious if not is_newer(name)]
    groups = {f"first {len(first)}": first, f"all {len(ious)}": list(ious)}
    for name, members in groups.items():
        lite, forest = np.mean([ious[one] for one in members], axis=0)
        rows.append([f"**{name}**", f"**{lite:.3f}**", f"**{forest:.3f}**"])
    yield from table(["dataset", "`lite`", "random forest"], rows)
    for name, members in groups.items():
        found = np.array([ious[one] for one in members])
        lite, forest = found.mean(axis=0)
        better = int((found[:, 0] > found[:, 1]).sum())
        removed = (lite - forest) / (1 - forest)
        yield (
            f"{name}: `lite` removes {removed:.1%} of the forest's error and is better on "
            f"{better} of {len(found)} datasets."
        )


def main(
    files: Annotated[list[Path], typer.Argument()],
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the merged file.")] = None,
) -> None:
    """Print the table as Markdown."""
    results = merged(files)
    print(*lines(results["datasets"]), sep="\n")
    if json_path is not None:
        write_json(json_path, results)


if __name__ == "__main__":
    typer.run(main)
