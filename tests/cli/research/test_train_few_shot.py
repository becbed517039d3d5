"""`vrp-sam train pascal5i | coco20i`, with tiny weights in place of SAM's."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import segment_anything
import torch
from tests.few_shot_data import write_coco, write_pascal
from tests.tiny_sam import build_tiny_sam
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.vrp.semantic_encoders import EfficientNetLite0
from napari_vrp_sam.models.weights import catalogue
from napari_vrp_sam.models.weights.checkpoints import read_checkpoint
from napari_vrp_sam.models.weights.downloads import PublishedFile
from napari_vrp_sam.models.weights.model_spec import SEMANTIC_WEIGHTS
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.research.trainer import check_nodes

runner = CliRunner()


@pytest.fixture(autouse=True)
def _tiny_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the downloads of `vit_b` and the semantic encoder by tiny models."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("VRP_SAM_CACHE", str(folder))
    monkeypatch.setenv("VRP_SAM_OFFLINE", "")  # restored after `--offline`

    def downloaded(name: str, module: torch.nn.Module) -> PublishedFile:
        torch.save(module.state_dict(), folder / name)
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        return PublishedFile(f"https://nowhere.invalid/{name}", digest, "MIT")

    sam = downloaded("sam.pth", build_tiny_sam())
    built_in = [replace(s, sam_weights=sam) if s.name == "vit_b" else s for s in catalogue.BUILT_IN]
    monkeypatch.setattr(catalogue, "BUILT_IN", tuple(built_in))
    monkeypatch.setitem(segment_anything.sam_model_registry, "vit_b", build_tiny_sam)
    torch.manual_seed(1)
    semantic = downloaded("semantic.pth", EfficientNetLite0().backbone)
    monkeypatch.setitem(SEMANTIC_WEIGHTS, "efficientnet_lite0", semantic)


def command(benchmark: str, data: Path, output: Path, *options: str) -> list[str]:
    small = ["--sam", "vit_b", "--semantic", "efficientnet_lite0", "--queries", "4"]
    quick = ["--epochs", "1", "--batch-size", "4", "--workers", "0", "--device", "cpu"]
    where = ["--data", str(data), "--fold", "1", "--output", str(output)]
    return ["train", benchmark, *where, *small, *quick, *options]


def test_a_trained_model_is_evaluated_as_it_was_trained(tmp_path: Path) -> None:
    data, output = write_pascal(tmp_path / "data"), tmp_path / "own.safetensors"
    options = ["--loss", "dice", "--initialisation", "half", "--annotation", "point"]
    result = runner.invoke(app, command("pascal5i", data, output, *options, "--seed", "3"))
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1] == str(output)
    settings = json.loads(read_checkpoint(output).metadata["training"])
    assert (settings["loss"], settings["initialisation"], settings["annotation"]) == (
        "dice",
        "half",
        "point",
    )
    assert (settings["data"], settings["fold"], settings["seed"]) == ("pascal5i", 1, 3)
    assert settings["learning_rate"] == 2e-4
    assert list((tmp_path / "embeddings").glob("pascal5i-*/00000.safetensors"))
    assert load_model(output).pseudo_mask == "correlation"  # type: ignore[attr-defined]
    assert load_model(output, pseudo_mask="probe").pseudo_mask == "probe"  # type: ignore[attr-defined]
    measure = ["evaluate", "pascal5i", "--data", str(data), "--fold", "0", "--episodes", "2"]
    result = runner.invoke(app, [*measure, "--model", str(output), "--device", "cpu"])
    assert result.exit_code == 0, result.stderr
    assert "novel to fold 0 of pascal5i" in result.stdout
    assert re.search(r"mIoU\W+0\.\d{3}", result.stdout)
    assert "was trained on fold 1 of pascal5i: these classes are not novel" in result.stderr
    assert ": aeroplane, bicycle, bird, boat, bottle" in result.stderr


def test_novel_classes_are_evaluated_without_a_warning(tmp_path: Path) -> None:
    data, output = write_pascal(tmp_path / "data"), tmp_path / "own.safetensors"
    result = runner.invoke(app, command("pascal5i", data, output))
    assert result.exit_code == 0, result.stderr
    # The dataset of the test is a part of the published one.
    assert "JPEGImages has 9 of 17125 files; vrp-sam data check reports where" in result.stderr
    report = tmp_path / "report.json"
    measure = ["evaluate", "pascal5i", "--data", str(data), "--fold", "1", "--episodes", "1"]
    options = ["--model", str(output), "--device", "cpu", "--json", str(report)]
    result = runner.invoke(app, [*measure, *options])
    assert result.exit_code == 0, result.stderr
    assert "not novel" not in result.stderr
    protocol = json.loads(report.read_text())["protocol"]
    assert protocol["model_learned_from"] == {"name": "pascal5i", "fold": 1}
    assert protocol["not_novel"] == []
    result = runner.invoke(app, [*measure, *options, "--semantic-encoder", "resnet50"])
    assert result.exit_code == 2
    message = " ".join(result.stderr.split())
    assert "with the semantic encoder 'efficientnet_lite0': do not choose 'resnet50'" in message


def test_coco_with_several_references(tmp_path: Path) -> None:
    data, output = write_coco(tmp_path / "data"), tmp_path / "own.safetensors"
    result = runner.invoke(app, command("coco20i", data, output, "--references", "2"))
    assert result.exit_code == 0, result.stderr
    assert json.loads(read_checkpoint(output).metadata["training"])["learning_rate"] == 1e-4


def test_invalid_input_is_reported_before_training(tmp_path: Path) -> None:
    data, output = write_pascal(tmp_path / "data"), tmp_path / "own.safetensors"
    for wrong, sentence in (
        (command("pascal5i", tmp_path, output), "val.txt does not exist"),
        (
            command("pascal5i", data, output, "--learning-rate", "0"),
            "learning rate must be above 0",
        ),
        (command("pascal5i", data, tmp_path / "own.pth"), "written as .safetensors"),
        (command("pascal5i", data, tmp_path / "own.pth", "--offline"), "written as .safetensors"),
        (command("pascal5i", data, output, "--nodes", "2"), "missing: MASTER_ADDR, MASTER_PORT"),
        (command("pascal5i", data, output, "--references", "9"), "more than 9 images"),
        (["evaluate", "pascal5i", "--data", str(data), "--fold", "0", "--seed", "-1"], "--seed"),
    ):
        result = runner.invoke(app, wrong)
        assert result.exit_code == 2, result.stderr
        assert sentence in " ".join(result.stderr.split())
    assert not (tmp_path / "embeddings").exists()


@pytest.mark.parametrize(
    ("rank", "port", "sentence"),
    [
        ("2", "5000", "NODE_RANK=2 is invalid: set it to a number from 0 to 1"),
        ("0", "x", "MASTER_PORT=x"),
    ],
)
def test_invalid_environment_variables_of_several_machines_are_reported(
    monkeypatch: pytest.MonkeyPatch, rank: str, port: str, sentence: str
) -> None:
    for name, value in (("ADDR", "127.0.0.1"), ("PORT", port)):
        monkeypatch.setenv(f"MASTER_{name}", value)
    monkeypatch.setenv("NODE_RANK", rank)
    check_nodes(1)
    with pytest.raises(InputError, match=sentence):
        check_nodes(2)


def test_an_error_in_a_worker_is_reported_in_one_sentence(tmp_path: Path) -> None:
    data, output = write_pascal(tmp_path / "data", train=12), tmp_path / "own.safetensors"
    assert runner.invoke(app, command("pascal5i", data, output)).exit_code == 0
    for name in ("own.safetensors", "own.safetensors.training"):
        (tmp_path / name).rename(tmp_path / f"earlier-{name}")
    for picture in data.glob("VOCdevkit/VOC2012/JPEGImages/*.jpg"):
        picture.write_bytes(picture.read_bytes()[:200])
    result = runner.invoke(app, command("pascal5i", data, output, "--workers", "1"))
    assert result.exit_code == 2
    assert re.search(r"\.jpg cannot be read: download http", " ".join(result.stderr.split()))
    assert "Traceback" not in result.stderr
