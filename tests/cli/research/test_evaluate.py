from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.research.protocols import one_slice

runner = CliRunner()


@pytest.fixture(autouse=True)
def _data(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VRP_SAM_DATA", str(data_folder))


def test_a_model_is_compared_with_the_random_forest(tmp_path: Path) -> None:
    arguments = ["evaluate", "one-slice", "cells", "--baseline", "random-forest", "--device", "cpu"]
    out = tmp_path / "out.json"
    result = runner.invoke(app, [*arguments, "--json", str(out), "--max-frames", "3"])
    assert result.exit_code == 0, result.stderr
    content = json.loads(out.read_text())
    assert set(content["datasets"]["cells"]) == {"model", "random-forest"}
    for name, scores in content["datasets"]["cells"].items():
        assert 0.5 < scores["mean_iou"] <= 1, name
        assert set(scores["classes"]) == {"cell"}
        assert scores["seconds_per_frame"] > 0
        assert content["mean_iou"][name] == scores["mean_iou"]
    assert f"{content['mean_iou']['model']:.3f}" in result.stdout


def test_results_of_finished_datasets_survive_an_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []

    def once(dataset: one_slice.Dataset, *args: object, **kwargs: object) -> dict:
        if measured:
            raise KeyboardInterrupt
        measured.append(dataset.name)
        scores = {"mean_iou": 0.5, "classes": {}, "seconds_per_frame": 1.0, "confidences": []}
        return {"random-forest": scores}

    monkeypatch.setattr(one_slice, "evaluate_dataset", once)
    out = tmp_path / "out.json"
    command = ["evaluate", "one-slice", "plates", "cells", "--model", "none"]
    result = runner.invoke(app, [*command, "--baseline", "random-forest", "--json", str(out)])
    assert result.exit_code == 130
    assert list(json.loads(out.read_text())["datasets"]) == measured == ["plates"]


def test_a_negative_seed_is_reported() -> None:
    command = ["evaluate", "one-slice", "cells", "--model", "none", "--baseline", "random-forest"]
    result = runner.invoke(app, [*command, "--seed", "-1"])
    assert result.exit_code == 2
    assert "--seed" in result.stderr


def test_nothing_to_evaluate_is_reported() -> None:
    result = runner.invoke(app, ["evaluate", "one-slice", "cells", "--model", "none"])
    assert result.exit_code == 2
    assert "Nothing to evaluate" in result.stderr
    result = runner.invoke(app, ["evaluate", "one-slice", "absent"])
    assert result.exit_code == 2
    assert "No dataset 'absent'" in " ".join(result.stderr.split())
