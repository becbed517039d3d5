from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.models.checkpoints import read_checkpoint
from napari_vrp_sam.training.lite import LAST

runner = CliRunner()
QUICK = ["--steps=2", "--batch-size=1", "--size=32", "--device=cpu", "--workers=0", "--seed=3"]


@pytest.fixture(autouse=True)
def _data(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VRP_SAM_DATA", str(data_folder))


def test_a_model_is_trained_on_the_sets_that_are_named(tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    command = ["train", "lite", "--output", str(out), "--data", "train", *QUICK]
    result = runner.invoke(app, [*command, "--references", "2"])
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1] == str(out)
    metadata = read_checkpoint(out).metadata
    assert metadata["kind"] == "lite"
    assert '"cells"' in metadata["training_data"]
    assert '"references": [2]' in metadata["training"]
    assert '"seed": 3' in metadata["training"]
    assert (tmp_path / "own.safetensors.training" / LAST).is_file()


def test_evaluation_sets_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    result = runner.invoke(app, ["train", "lite", "--output", str(out), "--data", "plates", *QUICK])
    assert result.exit_code == 2
    assert "must not be trained on" in " ".join(result.stderr.split())


def test_without_lightning_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in sys.modules if n.startswith("napari_vrp_sam.training")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lightning", None)
    out = tmp_path / "own.safetensors"
    result = runner.invoke(app, ["train", "lite", "--output", str(out), *QUICK])
    assert result.exit_code == 2
    assert result.stderr.strip() == (
        "Error: Training needs Lightning: python -m pip install 'napari-vrp-sam[train]'."
    )
