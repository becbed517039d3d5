"""Run every block of the tutorials and of the README on small data."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.docs.pages import BLOCK, DOCS, ROOT, Page

from napari_vrp_sam.fine_tuning import run
from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.io import samples

TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
HOW_TO = sorted((DOCS / "how-to").glob("*.md"))
REPLACED = {"fine-tuning.md": {"--minutes 3": "--steps 2"}}
"""Durations that are too long for a test."""


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Work in an empty folder, with small samples and short measurements of fine-tuning."""
    monkeypatch.chdir(tmp_path)
    for name, size in (("sample_stack", 96), ("sample_nuclei", 96), ("sample_scene", 320)):
        monkeypatch.setattr(samples, name, partial(getattr(samples, name), size=size))
    quick = FineTuningRecipe(size=64, gain=-1.0, exam_effort=0.02, exam_choices=False)
    whole = run.fine_tune_events
    monkeypatch.setattr(
        run, "fine_tune_events", lambda job, control, _=None: whole(job, control, recipe=quick)
    )


@pytest.mark.slow
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs(path: Path) -> None:
    page = Page(path, REPLACED.get(path.name))
    page.run()
    assert np.any(page.names["labels"]), "the class was not found"


@pytest.mark.slow
@pytest.mark.parametrize("path", HOW_TO, ids=lambda path: path.stem)
def test_a_how_to_runs(path: Path) -> None:
    Page(path).run()


def test_every_tutorial_can_be_run_and_shows_a_result() -> None:
    assert len(TUTORIALS) >= 9
    for path in TUTORIALS + HOW_TO:
        text = path.read_text("utf-8")
        blocks = BLOCK.findall(text)
        assert blocks or path not in TUTORIALS, path.name
        assert text.count("```") == 2 * len(blocks), f"{path.name}: a block was not recognised"


@pytest.mark.slow
def test_the_commands_of_the_readme_for_polygons(tmp_path: Path) -> None:
    geopandas = pytest.importorskip("geopandas")
    rasterio = pytest.importorskip("rasterio")
    from shapely import Polygon

    scene, _, polygons = samples.sample_scene(size=320)
    transform = rasterio.Affine(0.5, 0, 500000, 0, -0.5, 5000000)
    profile = {"width": 320, "height": 320, "count": 3, "dtype": "uint8", "crs": "EPSG:32632"}
    with rasterio.open("scene.tif", "w", transform=transform, **profile) as file:
        file.write(np.moveaxis(scene, -1, 0))
    shapes = [Polygon([transform @ (x + 0.5, y + 0.5) for y, x in p]) for p in polygons]
    geopandas.GeoDataFrame(geometry=shapes, crs="EPSG:32632").to_file("orchards.gpkg")

    text = (ROOT / "README.md").read_text("utf-8")
    lines = [line.split("`")[1] for line in text.splitlines() if ". `vrp-sam" in line]
    assert [line.split()[1] for line in lines] == ["segment", "export"]
    page = Page(ROOT / "README.md")
    for line in lines:
        page._run_line(line)
    found = geopandas.read_file("found.gpkg")
    drawn = geopandas.read_file("orchards.gpkg")
    assert found.crs == drawn.crs
    assert set(found["class_name"]) == {"orchard"}
    assert drawn.area.sum() < found.area.sum() < 320 * 320 * 0.25
    assert found.union_all().intersection(drawn.union_all()).area > 0.8 * drawn.area.sum()
