"""The tables of the paper's ablations, from what `paper_protocol.py` wrote.

    python benchmarks/paper_protocol_tables.py benchmarks/results/paper-protocol.json

mIoU in percent: mean over the seeds, and in brackets the lowest and the highest.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from accuracy_tables import table

PAPER = {"loss": "both", "queries": 50, "initialisation": "random", "annotation": "mask"}

WHERE = ("novel", "evaluate")

TABLES: dict[str, dict[Any, str]] = {
    "loss": {"bce": "70.1", "dice": "70.3", "both": "71.9"},
    "queries": {1: "", 10: "", 25: "", 50: "71.9", 100: ""},
    "initialisation": {
        "foreground": "68.2",
        "background": "62.6",
        "half": "67.4",
        "random": "71.9",
    },
    "annotation": {
        "point": "62.9, 64.1",
        "scribble": "66.8, 68.4",
        "box": "69.4, 70.5",
        "mask": "71.9, 72.9",
    },
}
"""The paper's Pascal-5i means (tables 5 to 7; its figure 6 has no numbers)."""


def score(runs: Sequence[dict[str, Any]], where: str, references: int) -> str:
    """Mean and range of mIoU over the seeds."""
    found = [r[where][str(references)]["mean_iou"] for r in runs if str(references) in r[where]]
    if not found:
        return ""
    percent = 100 * np.array(found)
    return f"{percent.mean():.1f} ({percent.min():.1f} to {percent.max():.1f})"


def main(file: Annotated[Path, typer.Argument()]) -> None:
    """Print the tables as Markdown."""
    runs = json.loads(file.read_text("utf-8"))["runs"]
    for varied, paper in TABLES.items():
        shots = (1, 5) if varied == "annotation" else (1,)
        rows = []
        for value, published in paper.items():
            wanted = {**PAPER, varied: value}
            own = [run for run in runs if all(run[k] == v for k, v in wanted.items())]
            parameters = f"{own[0]['parameters'] / 1e6:.2f} M" if own else ""
            scores = [score(own, where, n) for where in WHERE for n in shots]
            rows.append([str(value), published, *scores, str(len(own)), parameters])
        names = [f"{where}, {n} references" if n > 1 else where for where in WHERE for n in shots]
        print(*table([varied, "paper", *names, "seeds", "parameters"], rows), "", sep="\n")


if __name__ == "__main__":
    typer.run(main)
