"""Write the table of `figures.md` from `benchmarks/figures.csv`.

    python docs/developers/figures.py

The command "as above" repeats that of the row before it.
"""

from __future__ import annotations

import csv
import json
from functools import reduce
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/developers/figures.md"
RESULTS = ROOT / "benchmarks/results"
START = "<!-- figures: start -->"


def rows() -> list[dict[str, str]]:
    """Return the rows of the list."""
    with (ROOT / "benchmarks/figures.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def measured(row: dict[str, str]) -> float | None:
    """Return the value of a row in its data file, in the unit of the figure, if it names one."""
    if not row["value"]:
        return None
    data = json.loads((RESULTS / row["data"]).read_text("utf-8"))
    parts = [
        reduce(lambda found, key: found[key], path.split("/"), data)
        for path in row["value"].split(" ÷ ")
    ]
    return float(row["factor"]) * (parts[0] / parts[1] if len(parts) > 1 else parts[0])


def page_with_table(page: str) -> str:
    """Return the page with a new table."""
    lines = [START, "", "| Page | Figure | Meaning | Data | Command |", "|---|---|---|---|---|"]
    for row in rows():
        data = f"`{row['data']}`" if row["data"] else ""
        command = row["command"]
        if command.startswith(("python ", "vrp-sam ", "ls ", "OMP_")):
            command = f"`{command}`"
        cells = (f"`{row['page']}`", row["figure"], row["meaning"], data, command)
        lines.append("| " + " | ".join(cells) + " |")
    return page.partition(START)[0] + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text("utf-8")), encoding="utf-8")
