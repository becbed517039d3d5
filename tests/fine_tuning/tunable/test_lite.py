"""Fine-tuning of `lite` without a dense head."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_vrp_sam.fine_tuning.data.annotated_frames import annotated_frames
from napari_vrp_sam.fine_tuning.tunable.base import encode_annotated_frames
from napari_vrp_sam.fine_tuning.tunable.lite import TunableLite
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.models.lite.network import LiteNetwork
from napari_vrp_sam.models.zoo.registry import load_model
from napari_vrp_sam.training.objective import episodic_loss


@pytest.fixture
def tunable(base, recipe):
    return TunableLite(load_model(base), "decoder", replace(recipe, lite_pool=3))


@pytest.fixture
def stream(tunable, job_of):
    frames = annotated_frames(job_of(1, 2).references, Normalisation((0.0,), (255.0,)))
    return tunable.stream(frames, 0)


def test_frozen_parts_of_an_episode_are_computed_once(tunable, stream, monkeypatch):
    encoded = []
    encode = LiteNetwork.encode
    monkeypatch.setattr(
        LiteNetwork, "encode", lambda self, f: encoded.append(len(f)) or encode(self, f)
    )
    for step in range(12):
        tunable.loss(stream.batch(step)).backward()
    # Of 24 episodes, 3 of the annotated frames with one or two references, and a synthetic one.
    assert len(encoded) <= 2 * (3 + 1)
    gradients = [p.grad for p in tunable.parameters.values() if p.grad is not None]
    assert any(bool(gradient.any()) for gradient in gradients)


def test_loss_follows_the_trained_parts(tunable, stream):
    """The second loss of an episode is that of the current weights, not of the first ones."""
    batch = stream.batch(0)
    network = tunable.model.network
    for _ in range(2):
        torch.manual_seed(0)
        loss = tunable.loss(batch)
        losses = []
        torch.manual_seed(0)
        network.train()
        for number in range(2):
            one = {k: v[number : number + 1] for k, v in batch.items() if k != "step"}
            losses.append(episodic_loss(network, one)[0])
        network.eval()
        assert loss.item() == pytest.approx(torch.stack(losses).mean().item(), rel=0.01)
        with torch.no_grad():
            for name, parameter in tunable.parameters.items():
                if name.startswith("neck."):
                    parameter.mul_(1.5)


@pytest.mark.slow
def test_validation_calibrates_as_inference_does(base, recipe, job_of):
    tunable = TunableLite(load_model(base), "decoder", replace(recipe, exam_choices=True))
    frames = annotated_frames(job_of(1).references[:1], Normalisation((0.0,), (255.0,)))
    references = encode_annotated_frames(tunable, frames, torch.device("cpu"))
    evaluation = tunable.evaluation(references, [torch.from_numpy(frames[0].image)])
    assert all(one.calibration.expected_iou is not None for one in evaluation.prepared)
    assert evaluation.logits()[0].shape == (1, 72, 80)
