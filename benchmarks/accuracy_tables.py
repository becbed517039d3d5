"""The tables of the accuracy page, from what `accuracy.py` wrote.

    python benchmarks/accuracy_tables.py benchmarks/results/accuracy.json [more.json ...]

Several files, of other data sets, annotations or methods, are put together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

METHODS = ("lite", "random forest", "probe alone", "VRP alone", "GP-SAM")

Run = dict[str, dict[str, Any]]
"""Results of each method by data set."""


def merged(files: Iterable[Path]) -> dict[tuple[str, int], Run]:
    """Results by annotation and number of references."""
    runs: dict[tuple[str, int], Run] = {}
    for file in files:
        for run in json.loads(file.read_text("utf-8"))["runs"]:
            merged_run = runs.setdefault((run["annotation"], run["references"]), {})
            for name, of_set in run["datasets"].items():
                merged_run.setdefault(name, {}).update(of_set)
    return runs


def mean(run: Run, method: str, key: str = "mean_iou") -> float:
    """Mean of a figure over the data sets that have it."""
    found = [of_set[method].get(key) for of_set in run.values()]
    return float(np.mean([value for value in found if value is not None] or [np.nan]))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lines of a Markdown table."""
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def named(annotation: str, references: int) -> str:
    """How a run is called."""
    return f"{references} {annotation}" + ("es" if annotation == "box" else "s") * (references > 1)


def main(files: Annotated[list[Path], typer.Argument()]) -> None:
    """Print the tables as Markdown."""
    runs = merged(files)
    print("### All sets\n")
    rows = [
        [named(*key), str(len(run)), *(f"{mean(run, m):.3f}" for m in METHODS)]
        + [f"{mean(run, m, 'seconds_per_frame'):.2f}" for m in METHODS[:2]]
        for key, run in runs.items()
    ]
    print(*table(["annotated", "sets", *METHODS, "seconds a frame", "forest's"], rows), sep="\n")
    if ("mask", 1) in runs:
        print("\n### Every set, one mask\n")
        run = runs["mask", 1]
        rows = [[n, *(f"{r[m]['mean_iou']:.3f}" for m in METHODS)] for n, r in sorted(run.items())]
        print(*table(["data set", *METHODS], rows), sep="\n")
    print("\n### `lite` with every annotation\n")
    names = sorted({name for run in runs.values() for name in run})
    rows = [
        [n, *(f"{run[n]['lite']['mean_iou']:.3f}" if n in run else "" for run in runs.values())]
        for n in names
    ]
    print(*table(["data set", *(named(*key) for key in runs)], rows), sep="\n")
    print("\n### Marked on frames without the class\n")
    rows = [
        [named(*key), *(f"{100 * mean(run, m, 'false_area'):.1f} %" for m in METHODS)]
        for key, run in runs.items()
    ]
    print(*table(["annotated", *METHODS], rows), sep="\n")


if __name__ == "__main__":
    typer.run(main)
