"""Chart of the benchmarks page, from results of `speed.py` or `vrp-sam benchmark`.

    python benchmarks/speed_chart.py benchmarks/results/speed-*.json --svg docs/images/speed.svg

Shows frames per second on a logarithmic scale, with and without the optimisations.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Annotated, Any

import typer

WIDTH, ROW, LABELS, VALUES = 720, 22, 250, 90
"""Width of the chart, height of a row, and widths of the columns in pixels."""

COLOURS = {"plain": "#9e9e9e", "ours": "#00897b"}
"""Colours for light and dark backgrounds."""


def rates(results: dict[str, Any]) -> Iterator[tuple[str, str, float]]:
    """Yield kind, label and frames per second of each bar."""
    device = results["machine"]["device_name"]
    for name, found in results["models"].items():
        plain = found.get("plain_seconds_per_frame") or (found.get("plain") or {}).get(
            "seconds_per_frame"
        )
        if plain:
            yield "plain", f"{name}, unoptimised, {device}", 1 / plain
        seconds = [found.get("seconds_per_frame")]
        seconds += [
            (run.get("result") or {}).get("seconds_per_frame") for run in found.get("runs", [])
        ]
        measured = [value for value in seconds if value]
        if measured:
            yield "ours", f"{name}, {device}", 1 / min(measured)


def chart(bars: list[tuple[str, str, float]]) -> str:
    """Return the chart as SVG."""
    lowest = 10 ** math.floor(math.log10(min(rate for *_, rate in bars)))
    span = math.log10(max(rate for *_, rate in bars) / lowest)
    height = ROW * len(bars) + 8
    text = '<text x="{:.1f}" y="{:.0f}" text-anchor="{}" fill="#808080">{}</text>'
    bar = '<rect x="{}" y="{:.0f}" width="{:.1f}" height="16" fill="{}"/>'
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" {}>'
    style = 'font-family="sans-serif" font-size="12" role="img" aria-label="Frames per second"'
    lines = [head.format(WIDTH, height, style)]
    for at, (kind, label, rate) in enumerate(bars):
        middle = ROW * at + ROW / 2 + 4
        long = math.log10(rate / lowest) / span * (WIDTH - LABELS - VALUES)
        lines += [
            text.format(LABELS - 8, middle + 4, "end", escape(label)),
            bar.format(LABELS, middle - 8, long, COLOURS[kind]),
            text.format(LABELS + long + 6, middle + 4, "start", f"{rate:.3g} / s"),
        ]
    return "\n".join([*lines, "</svg>", ""])


def main(
    files: Annotated[list[Path], typer.Argument()],
    svg: Annotated[Path, typer.Option()],
) -> None:
    """Write the chart."""
    bars = [bar for file in files for bar in rates(json.loads(file.read_text("utf-8")))]
    svg.write_text(chart(bars), "utf-8")


if __name__ == "__main__":
    typer.run(main)
