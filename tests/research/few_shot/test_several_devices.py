"""Several processes work together, as on several GPUs or machines."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.few_shot_data import write_pascal

from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder
from napari_vrp_sam.models.weights.checkpoints import read_checkpoint
from napari_vrp_sam.research.few_shot import encoding
from napari_vrp_sam.research.few_shot.embeddings import EmbeddingCache
from napari_vrp_sam.research.few_shot.encoding import encode_images

ROOT = Path(__file__).parents[3]

RUN = """
import sys
from pathlib import Path
import torch
from tests.tiny_sam import build_tiny_sam
from napari_vrp_sam.research.datasets.open import open_benchmark
from napari_vrp_sam.models.sam.full_size_model import FullSizeModel
from napari_vrp_sam.models.vrp.semantic_encoders import EfficientNetLite0
from napari_vrp_sam.research.few_shot.recipe import Recipe
from napari_vrp_sam.research.few_shot.train import train_few_shot

if __name__ == "__main__":
    folder, output = sys.argv[1:]
    torch.manual_seed(0)
    model = FullSizeModel("vit_b", build_tiny_sam(), EfficientNetLite0(), semantic_side=64)
    train_few_shot(
        output, open_benchmark("pascal5i", folder), 1, model, "efficientnet_lite0",
        Recipe.published("pascal5i", epochs=1, batch_size=2, queries=4),
        cache_folder=Path(output + ".embeddings"),
        device="cpu", nodes=2, workers=0,
    )
"""


@pytest.mark.slow
def test_two_machines_train_together(tmp_path):
    write_pascal(tmp_path, train=24)
    script, output = tmp_path / "run.py", tmp_path / "own.safetensors"
    script.write_text(RUN)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    variables = {"PYTHONPATH": paths, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    runs = [
        subprocess.Popen(
            [sys.executable, str(script), str(tmp_path), str(output)],
            env={**os.environ, **variables, "NODE_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for run in runs:
        stderr = run.communicate()[1]
        assert run.returncode == 0, stderr
    checkpoint = read_checkpoint(output)
    settings = json.loads(checkpoint.metadata["training"])
    assert (settings["devices"], settings["steps"]) == (2, 3)  # 12 images, two per machine and step
    torch.manual_seed(0)
    first = VRPEncoder(152, 64, queries=4).state_dict()
    assert all(not torch.equal(value, first[name]) for name, value in checkpoint.tensors.items())


@pytest.mark.slow
def test_two_devices_encode_images_together(tmp_path, pascal, build, monkeypatch):
    sam, messages = build().sam, []
    ids = pascal.image_ids("train")
    cpu = torch.device("cpu")
    caches = [EmbeddingCache(tmp_path / name, "pascal5i", "abc", [ids]) for name in ("one", "two")]
    encode_images(caches[0], sam, pascal, cpu)
    monkeypatch.setattr(encoding, "POLL_SECONDS", 0.5)
    encode_images(caches[1], sam, pascal, cpu, 2, messages.append)
    assert messages[0] == "Encoding images with SAM: 1 files left"
    assert not caches[1].missing()
    assert all(torch.equal(caches[0][image_id], caches[1][image_id]) for image_id in ids)
