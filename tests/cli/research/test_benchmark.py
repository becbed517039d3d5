from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from napari_vrp_sam.cli import app

runner = CliRunner()


@pytest.mark.slow
def test_results_are_written_as_json(tmp_path: Path) -> None:
    out = tmp_path / "speed.json"
    command = "benchmark --models lite --device cpu --size 64 --repeats 1 --json"
    result = runner.invoke(app, [*command.split(), str(out)])
    assert result.exit_code == 0, result.stderr
    content = json.loads(out.read_text())
    assert set(content["models"]) == {"lite"}
    keys = {"seconds_per_frame", "cached_seconds_per_frame", "peak_memory_bytes"}
    assert keys <= set(content["models"]["lite"])
    assert content["machine"]["device"] == "cpu"


def test_an_unknown_model_is_reported() -> None:
    result = runner.invoke(app, ["benchmark", "--models", "lite,heavy"])
    assert result.exit_code == 2
    assert "There is no model 'heavy'" in result.stderr
