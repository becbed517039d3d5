"""Compare the numbers that the README and the documentation claim with the data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
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
    assert (sum(better), len(better)) == (28, 30)
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


MEASURED = re.compile(
    r"(?<![\w.,/-])(?:0\.\d{2,3}|\d[\d.,]*\s"
    r"(?:%|s|ms|GB|MB|times|seconds|minutes|hours|frames per second))(?![\w/-])"
)
"""What looks like a result: an IoU, a percentage, a time, an amount of memory, a ratio."""
SETTINGS = {
    ("docs/benchmarks.md", "One annotated slice"),
    ("docs/concepts.md", "The probe"),
    ("docs/concepts.md", "Confidence"),
    ("docs/concepts.md", "Kinds of annotation"),
    ("docs/developers/training.md", "Training of `lite`"),
    ("docs/examples.md", "Real stacks to download"),
    ("docs/formats.md", "Image formats"),
    ("docs/getting-started/fine-tuning.md", "How the improvement is measured"),
    ("docs/getting-started/napari.md", "Worker process"),
    ("docs/getting-started/napari.md", "How drawings are interpreted"),
    ("docs/getting-started/napari.md", "Threshold and clean-up"),
    ("docs/getting-started/napari.md", "Preferences"),
    ("docs/getting-started/sessions.md", "Unfinished runs"),
    ("docs/help/faq.md", "In napari"),
    ("docs/large-data.md", "OME-Zarr input and output"),
    ("docs/models/features-and-specialised.md", "Probe models"),
    ("docs/models/index.md", "Models"),
}
"""Sections whose other numbers are settings, limits and sizes of downloads: nothing is measured."""


def sections(text: str) -> Iterator[tuple[str, str]]:
    """Yield the headings of a page and the text below each, without code and addresses."""
    ignored = r"^```.*?^```|\]\([^)]*\)|https?://\S+"
    text = re.sub(ignored, "", text, flags=re.DOTALL | re.MULTILINE)
    parts = re.split(r"^#+ (.*)$", text, flags=re.MULTILINE)
    for heading, below in zip(parts[1::2], parts[2::2], strict=True):
        yield heading.strip(), re.sub(r"`[^`]*`", "", below)


def test_every_measured_figure_of_the_documentation_is_listed() -> None:
    listed: dict[str, list[str]] = {}
    for row in figures.rows():
        listed.setdefault(row["page"], []).append(row["figure"])
    missing: list[str] = []
    unused = set(SETTINGS)
    for path in (ROOT / "docs").rglob("*.md"):
        page = path.relative_to(ROOT).as_posix()
        own = listed.get(page, [])
        if path.parent.name == "reference" or "all other figures" in own:
            continue
        if path.name in {"figures.md", "architecture.md"}:
            continue
        for heading, text in sections(path.read_text("utf-8")):
            found = [n for n in MEASURED.findall(text) if not any(n in figure for figure in own)]
            if (page, heading) in SETTINGS and found:
                unused.discard((page, heading))
            elif found and f'section "{heading}"' not in own:
                missing.append(f"{page}, {heading}: {', '.join(found)}")
    assert missing == [], "add them to benchmarks/figures.csv"
    assert unused == set()


def test_the_table_is_up_to_date() -> None:
    page = figures.PAGE.read_text("utf-8")
    assert page == figures.page_with_table(page), "run python docs/developers/figures.py"
