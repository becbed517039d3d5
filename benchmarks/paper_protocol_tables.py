"""Tables of the paper's ablations, from results of `paper_protocol.py`.

    python benchmarks/paper_protocol_tables.py benchmarks/results/paper-protocol.json

mIoU in percent: mean and, in brackets, range over the seeds; then the difference to the paper's
choice on the same episodes, with a 95 % confidence interval from bootstrap samples of the classes.
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
"""Published means on Pascal-5i (tables 5 to 7; figure 6 has no numbers)."""


def score(runs: Sequence[dict[str, Any]], where: str, references: int) -> str:
    """Format the mean and range of the mIoU over the seeds."""
    found = [r[where][str(references)]["mean_iou"] for r in runs if str(references) in r[where]]
    if not found:
        return ""
    percent = 100 * np.array(found)
    spread = f" ({percent.min():.1f} to {percent.max():.1f})" if len(percent) > 1 else ""
    return f"{percent.mean():.1f}{spread}"


def class_ious(runs: Sequence[dict[str, Any]], where: str) -> dict[str, float]:
    """Average the IoU of each class with one reference over the seeds."""
    ious = [run[where]["1"]["classes"] for run in runs]
    return {name: float(np.mean([of[name] for of in ious])) for name in ious[0]}


def difference(runs: Sequence[dict[str, Any]], paper: Sequence[dict[str, Any]], where: str) -> str:
    """Format the mean difference to the paper's choice over the classes, with its interval."""
    seeds = {run["seed"] for run in runs} & {run["seed"] for run in paper}
    pair = [[run for run in which if run["seed"] in seeds] for which in (runs, paper)]
    if not seeds or runs == paper:
        return ""
    own, other = (class_ious(which, where) for which in pair)
    gains = 100 * np.array([own[name] - other[name] for name in own])
    drawn = np.random.default_rng(0).choice(gains, (10_000, len(gains))).mean(axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return f"{gains.mean():+.1f} ({low:+.1f} to {high:+.1f})"


def main(file: Annotated[Path, typer.Argument()]) -> None:
    """Print the tables as Markdown."""
    runs = json.loads(file.read_text("utf-8"))["runs"]
    usual = [run for run in runs if all(run[k] == v for k, v in PAPER.items())]
    for varied, paper in TABLES.items():
        shots = (1, 5) if varied == "annotation" else (1,)
        rows = []
        for value, published in paper.items():
            wanted = {**PAPER, varied: value}
            selected = [run for run in runs if all(run[k] == v for k, v in wanted.items())]
            parameters = f"{selected[0]['parameters'] / 1e6:.2f} M" if selected else ""
            scores = [score(selected, where, n) for where in WHERE for n in shots]
            gains = [difference(selected, usual, where) for where in WHERE]
            rows.append([str(value), published, *scores, *gains, str(len(selected)), parameters])
        names = [f"{where}, {n} references" if n > 1 else where for where in WHERE for n in shots]
        names += [f"{where}, difference to the paper's choice" for where in WHERE]
        print(*table([varied, "paper", *names, "seeds", "parameters"], rows), "", sep="\n")


if __name__ == "__main__":
    typer.run(main)
