"""Network of `lite`: agreement with SAM, batches, sizes, and trained parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from segment_anything.modeling import PromptEncoder
from torch import Tensor

from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.lite import network as module
from napari_vrp_sam.models.lite.network import Conditioning, LiteNetwork
from napari_vrp_sam.models.lite.parts import (
    BACKBONE_CHANNELS,
    LOGIT_LIMIT,
    PROBE_RECIPE,
    LiteConfig,
)
from napari_vrp_sam.models.padding import PADDING
from napari_vrp_sam.models.probe.encoded_shots import Shot, make_shot
from napari_vrp_sam.models.probe.ensemble import EnsembleProbe, ProbeRecipe, fit_linear_probe
from napari_vrp_sam.models.probe.perceptron import PerceptronProbe
from napari_vrp_sam.models.probe.probe import LinearProbe
from napari_vrp_sam.models.probe.trees import TreesProbe
from napari_vrp_sam.models.probe.views import VIEW_COUNT, augmented_views
from napari_vrp_sam.models.sam.mask_decoder import decode_masks, read_masks

TINY = LiteConfig(dim=32, queries=4, heads=2, decoder_depth=1, decoder_mlp=64)
SHAPE = (64, 96)


@pytest.fixture(scope="module")
def network() -> LiteNetwork:
    torch.manual_seed(0)
    return LiteNetwork(TINY).eval()


@pytest.fixture
def fresh_network() -> LiteNetwork:
    """A network that a test may change."""
    torch.manual_seed(0)
    return LiteNetwork(TINY).eval()


def frames(count: int, shape: tuple[int, int] = SHAPE, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, *shape, generator=torch.Generator().manual_seed(seed))


def masks(count: int) -> Tensor:
    """One square in each mask, at different positions."""
    made = torch.zeros(count, *SHAPE)
    for number in range(count):
        made[number, 8 + 4 * number : 32 + 4 * number, 8 + 16 * number : 40 + 16 * number] = 1
    return made


def conditioned(network: LiteNetwork, classes: int, references: int = 1) -> Conditioning:
    """Several classes annotated on the same frames."""
    shots = []
    for seed in range(references):
        features = network.encode(frames(1, seed=seed))
        shared = FrameFeatures(
            SHAPE,
            features.embedding.expand(classes, -1, -1, -1),
            tuple(m.expand(classes, -1, -1, -1) for m in features.semantic),
        )
        shots.append(make_shot(shared, shared.semantic, masks(classes), ["mask"] * classes))
    return network.condition(shots)


@pytest.fixture(scope="module")
def conditioning(network: LiteNetwork) -> Conditioning:
    """Conditioning on one class on one frame."""
    return conditioned(network, classes=1)


def prompts(count: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    height, width = SHAPE[0] // 8, SHAPE[1] // 8
    return (
        torch.randn(count, 6, TINY.dim, generator=generator),
        torch.randn(count, TINY.dim, height, width, generator=generator),
        torch.randn(count, 1, 4 * height, 4 * width, generator=generator),
    )


def test_sizes_survive_the_metadata() -> None:
    metadata = {**TINY.as_metadata(), "kind": "lite", "note": "0.3"}
    assert LiteConfig.from_metadata(metadata) == TINY
    assert all(isinstance(value, str) for value in metadata.values())
    assert LiteConfig.from_metadata({}) == LiteConfig()


@torch.no_grad()
@pytest.mark.parametrize("shape", [(16, 16), (33, 70), (64, 96)])
def test_frames_of_any_size(network: LiteNetwork, shape: tuple[int, int]) -> None:
    features = network.encode(frames(2, shape))
    padded = [size + -size % PADDING for size in shape]
    assert features.size == shape
    assert features.embedding.shape == (2, TINY.dim, padded[0] // 8, padded[1] // 8)
    for level, channels in enumerate(BACKBONE_CHANNELS):
        stride = 2 ** (level + 1)
        grid = (padded[0] // stride, padded[1] // stride)
        assert features.semantic[level].shape == (2, channels, *grid)
    # Padding replicates the border, so that it adds no edge.
    repeated = F.pad(
        frames(2, shape), (0, padded[1] - shape[1], 0, padded[0] - shape[0]), mode="replicate"
    )
    torch.testing.assert_close(network.encode(repeated).embedding, features.embedding)


@torch.no_grad()
def test_the_deepest_stage_continues_the_backbone(network: LiteNetwork) -> None:
    features = network.encode(frames(1))
    deepest = network.deepest_stage(features.semantic[3])
    torch.testing.assert_close(deepest, features.semantic[4])


@torch.no_grad()
@pytest.mark.parametrize("with_box", [True, False])
def test_geometric_prompts_equal_those_of_sam(network: LiteNetwork, with_box: bool) -> None:
    encoder = PromptEncoder(TINY.dim, (8, 12), SHAPE, mask_in_chans=16)
    encoder.load_state_dict(network.prompt_encoder.state_dict())
    points = torch.tensor([[[10.0, 20.0], [90.0, 60.0]], [[0.0, 0.0], [50.0, 3.0]]])
    labels = torch.tensor([[1, 0], [1, -1]])
    boxes = torch.tensor([[5.0, 6.0, 40.0, 50.0], [0.0, 0.0, 96.0, 64.0]]) if with_box else None
    features = network.encode(frames(2))
    network.encode(frames(1, (32, 32)))  # a call with another grid has no effect
    network.geometric_prompt(network.encode(frames(1, (32, 32))), points[:1], labels[:1])

    sparse, dense = network.geometric_prompt(features, points, labels, boxes)
    theirs = encoder(points=(points, labels), boxes=boxes, masks=None)
    torch.testing.assert_close(sparse, theirs[0])
    torch.testing.assert_close(dense, theirs[1])
    assert sparse.shape[1] == (4 if with_box else 3)


@torch.no_grad()
def test_without_skips_the_decoder_equals_that_of_sam(fresh_network: LiteNetwork) -> None:
    decoder = fresh_network.decoder
    for skip in (decoder.skip4, decoder.skip2):
        skip.weight.zero_()
        skip.bias.zero_()
    features = fresh_network.encode(frames(2))
    sparse, dense, pseudo = prompts(2)
    position = fresh_network.prompt_encoder.pe_layer((8, 12))[None]
    arguments = (features.embedding, position, sparse, dense)
    found, quality = decoder.forward_with_skips(*arguments, features.semantic[:2], pseudo)
    torch.testing.assert_close(found, decode_masks(decoder, *arguments))
    for i in range(2):
        one = (features.embedding[i : i + 1], position, sparse[i : i + 1], dense[i : i + 1])
        masks, iou = decoder(*one, multimask_output=False)
        torch.testing.assert_close(found[i : i + 1], masks, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(quality[i : i + 1], iou, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_skips_change_the_masks(network: LiteNetwork) -> None:
    features = network.encode(frames(1))
    sharper = network.encode(frames(1, seed=1))
    mixed = FrameFeatures(SHAPE, features.embedding, sharper.semantic)
    one, _ = network.decode(features, *prompts(1))
    other, _ = network.decode(mixed, *prompts(1))
    assert (one - other).abs().max() > 1e-3


@torch.no_grad()
def test_a_batch_equals_frame_by_frame(network: LiteNetwork) -> None:
    batch = frames(3)
    features = network.encode(batch)
    together, quality = network.decode(features, *prompts(3))
    for i in range(3):
        alone = network.encode(batch[i : i + 1])
        torch.testing.assert_close(alone.embedding, features[i].embedding, rtol=1e-4, atol=1e-5)
        logits, iou = network.decode(alone, *(p[i : i + 1] for p in prompts(3)))
        torch.testing.assert_close(logits, together[i : i + 1], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(iou, quality[i : i + 1], rtol=1e-4, atol=1e-4)
    assert (together[0] - together[1]).abs().max() > 0.1


@torch.no_grad()
def test_a_frame_is_shared_by_all_classes(network: LiteNetwork) -> None:
    conditioning = conditioned(network, classes=2)
    target = network.encode(frames(1, seed=5))
    repeated = network.encode(frames(1, seed=5).expand(2, -1, -1, -1))
    shared = network.prompt(target, conditioning)
    for ours, theirs in zip(shared, network.prompt(repeated, conditioning), strict=True):
        # Rounding depends on the batch and the CPU; it is amplified by filters of the largest
        # scale, and may cross the threshold of a tree.
        assert torch.isclose(ours, theirs, rtol=1e-2, atol=1e-2).float().mean() > 0.995
        torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=0.2)
    one, _ = network.decode(target, *shared)
    two, _ = network.decode(repeated, *shared)
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)
    assert (one[0] - one[1]).abs().max() > 0.1


@torch.no_grad()
def test_every_reference_adds_its_prompts(network: LiteNetwork, conditioning: Conditioning) -> None:
    target = network.encode(frames(1, seed=5))
    one, _, _ = network.prompt(target, conditioning)
    three, dense, pseudo = network.prompt(target, conditioned(network, classes=1, references=3))
    assert one.shape == (1, TINY.queries, TINY.dim)
    assert three.shape == (1, 3 * TINY.queries, TINY.dim)
    assert dense.shape == target.embedding.shape
    assert pseudo.shape == (1, 1, SHAPE[0] // 2, SHAPE[1] // 2)
    assert (three[:, : TINY.queries] - three[:, TINY.queries : 2 * TINY.queries]).abs().max() > 1e-4


@torch.no_grad()
def test_a_given_pseudo_mask_replaces_that_of_the_probe(
    network: LiteNetwork, conditioning: Conditioning
) -> None:
    target = network.encode(frames(1, seed=5))
    given = 100 * prompts(1)[2]
    sparse, dense, used = network.prompt(target, conditioning, given)
    torch.testing.assert_close(used, given.clamp(-LOGIT_LIMIT, LOGIT_LIMIT))
    by_probe = network.prompt(target, conditioning)
    assert (sparse - by_probe[0]).abs().max() > 1e-4
    assert (dense - by_probe[1]).abs().max() > 1e-4


@torch.no_grad()
def test_the_decoder_adds_a_correction_to_the_pseudo_mask(fresh_network: LiteNetwork) -> None:
    """With a zero correction, the result is the pseudo-mask times the learned gain."""
    last = fresh_network.decoder.output_hypernetworks_mlps[0].layers[-1]
    last.weight.zero_()
    last.bias.zero_()
    fresh_network.residual_gain.fill_(0.7)
    sparse, dense, pseudo = prompts(2)
    logits, quality = fresh_network.decode(fresh_network.encode(frames(2)), sparse, dense, pseudo)
    torch.testing.assert_close(logits, 0.7 * pseudo)
    assert quality.shape == (2, 1)


def test_everything_but_the_backbone_learns_from_episodes(fresh_network: LiteNetwork) -> None:
    network = fresh_network.train()
    before = {name: value.clone() for name, value in network.backbone.state_dict().items()}
    conditioning = conditioned(network, classes=1)
    target = network.encode(frames(1, seed=5))
    logits, quality = network.decode(target, *network.prompt(target, conditioning))
    (logits.square().mean() + quality.mean()).backward()

    without_gradient = {
        n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()
    }
    # The embeddings of points and boxes learn from promptable steps only.
    geometric = ("prompt_encoder.point", "prompt_encoder.not_a", "prompt_encoder.no_mask")
    assert {n for n in without_gradient if not n.startswith(("backbone.", *geometric))} == set()
    assert all(f"backbone.{n}" in without_gradient for n, _ in network.backbone.named_parameters())
    for name, value in network.backbone.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)  # batch norm too


def test_training_fits_the_linear_probe_and_inference_the_ensemble(
    fresh_network: LiteNetwork,
) -> None:
    in_training, in_inference = (
        conditioned(fresh_network.train(mode), 1).probe for mode in (True, False)
    )
    assert isinstance(in_training, EnsembleProbe)
    assert isinstance(in_inference, EnsembleProbe)
    ((probe, levels),) = in_training.members
    assert isinstance(probe, LinearProbe)
    assert levels == PROBE_RECIPE.linear
    kinds, levels = zip(*((type(p), levels) for p, levels in in_inference.members), strict=True)
    assert kinds == (PerceptronProbe, PerceptronProbe, TreesProbe)
    assert levels == (PROBE_RECIPE.perceptron, PROBE_RECIPE.view_perceptron, PROBE_RECIPE.trees)


def shot_with_image(
    network: LiteNetwork, seed: int = 0, kind: str = "mask", **options: Any
) -> Shot:
    """A shot with the pixels of its frame, whose odd size needs padding."""
    image = frames(1, (50, 70), seed)
    features = network.encode(image)
    mask = masks(1)[:, :50, :70]
    return replace(make_shot(features, features.semantic, mask, [kind], **options), image=image[0])


@torch.no_grad()
@pytest.mark.parametrize("kind", ["mask", "point"])
def test_inference_learns_from_views(
    fresh_network: LiteNetwork, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    fitted: list[list[Shot]] = []

    def fit(
        shots: list[Shot], recipe: ProbeRecipe, views: Sequence[Shot] = (), effort: float = 1.0
    ) -> EnsembleProbe:
        assert recipe is PROBE_RECIPE
        fitted.append([*shots, *views])
        return fit_linear_probe(shots, recipe)

    monkeypatch.setattr(module, "fit_ensemble", fit)
    shot = shot_with_image(fresh_network, kind=kind)
    fresh_network.condition([shot])
    fresh_network.condition([replace(shot, image=None)])
    assert [len(shots) for shots in fitted] == [1 + VIEW_COUNT, 1]
    completed, *views = fitted[0]
    # Annotations are completed before views are sampled, so views are complete.
    assert completed.completed == (kind == "point")
    assert not any(view.incomplete for view in views)
    expected = augmented_views([completed], fresh_network.encode)
    for view, other in zip(views, expected, strict=True):
        assert torch.equal(view.foreground, other.foreground)


def test_training_does_not_sample_views(fresh_network: LiteNetwork) -> None:
    network = fresh_network.train()
    conditioning = network.condition([shot_with_image(network)])
    assert conditioning.views == ()


def test_skips_are_convolutions_of_maps_joined_with_the_mask(fresh_network: LiteNetwork) -> None:
    generator = torch.Generator().manual_seed(0)
    decoder = fresh_network.decoder
    quarter, half, mask = (
        torch.randn(2, channels, size, size, generator=generator)
        for channels, size in ((24, 8), (16, 16), (1, 16))
    )
    tokens = torch.randn(2, 3, TINY.dim, generator=generator)
    pixels = torch.randn(2, TINY.dim, 4, 4, generator=generator)
    up4, norm, act, up2, act2 = decoder.output_upscaling
    with torch.no_grad():
        skip4 = decoder.skip4(torch.cat([quarter, F.avg_pool2d(mask, 2)], dim=1))
        skip2 = decoder.skip2(torch.cat([half, mask], dim=1))
        upscaled = act2(up2(act(norm(up4(pixels) + skip4))) + skip2)
        expected = read_masks(decoder, tokens, upscaled)
        actual = decoder.upscale_and_read(tokens, pixels, [half, quarter], mask)
    torch.testing.assert_close(actual, expected)
