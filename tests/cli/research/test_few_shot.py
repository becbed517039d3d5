"""`vrp-sam evaluate pascal5i | coco20i` and `vrp-sam data check`."""

from __future__ import annotations

import json

import pytest
from tests.few_shot_data import write_coco, write_pascal
from typer.testing import CliRunner

from napari_vrp_sam.cli import app

runner = CliRunner()


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VRP_SAM_CACHE", str(tmp_path / "cache"))


@pytest.mark.slow
def test_pascal_with_the_default_model(tmp_path):
    root = write_pascal(tmp_path / "data")
    out = tmp_path / "scores.json"
    command = ["evaluate", "pascal5i", "--data", str(root), "--fold", "0", "--episodes", "3"]
    result = runner.invoke(app, [*command, "--json", str(out), "--device", "cpu"])
    assert result.exit_code == 0, result.stderr
    written = json.loads(out.read_text())
    assert written["protocol"]["episodes"] == 3
    (found,) = written["results"].values()
    assert found["classes"].keys() <= {"aeroplane", "bicycle"}
    # Discs of two colours are easy to segment.
    assert found["mean_iou"] > 0.6
    words = result.stdout.split()
    assert f"{found['mean_iou']:.3f}" in words
    assert f"{found['fb_iou']:.3f}" in words
    assert (tmp_path / "cache/few-shot/pascal5i-test.json").is_file()


@pytest.mark.slow
def test_coco_with_several_references(tmp_path):
    root = write_coco(tmp_path / "data")
    command = ["evaluate", "coco20i", "--data", str(root), "--fold", "0", "--episodes", "1"]
    result = runner.invoke(app, [*command, "--references", "2", "--annotation", "box"])
    assert result.exit_code == 0, result.stderr
    assert "novel to fold 0 of coco20i" in result.stdout


def test_several_promptings_under_a_domain_shift(tmp_path, tiny_model):
    root, out = write_pascal(tmp_path / "data"), tmp_path / "scores.json"
    command = ["evaluate", "pascal5i", "--data", str(root), "--fold", "0", "--episodes", "2"]
    for prompting in ("points+box", "persam", "probe"):
        command += ["--prompting", prompting]
    command += ["--novel-to", "coco20i", "--model", tiny_model, "--device", "cpu"]
    result = runner.invoke(app, [*command, "--json", str(out)])
    assert result.exit_code == 0, result.stderr
    written = json.loads(out.read_text())
    assert written["protocol"]["novel_to"] == "coco20i"
    assert written["protocol"]["prompting"] == ["points+box", "persam", "probe"]
    assert list(written["results"]) == ["points+box", "persam", "probe"]
    for found in written["results"].values():
        assert found["classes"].keys() == {"aeroplane"}  # COCO's other folds contain bicycle
        assert 0 <= found["mean_iou"] <= 1
    assert len({found["mean_iou"] for found in written["results"].values()}) == 3


def test_a_model_with_a_fixed_prompting(tmp_path):
    root = write_pascal(tmp_path / "data")
    command = ["evaluate", "pascal5i", "--data", str(root), "--fold", "0", "--prompting", "box"]
    result = runner.invoke(app, command)
    assert result.exit_code == 2
    assert "The prompting of 'lite' is fixed" in result.stderr


@pytest.mark.slow
def test_episodes_of_user_datasets(data_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("VRP_SAM_DATA", str(data_folder))
    out = tmp_path / "scores.json"
    command = ["evaluate", "episodes", "plates", str(data_folder / "cells"), "--episodes", "1"]
    result = runner.invoke(app, [*command, "--json", str(out), "--device", "cpu"])
    assert result.exit_code == 0, result.stderr
    written = json.loads(out.read_text())
    assert written["protocol"]["episodes"] == 1
    assert written["datasets"].keys() == {"plates", "cells"}
    plates, cells = (written["datasets"][name]["lite"] for name in ("plates", "cells"))
    assert plates["classes"].keys() <= {"dim", "bright"}
    assert plates["mean_iou"] > 0.5
    assert cells["mean_iou"] > 0.5
    assert "plates: lite 0." in result.stderr


def test_missing_files_are_reported_with_their_download(tmp_path):
    root = write_pascal(tmp_path / "data")
    result = runner.invoke(app, ["data", "check", "pascal5i", "--data", str(root)])
    assert result.exit_code == 2
    output = "".join(result.stdout.split())
    assert "VOCdevkit/VOC2012/JPEGImages" in output
    assert "17125" in output
    assert "2 of 3 items are incomplete" in result.stderr
    result = runner.invoke(app, ["data", "check", "coco20i", "--data", str(tmp_path)])
    assert result.exit_code == 2
    assert "4 of 4 items are incomplete" in result.stderr
    command = ["evaluate", "pascal5i", "--data", str(tmp_path), "--fold", "0"]
    result = runner.invoke(app, command)
    assert result.exit_code == 2
    assert "val.txt does not exist: download http" in result.stderr.replace("\n", "")
