from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.models.weights.checkpoints import read_checkpoint
from napari_vrp_sam.research.resuming import LAST_CHECKPOINT

runner = CliRunner()
START = "from napari_vrp_sam.cli import main; main()"
QUICK = ["--steps=2", "--batch-size=1", "--size=32", "--device=cpu", "--workers=0", "--seed=3"]


@pytest.fixture(autouse=True)
def _data(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VRP_SAM_DATA", str(data_folder))


def test_a_model_is_trained_on_the_given_datasets(tmp_path: Path) -> None:
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
    assert (tmp_path / "own.safetensors.training" / LAST_CHECKPOINT).is_file()


def test_datasets_reserved_for_evaluation_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    result = runner.invoke(app, ["train", "lite", "--output", str(out), "--data", "plates", *QUICK])
    assert result.exit_code == 2
    assert "must not be trained on" in " ".join(result.stderr.split())


def test_missing_lightning_is_reported_with_install_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("lite.train", "lite.module", "trainer"):
        monkeypatch.delitem(sys.modules, f"napari_vrp_sam.research.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "lightning", None)
    out = tmp_path / "own.safetensors"
    result = runner.invoke(app, ["train", "lite", "--output", str(out), *QUICK])
    assert result.exit_code == 2
    assert result.stderr.strip() == (
        "Error: Training needs Lightning: python -m pip install 'napari-vrp-sam[train]'."
    )


def test_pairs_and_coco_files(tmp_path: Path) -> None:
    outline = [[8, 8, 40, 8, 40, 40, 8, 40]]
    items = range(3)
    content = {
        "images": [{"id": n, "file_name": f"c{n}.png"} for n in items],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "segmentation": outline} for n in items
        ],
    }
    (tmp_path / "coco.json").write_text(json.dumps(content))
    mask = np.zeros((48, 48), np.uint8)
    mask[8:40, 8:40] = 255
    for folder in ("pairs/images", "pairs/masks", "far"):
        (tmp_path / folder).mkdir(parents=True)
    for n in items:
        Image.fromarray(mask // 2 + 40).save(tmp_path / f"pairs/images/p{n}.png")
        Image.fromarray(mask).save(tmp_path / f"pairs/masks/p{n}.png")
        Image.fromarray(mask // 2 + 40).save(tmp_path / f"far/c{n}.png")
    out = tmp_path / "own.safetensors"
    data = ["--data", str(tmp_path / "pairs"), "--data", str(tmp_path / "coco.json")]
    command = ["train", "lite", "--output", str(out), *data, *QUICK]
    refused = runner.invoke(app, command)
    assert refused.exit_code == 2
    assert "image c0.png not found" in " ".join(refused.stderr.split())
    result = runner.invoke(app, [*command, "--images", str(tmp_path / "far")])
    assert result.exit_code == 0, result.stderr
    sets = json.loads(read_checkpoint(out).metadata["training_data"])
    assert [s["name"] for s in sets[1:]] == ["pairs", "coco"]


@pytest.mark.slow
def test_two_devices_train_together(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.safetensors" for name in ("two", "one")]

    def arguments(output: Path, devices: int) -> list[str]:
        return ["train", "lite", "--output", str(output), *QUICK, f"--devices={devices}"]

    done = subprocess.run(
        [sys.executable, "-c", START, *arguments(files[0], 2)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert runner.invoke(app, arguments(files[1], 1)).exit_code == 0
    two, one = (read_checkpoint(path).tensors for path in files)
    # Each device has different episodes.
    assert not all(torch.equal(two[name], one[name]) for name in two)
    resumed = runner.invoke(app, arguments(files[0], 1))
    assert resumed.exit_code == 2
    assert "different devices" in " ".join(resumed.stderr.split())
