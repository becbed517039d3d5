"""What a training step learns from a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from napari_vrp_sam.models.lite.parts import LiteConfig
from napari_vrp_sam.research.lite.module import LiteModule
from napari_vrp_sam.research.lite.train import imagenet_backbone
from napari_vrp_sam.training import objective
from napari_vrp_sam.training.episodes import EpisodeStream, SyntheticEpisodes

TINY = LiteConfig(dim=32, queries=4, heads=2, decoder_depth=1, decoder_mlp=64)


@pytest.fixture(scope="module")
def batch() -> dict[str, Any]:
    """Two synthetic episodes with two references and two targets each."""
    stream = EpisodeStream(
        [(SyntheticEpisodes((64, 64)), 1.0)], 1, batch_size=2, references=(2,), seed=4
    )
    return stream.batch(0)


@pytest.fixture
def module() -> LiteModule:
    torch.manual_seed(0)
    made = LiteModule(15, learning_rate=1e-2, config=TINY)
    return made.train()


def loss_of(module: LiteModule, batch: dict[str, Any], task: str) -> torch.Tensor:
    torch.manual_seed(0)  # the same dropout, so that losses compare
    if task == "episodic":
        return module.episodic_loss(batch)[0]
    return module.promptable_loss(batch, np.random.default_rng(0))


@pytest.mark.parametrize("task", ["promptable", "episodic"])
def test_a_batch_seen_again_is_learned(
    module: LiteModule, batch: dict[str, Any], task: str
) -> None:
    backbone = {n: v.clone() for n, v in module.network.backbone.state_dict().items()}
    configured = module.configure_optimizers()
    optimiser, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    losses = []
    for _ in range(module.steps):
        loss = loss_of(module, batch, task)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.9 * losses[0]
    for name, value in module.network.backbone.state_dict().items():
        torch.testing.assert_close(value, backbone[name], rtol=0, atol=0)


def test_learning_rate_warms_up_and_ends_near_zero() -> None:
    module = LiteModule(200, learning_rate=1e-3, config=TINY)
    configured = module.configure_optimizers()
    optimiser, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    assert configured["lr_scheduler"]["interval"] == "step"
    rates = []
    for _ in range(module.steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates[0] < 0.1e-3
    assert max(rates) == pytest.approx(1e-3, rel=0.01)
    assert np.argmax(rates) <= 0.1 * module.steps
    assert rates[-1] < 1e-6


def test_only_weights_decay_and_the_backbone_is_left_alone() -> None:
    module = LiteModule(10, config=TINY)
    groups = module.configure_optimizers()["optimizer"].param_groups
    decayed, other = ({id(p) for p in group["params"]} for group in groups)
    assert groups[0]["weight_decay"] > 0 == groups[1]["weight_decay"]
    for name, parameter in module.network.named_parameters():
        learned = not name.startswith(("backbone.", "prompt_encoder.pe_layer"))
        assert (id(parameter) in decayed | other) == learned, name
        if learned:
            assert (id(parameter) in decayed) == (parameter.ndim > 1), name


def test_a_backbone_that_is_trained_has_a_rate_of_its_own() -> None:
    module = LiteModule(10, learning_rate=1e-3, backbone_rate=0.1, config=TINY)
    peaks = {
        id(p): (group["max_lr"], group["weight_decay"])
        for group in module.configure_optimizers()["optimizer"].param_groups
        for p in group["params"]
    }
    for name, parameter in module.network.named_parameters():
        if name.startswith("prompt_encoder.pe_layer"):
            continue
        rate, decay = peaks[id(parameter)]
        assert rate == pytest.approx(1e-4 if name.startswith("backbone.") else 1e-3), name
        assert (decay > 0) == (parameter.ndim > 1), name


def test_a_backbone_learns_from_the_probe_too(
    batch: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The closed-form fit hands gradients on: alone it improves what is fitted on the features."""
    torch.manual_seed(0)
    module = LiteModule(10, learning_rate=1e-3, backbone_rate=1.0, config=TINY).train()
    module.network.backbone.load_state_dict(
        {n: v for n, v in imagenet_backbone().items() if n in module.network.backbone.state_dict()}
    )
    monkeypatch.setattr(objective, "PROBE_WEIGHT", 1e3)  # nothing else counts
    optimiser = torch.optim.SGD(module.network.backbone.parameters(), lr=2e-6)
    losses = []
    for _ in range(4):
        loss = loss_of(module, batch, "episodic")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.99 * losses[0]


def test_pixels_that_are_ignored_teach_nothing(module: LiteModule, batch: dict[str, Any]) -> None:
    valid = batch["valid"].clone()
    valid[:, :, :32] = False
    changed = batch["target_masks"].clone()
    changed[:, :, :32] = 1 - changed[:, :, :32]
    ignoring = {**batch, "valid": valid}
    first, second = (
        loss_of(module, b, "episodic") for b in (ignoring, {**ignoring, "target_masks": changed})
    )
    torch.testing.assert_close(first, second)
    assert loss_of(module, {**batch, "target_masks": changed}, "episodic") != first


def test_targets_without_an_object_teach_nothing(module: LiteModule, batch: dict[str, Any]) -> None:
    empty = {**batch, "target_masks": torch.zeros_like(batch["target_masks"])}
    assert loss_of(module, empty, "promptable") == 0


def test_targets_are_compared_with_the_references_of_their_episode(module: LiteModule) -> None:
    """In one episode the class is bright, in the other dark: mixed up, both would be wrong."""
    generator = torch.Generator().manual_seed(0)
    image = torch.full((1, 1, 3, 64, 64), 0.3)
    image[..., 12:44, 16:52] = 0.8
    image = image + 0.02 * torch.randn(2, 3, 3, 64, 64, generator=generator)
    bright = (image.mean(2) > 0.55).float()
    truth = torch.stack([bright[0], 1 - bright[1]])
    batch = {
        "references": image[:, :1],
        "reference_masks": truth[:, :1],
        "kinds": [["mask"], ["mask"]],
        "targets": image[:, 1:],
        "target_masks": truth[:, 1:],
        "valid": torch.ones(2, 2, 64, 64, dtype=torch.bool),
    }
    _, _, probe_iou = module.episodic_loss(batch)
    assert probe_iou > 0.85
