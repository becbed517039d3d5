from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.models.registry import list_models, model_spec

runner = CliRunner()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VRP_SAM_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("arguments", [["models"], ["models", "list"]])
def test_list(arguments: list[str]) -> None:
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0
    for spec in list_models():
        assert spec.name in result.stdout


def test_show() -> None:
    result = runner.invoke(app, ["models", "show", "vit_b"])
    spec = model_spec("vit_b")
    assert spec.sam_weights is not None
    shown = "".join(result.stdout.split())
    assert spec.sam_weights.url in shown
    assert spec.sam_weights.sha256 in shown
    assert runner.invoke(app, ["models", "show", "vit_x"]).exit_code == 2


def test_show_tells_what_shipped_weights_were_trained_on_and_how_good_they_are() -> None:
    shown = runner.invoke(app, ["models", "show", "lite"]).stdout
    for fact in (
        "synthetic worlds of this project",
        "CC BY",
        "learning_rate: 0.0004",
        "mean_iou: 0.",
    ):
        assert fact in shown, fact


def test_verify_tells_whole_missing_and_damaged() -> None:
    result = runner.invoke(app, ["models", "verify"])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split("\n")[0] == "lite: whole"
    result = runner.invoke(app, ["models", "verify", "vit_b"])
    assert result.exit_code == 2
    assert "vrp-sam models download vit_b" in result.stderr
    for file in model_spec("vit_b").downloads:
        file.path.write_bytes(b"half of it")
    result = runner.invoke(app, ["models", "verify"])
    assert result.exit_code == 2
    assert "vit_b: damaged" in result.stdout
    assert "download again" in result.stderr


def test_nothing_to_download() -> None:
    result = runner.invoke(app, ["models", "download", "lite"])
    assert result.exit_code == 0
    assert "a part of the package" in result.stdout
