"""Run the examples of the README and the documentation, and check generated pages."""

import doctest
import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from tests.scripts import load_script

import napari_vrp_sam
from napari_vrp_sam.fine_tuning import run
from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe
from napari_vrp_sam.io import samples

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "page",
    ["README.md", pytest.param("docs/getting-started/python.md", marks=pytest.mark.slow)],
)
def test_python_examples_run(page: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The blocks of a page build on each other, so they share their names."""
    monkeypatch.chdir(tmp_path)
    small = partial(samples.sample_stack, size=112, frames=3)
    monkeypatch.setattr(samples, "sample_stack", small)
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    assert np.any(names["labels"]), "the class was not found"


@pytest.mark.slow
def test_the_fine_tuning_example_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    quick = FineTuningRecipe(size=64, gain=-1.0, exam_effort=0.02, exam_choices=False)
    whole = run.fine_tune_events
    monkeypatch.setattr(
        run, "fine_tune_events", lambda job, control, _=None: whole(job, control, recipe=quick)
    )
    monkeypatch.setattr(samples, "sample_stack", partial(samples.sample_stack, size=112, frames=3))
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs/getting-started/fine-tuning.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(block.replace("minutes=3", "steps=2"), names)
    assert (tmp_path / "mitochondria.safetensors").is_file()
    assert np.any(names["labels"])


@pytest.mark.slow
def test_the_export_example_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    stack, truth = samples.sample_stack(seed=0, size=64, frames=13)
    tifffile.imwrite(
        "cells.tif", stack, imagej=True, resolution=(4, 4), metadata={"axes": "ZYX", "unit": "um"}
    )
    text = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    exec(compile(block, "export.md", "exec"), {"annotation": truth[12]})
    names = {"cells.tif", "labels.ome.tif", "RoiSet.zip", "objects.json", "objects.csv"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert "area_um2" in (tmp_path / "objects.csv").read_text().splitlines()[0]


def test_the_package_map_is_up_to_date() -> None:
    path = "docs/developers/package_map.py"
    package_map = load_script(path)
    page = package_map.PAGE.read_text("utf-8")
    assert page == package_map.page_with_map(page), f"run python {path}"


def _documented(name: str) -> list[doctest.DocTest]:
    module = sys.modules[getattr(napari_vrp_sam, name).__module__]
    found = doctest.DocTestFinder().find(module, name, globs={"np": np, **vars(module)})
    return [test for test in found if test.examples]


@pytest.mark.parametrize(
    "name", ["Reference", "Segmenter", "load_model", "objects_from_labels", "segment_stack"]
)
def test_examples_of_public_functions_run(name: str) -> None:
    tests = _documented(name)
    assert tests
    for test in tests:
        assert doctest.DocTestRunner().run(test).failed == 0


def test_tables_of_the_accuracy_page_are_those_of_the_data() -> None:
    script, data = (ROOT / "benchmarks" / name for name in ("accuracy_tables.py", "results"))
    command = [sys.executable, str(script), str(data / "accuracy.json")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    page = (ROOT / "docs" / "accuracy.md").read_text("utf-8")
    rows = [line for line in printed.splitlines() if line.startswith("|")]
    assert len(rows) > 30
    assert [row for row in rows if row not in page] == []


def test_the_table_of_the_one_slice_protocol_is_that_of_the_data() -> None:
    data = json.loads((ROOT / "benchmarks" / "results" / "one-slice.json").read_text("utf-8"))
    page = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    for name, of_set in data["datasets"].items():
        lite, forest = (of_set[method]["mean_iou"] for method in ("model", "random-forest"))
        assert f"| {name} | {lite:.3f} | {forest:.3f} |" in page
    lite, forest = (data["mean_iou"][method] for method in ("model", "random-forest"))
    assert f"| **all {len(data['datasets'])}** | **{lite:.3f}** | **{forest:.3f}** |" in page
    assert f"removes {100 * (lite - forest) / (1 - forest):.1f} % of the forest's error" in page
