"""Accuracy of `lite` on generated stacks, as one more row of a table over time.

    python benchmarks/accuracy_over_time.py --table accuracy-over-time.csv

Each night, a job evaluates the protocol of one annotated slice (`vrp-sam evaluate one-slice`) with
each kind of annotation on two generated datasets, appends the mean IoUs to the table, and prints it
as Markdown. It fails if one of them is more than 0.005 below that of the row before, so that a
change of the accuracy is noticed on the day on which it is made.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import imageio.v3 as iio
import numpy as np
import typer
from numpy.typing import NDArray

from napari_vrp_sam.io.samples import sample_nuclei, sample_stack

KINDS = ("mask", "box", "scribble", "point")
SIZE, FRAMES, SEQUENCES = 192, 7, 3
TOLERANCE = 0.005


def main(
    table: Annotated[Path, typer.Option(help="CSV file to which a row is appended.")],
    size: Annotated[int, typer.Option(help="Side of the frames in pixels.")] = SIZE,
    sequences: Annotated[int, typer.Option(help="Stacks of each dataset.")] = SEQUENCES,
) -> None:
    """Evaluate, append a row to the table, and print the table as Markdown."""
    rows = list(csv.DictReader(table.read_text("utf-8").splitlines())) if table.exists() else []
    row = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": os.environ.get("GITHUB_SHA", "")[:9],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    with tempfile.TemporaryDirectory() as folder:
        datasets = [
            write_dataset(Path(folder) / "tissue", sample_stack, size, sequences),
            write_dataset(Path(folder) / "nuclei", sample_nuclei, size, sequences),
        ]
        for kind in KINDS:
            row |= evaluate(datasets, kind)
    rows.append(row)
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for one in rows for key in one)))
        writer.writeheader()
        writer.writerows(rows)
    print("\n".join(markdown(rows[-60:])))
    worse = [name for name in scores(row) if dropped(rows, name)]
    if worse:
        print(f"\nLower by more than {TOLERANCE} than the day before: {', '.join(worse)}")
        raise typer.Exit(1)


def write_dataset(folder: Path, sample: Any, size: int, sequences: int) -> Path:
    """Write generated stacks as a dataset of PNG files with a sequence for each stack."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    names: dict[str, list[str]] = {}
    for seed in range(sequences):
        stack, truth = sample(seed=seed, size=size, frames=FRAMES)
        names[f"stack {seed}"] = [f"s{seed}-{index}" for index in range(FRAMES)]
        for name, image, mask in zip(names[f"stack {seed}"], to_uint8(stack), truth, strict=True):
            iio.imwrite(folder / "images" / f"{name}.png", image)
            iio.imwrite(folder / "masks" / f"{name}.png", mask)
    meta = {"kind": "semantic", "classes": {"1": "object"}, "sequences": names}
    (folder / "meta.json").write_text(json.dumps(meta), "utf-8")
    return folder


def to_uint8(stack: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a stack whose brightest pixels are 255."""
    scaled = stack.astype(np.float64) * (255 / np.percentile(stack, 99.9))
    brightness: NDArray[np.uint8] = scaled.clip(0, 255).astype(np.uint8)
    return brightness


def evaluate(datasets: list[Path], kind: str) -> dict[str, str]:
    """Return the mean IoU of each dataset, as the command line gives it."""
    result = datasets[0].parent / f"{kind}.json"
    command = [sys.executable, "-m", "napari_vrp_sam", "evaluate", "one-slice"]
    command += [*map(str, datasets), "--annotation", kind, "--device", "cpu", "--json", str(result)]
    subprocess.run(command, check=True, stdout=sys.stderr)
    found = json.loads(result.read_text("utf-8"))["datasets"]
    return {f"{name}, {kind}": f"{of['model']['mean_iou']:.4f}" for name, of in found.items()}


def scores(row: dict[str, str]) -> list[str]:
    """Return the columns with an accuracy."""
    return [name for name in row if ", " in name]


def dropped(rows: list[dict[str, str]], name: str) -> bool:
    """Return whether an accuracy is lower than in the row before."""
    earlier = rows[-2].get(name) if len(rows) > 1 else None
    return bool(earlier) and float(rows[-1][name]) < float(earlier or 0) - TOLERANCE


def markdown(rows: list[dict[str, str]]) -> list[str]:
    """Return the lines of a table, the last row first."""
    columns = ["date", "commit", "python", "system", *scores(rows[-1])]
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    shown = (" | ".join(row.get(name) or "" for name in columns) for row in reversed(rows))
    return [*lines, *(f"| {cells} |" for cells in shown)]


if __name__ == "__main__":
    typer.run(main)
