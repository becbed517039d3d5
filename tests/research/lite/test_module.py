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
    torch.manual_seed(0)  # the same dropout, so that losses are comparable
    if task == "episodic":
        train_probe = module.backbone_rate > 0
        return objective.episodic_loss(module.network, batch, train_probe=train_probe)[0]
    return objective.promptable_loss(module.network, batch, np.random.default_rng(0))


@pytest.mark.slow
@pytest.mark.parametrize("task", ["promptable", "episodic"])
def test_the_loss_of_a_repeated_batch_decreases(
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


def test_the_learning_rate_warms_up_and_decays_to_zero() -> None:
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


def test_only_matrices_decay_and_the_backbone_is_frozen() -> None:
    module = LiteModule(10, config=TINY)
    groups = module.configure_optimizers()["optimizer"].param_groups
    decayed, other = ({id(p) for p in group["params"]} for group in groups)
    assert groups[0]["weight_decay"] > 0 == groups[1]["weight_decay"]
    for name, parameter in module.network.named_parameters():
        learned = not name.startswith(("backbone.", "prompt_encoder.pe_layer"))
        assert (id(parameter) in decayed | other) == learned, name
        if learned:
            assert (id(parameter) in decayed) == (parameter.ndim > 1), name


def test_a_trained_backbone_has_its_own_learning_rate() -> None:
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


def test_a_trained_backbone_learns_from_the_probe(
    batch: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradients through the closed-form fit alone improve the features."""
    torch.manual_seed(0)
    module = LiteModule(10, learning_rate=1e-3, backbone_rate=1.0, config=TINY).train()
    module.network.backbone.load_state_dict(
        {n: v for n, v in imagenet_backbone().items() if n in module.network.backbone.state_dict()}
    )
    monkeypatch.setattr(objective, "PROBE_WEIGHT", 1e3)  # so that other terms are negligible
    optimiser = torch.optim.SGD(module.network.backbone.parameters(), lr=2e-6)
    losses = []
    for _ in range(4):
        loss = loss_of(module, batch, "episodic")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.99 * losses[0]


def test_ignored_pixels_do_not_influence_the_loss(
    module: LiteModule, batch: dict[str, Any]
) -> None:
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


def test_targets_without_an_object_have_no_loss(module: LiteModule, batch: dict[str, Any]) -> None:
    empty = {**batch, "target_masks": torch.zeros_like(batch["target_masks"])}
    assert loss_of(module, empty, "promptable") == 0


def test_targets_are_segmented_from_the_references_of_their_episode(module: LiteModule) -> None:
    """The class is bright in one episode and dark in the other, which detects a mix-up."""
    generator = torch.Generator().manual_seed(0)
    image = torch.full((1, 1, 3, 64, 64), 0.3)
    image[..., 12:44, 16:52] = 0.8
    image = image + 0.02 * torch.randn(2, 3, 3, 64, 64, generator=generator)
    bright = (image.mean(2) > 0.55).float()
    masks = torch.stack([bright[0], 1 - bright[1]])
    batch = {
        "references": image[:, :1],
        "reference_masks": masks[:, :1],
        "kinds": [["mask"], ["mask"]],
        "targets": image[:, 1:],
        "target_masks": masks[:, 1:],
        "valid": torch.ones(2, 2, 64, 64, dtype=torch.bool),
    }
    _, _, probe_iou = objective.episodic_loss(module.network, batch)
    assert probe_iou > 0.85
