"""Compare the numbers that the README and the documentation claim with the data."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.scripts import load_script

ROOT = Path(__file__).parents[2]


figures = load_script("docs/developers/figures.py")


@pytest.mark.parametrize("row", figures.rows(), ids=lambda row: f"{row['page']}: {row['figure']}")
def test_a_figure_is_that_of_its_data(row: dict[str, str]) -> None:
    number = re.match(r"[\d.,]+", row["figure"])
    if number or row["value"]:
        page = " ".join((ROOT / row["page"]).read_text("utf-8").split())
        assert row["figure"] in page, "the page does not say so"
    if row["data"]:
        assert (figures.RESULTS / row["data"]).is_file()
    value = figures.measured(row)
    if value is not None and number:
        decimals = len(number[0].partition(".")[2])
        assert f"{value:.{decimals}f}" == number[0]
    script = re.search(r"benchmarks/\w+\.py", row["command"])
    assert script is None or (ROOT / script[0]).is_file()


def test_counted_figures_of_the_front_page() -> None:
    datasets = json.loads((figures.RESULTS / "one-slice.json").read_text("utf-8"))["datasets"]
    better = [d["model"]["mean_iou"] > d["random-forest"]["mean_iou"] for d in datasets.values()]
    assert (sum(better), len(better)) == (13, 14)
    weights = ROOT / "src/napari_vrp_sam/models/weights/lite.safetensors"
    assert f"{weights.stat().st_size / 1e6:.1f} MB" == "8.4 MB"
    card = (ROOT / "docs/models/lite.md").read_text("utf-8")
    table = card.partition("### Training data")[2].partition("\n\nDatasets without")[0]
    assert len(re.findall(r"^\| \[", table, flags=re.MULTILINE)) == 18


def test_every_figure_of_the_front_page_is_listed() -> None:
    """Decimals and percentages outside of code, addresses and names of versions."""
    text = (ROOT / "README.md").read_text("utf-8").partition("## Develop")[0]
    text = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", "", text, flags=re.DOTALL)
    claimed = set(re.findall(r"\d+\.\d+|\d+ %", text)) - {"3.11", "2.0"}
    listed = " ".join(row["figure"] for row in figures.rows() if row["page"] == "README.md")
    assert claimed
    assert {figure for figure in claimed if figure not in listed} == set()


def test_the_table_is_up_to_date() -> None:
    page = figures.PAGE.read_text("utf-8")
    assert page == figures.page_with_table(page), "run python docs/developers/figures.py"
