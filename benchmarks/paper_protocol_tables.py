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


def score(runs: Sequence[dict[str, Any]], references: int) -> str:
    """Mean and range of mIoU over the seeds."""
    found = [100 * run[f"references_{references}"]["mean_iou"] for run in runs]
    if not found:
        return "not run"
    return f"{np.mean(found):.1f} ({min(found):.1f} to {max(found):.1f})"


def main(file: Annotated[Path, typer.Argument()]) -> None:
    """Print the tables as Markdown."""
    runs = json.loads(file.read_text("utf-8"))["runs"]
    for varied, paper in TABLES.items():
        rows = []
        for value, published in paper.items():
            wanted = {**PAPER, varied: value}
            own = [run for run in runs if all(run[k] == v for k, v in wanted.items())]
            parameters = f"{own[0]['parameters'] / 1e6:.2f} M" if own else ""
            rows.append(
                [str(value), published, score(own, 1), score(own, 5), str(len(own)), parameters]
            )
        head = [varied, "paper", "ours, 1 reference", "ours, 5 references", "seeds", "parameters"]
        print(*table(head, rows), "", sep="\n")


if __name__ == "__main__":
    typer.run(main)
