"""Tables of the accuracy page, from results of `accuracy.py`.

    python benchmarks/accuracy_tables.py benchmarks/results/accuracy.json [more.json ...]

Several files, with other datasets, annotations or methods, are merged.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

METHODS = ("lite", "random forest", "probe alone", "VRP alone", "GP-SAM")
"""All methods; tables have those that every run has."""

TIMES = {"lite": "s / frame", "random forest": "s / frame, forest"}
"""Methods whose times are meaningful, with the heading of their column."""

Run = dict[str, dict[str, Any]]
"""Results by dataset and method."""


def merged(files: Iterable[Path]) -> dict[tuple[str, int], Run]:
    """Merge results by annotation and number of references."""
    runs: dict[tuple[str, int], Run] = {}
    for file in files:
        for run in json.loads(file.read_text("utf-8"))["runs"]:
            merged_run = runs.setdefault((run["annotation"], run["references"]), {})
            for name, by_method in run["datasets"].items():
                merged_run.setdefault(name, {}).update(by_method)
    return runs


def mean(run: Run, method: str, key: str = "mean_iou") -> float:
    """Average a value over the datasets that have it."""
    found = [by_method[method].get(key) for by_method in run.values()]
    return float(np.mean([value for value in found if value is not None] or [np.nan]))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def run_name(annotation: str, references: int) -> str:
    """Return the name of a run, such as "5 boxes"."""
    return f"{references} {annotation}" + ("es" if annotation == "box" else "s") * (references > 1)


def main(files: Annotated[list[Path], typer.Argument()]) -> None:
    """Print the tables as Markdown."""
    runs = merged(files)
    methods = [m for m in METHODS if all(m in r for run in runs.values() for r in run.values())]
    timed = [m for m in TIMES if m in methods]
    print("### All datasets\n")
    rows = [
        [run_name(*key), str(len(run)), *(f"{mean(run, m):.3f}" for m in methods)]
        + [f"{mean(run, m, 'seconds_per_frame'):.2f}" for m in timed]
        for key, run in runs.items()
    ]
    print(
        *table(["annotation", "datasets", *methods, *(TIMES[m] for m in timed)], rows),
        sep="\n",
    )
    if ("mask", 1) in runs:
        print("\n### Each dataset, one mask\n")
        run = runs["mask", 1]
        rows = [[n, *(f"{r[m]['mean_iou']:.3f}" for m in methods)] for n, r in sorted(run.items())]
        print(*table(["dataset", *methods], rows), sep="\n")
    print("\n### `lite` with each annotation\n")
    names = sorted({name for run in runs.values() for name in run})
    rows = [
        [n, *(f"{run[n]['lite']['mean_iou']:.3f}" if n in run else "" for run in runs.values())]
        for n in names
    ]
    print(*table(["dataset", *(run_name(*key) for key in runs)], rows), sep="\n")
    print("\n### False positives on frames without the class\n")
    rows = [
        [run_name(*key), *(f"{100 * mean(run, m, 'false_area'):.1f} %" for m in methods)]
        for key, run in runs.items()
    ]
    print(*table(["annotation", *methods], rows), sep="\n")


if __name__ == "__main__":
    typer.run(main)
