"""The network of `lite`: SAM's shape kept, batches, sizes, what learns and what does not."""

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
from napari_vrp_sam.models.lite.model import network as module
from napari_vrp_sam.models.lite.network import LOGIT_LIMIT, PADDING, Conditioning, LiteNetwork
from napari_vrp_sam.models.lite.parts import (
    BACKBONE_CHANNELS,
    PROBE_RECIPE,
    VIEWS,
    LiteConfig,
    _joined,
)
from napari_vrp_sam.models.probe.encoded_shots import Shot, make_shot
from napari_vrp_sam.models.probe.ensemble import EnsembleProbe, ProbeRecipe, fit_linear_probe
from napari_vrp_sam.models.probe.perceptron import PerceptronProbe
from napari_vrp_sam.models.probe.probe import LinearProbe
from napari_vrp_sam.models.probe.trees import TreesProbe
from napari_vrp_sam.models.sam.mask_decoder import decode_masks

TINY = LiteConfig(dim=32, queries=4, heads=2, decoder_depth=1, decoder_mlp=64)
SHAPE = (64, 96)


@pytest.fixture(scope="module")
def network() -> LiteNetwork:
    torch.manual_seed(0)
    return LiteNetwork(TINY).eval()


@pytest.fixture
def own_network() -> LiteNetwork:
    """One that a test may change."""
    torch.manual_seed(0)
    return LiteNetwork(TINY).eval()


def frames(count: int, shape: tuple[int, int] = SHAPE, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, *shape, generator=torch.Generator().manual_seed(seed))


def masks(count: int) -> Tensor:
    """One square each, at differing places."""
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
    """Of one class on one frame."""
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
    # Padding repeats the border, so that it adds no edge.
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
def test_geometric_prompts_are_those_of_sam(network: LiteNetwork, with_box: bool) -> None:
    encoder = PromptEncoder(TINY.dim, (8, 12), SHAPE, mask_in_chans=16)
    encoder.load_state_dict(network.prompt_encoder.state_dict())
    points = torch.tensor([[[10.0, 20.0], [90.0, 60.0]], [[0.0, 0.0], [50.0, 3.0]]])
    labels = torch.tensor([[1, 0], [1, -1]])
    boxes = torch.tensor([[5.0, 6.0, 40.0, 50.0], [0.0, 0.0, 96.0, 64.0]]) if with_box else None
    features = network.encode(frames(2))
    network.encode(frames(1, (32, 32)))  # another grid in between changes nothing
    network.geometric_prompt(network.encode(frames(1, (32, 32))), points[:1], labels[:1])

    sparse, dense = network.geometric_prompt(features, points, labels, boxes)
    theirs = encoder(points=(points, labels), boxes=boxes, masks=None)
    torch.testing.assert_close(sparse, theirs[0])
    torch.testing.assert_close(dense, theirs[1])
    assert sparse.shape[1] == (4 if with_box else 3)


@torch.no_grad()
def test_without_skips_the_decoder_is_sams(own_network: LiteNetwork) -> None:
    decoder = own_network.decoder
    for skip in (decoder.skip4, decoder.skip2):
        skip.weight.zero_()
        skip.bias.zero_()
    features = own_network.encode(frames(2))
    sparse, dense, pseudo = prompts(2)
    position = own_network.prompt_encoder.pe_layer((8, 12))[None]
    arguments = (features.embedding, position, sparse, dense)
    found, quality = decoder.forward_with_skips(*arguments, features.semantic[:2], pseudo)
    torch.testing.assert_close(found, decode_masks(decoder, *arguments))
    for i in range(2):
        one = (features.embedding[i : i + 1], position, sparse[i : i + 1], dense[i : i + 1])
        masks, iou = decoder(*one, multimask_output=False)
        torch.testing.assert_close(found[i : i + 1], masks, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(quality[i : i + 1], iou, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_skips_bring_detail_that_the_embedding_lacks(network: LiteNetwork) -> None:
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
        # Rounding depends on the batch and the processor; filters of the largest scale enlarge it,
        # and a tree's threshold may lie between.
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
def test_a_given_pseudo_mask_replaces_the_probes(
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
def test_the_decoder_corrects_the_pseudo_mask(own_network: LiteNetwork) -> None:
    """A decoder that says nothing leaves the pseudo-mask, times the learned gain."""
    last = own_network.decoder.output_hypernetworks_mlps[0].layers[-1]
    last.weight.zero_()
    last.bias.zero_()
    own_network.residual_gain.fill_(0.7)
    sparse, dense, pseudo = prompts(2)
    logits, quality = own_network.decode(own_network.encode(frames(2)), sparse, dense, pseudo)
    torch.testing.assert_close(logits, 0.7 * pseudo)
    assert quality.shape == (2, 1)


def test_everything_but_the_backbone_learns_from_episodes(own_network: LiteNetwork) -> None:
    network = own_network.train()
    before = {name: value.clone() for name, value in network.backbone.state_dict().items()}
    conditioning = conditioned(network, classes=1)
    target = network.encode(frames(1, seed=5))
    logits, quality = network.decode(target, *network.prompt(target, conditioning))
    (logits.square().mean() + quality.mean()).backward()

    silent = {n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()}
    # Points and boxes are learned from promptable steps.
    geometric = ("prompt_encoder.point", "prompt_encoder.not_a", "prompt_encoder.no_mask")
    assert {n for n in silent if not n.startswith(("backbone.", *geometric))} == set()
    assert all(f"backbone.{n}" in silent for n, _ in network.backbone.named_parameters())
    for name, value in network.backbone.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)  # batch norm too


def test_training_fits_the_linear_probe_and_running_the_ensemble(own_network: LiteNetwork) -> None:
    in_training, running = (conditioned(own_network.train(mode), 1).probe for mode in (True, False))
    assert isinstance(in_training, EnsembleProbe)
    assert isinstance(running, EnsembleProbe)
    ((probe, levels),) = in_training.members
    assert isinstance(probe, LinearProbe)
    assert levels == PROBE_RECIPE.linear
    kinds, levels = zip(*((type(p), levels) for p, levels in running.members), strict=True)
    assert kinds == (PerceptronProbe, PerceptronProbe, TreesProbe)
    assert levels == (PROBE_RECIPE.plain, PROBE_RECIPE.varied, PROBE_RECIPE.trees)


def pictured(network: LiteNetwork, seed: int = 0, kind: str = "mask", **options: Any) -> Shot:
    """A shot that brings its frame along; of an odd size, so that it has padding."""
    image = frames(1, (50, 70), seed)
    features = network.encode(image)
    mask = masks(1)[:, :50, :70]
    return replace(make_shot(features, features.semantic, mask, [kind], **options), image=image[0])


@torch.no_grad()
def test_views_are_other_looks_at_the_frames(network: LiteNetwork) -> None:
    left = torch.zeros(1, 50, 70, dtype=torch.bool)
    left[:, :, :30] = True
    shot = pictured(network, ignored=left)
    views = network._views([shot])
    assert len(views) == VIEWS
    assert len({view.features.size for view in views}) > 1
    for view in views:
        height, width = view.features.size
        assert view.maps is view.features.semantic
        assert view.mask.shape[-2:] == tuple(2 * side for side in view.maps[0].shape[-2:])
        torch.testing.assert_close(view.foreground + view.background, view.known)
        # As much of a view is the class as of the frame, and as much is unknown.
        area = height * width
        share = float(view.foreground.sum()) / area
        assert share == pytest.approx(float(shot.foreground.sum()) / 3500, abs=0.02)
        assert float(view.known.sum()) / area == pytest.approx(4 / 7, abs=0.03)
        assert view.foreground[:, height:].sum() == view.known[:, :, width:].sum() == 0
    for one, other in zip(views, network._views([shot]), strict=True):
        assert torch.equal(one.features.embedding, other.features.embedding)
        assert torch.equal(one.foreground, other.foreground)


@torch.no_grad()
def test_every_frame_that_is_known_is_viewed(network: LiteNetwork) -> None:
    shots = [pictured(network, seed) for seed in range(2)]
    assert len(network._views(shots)) == 2 * 3
    assert len(network._views([shots[0], replace(shots[1], image=None)])) == 3
    assert network._views([replace(shot, image=None) for shot in shots]) == []


@pytest.mark.parametrize(("training", "kind"), [(False, "mask"), (False, "point"), (True, "mask")])
def test_only_running_learns_from_views(
    own_network: LiteNetwork, monkeypatch: pytest.MonkeyPatch, training: bool, kind: str
) -> None:
    fitted: list[list[Shot]] = []

    def fit(
        shots: list[Shot], recipe: ProbeRecipe, views: Sequence[Shot] = (), effort: float = 1.0
    ) -> EnsembleProbe:
        assert recipe is PROBE_RECIPE
        fitted.append([*shots, *views])
        return fit_linear_probe(shots, recipe)

    monkeypatch.setattr(module, "fit_linear_probe" if training else "fit_ensemble", fit)
    network = own_network.train(training)
    views_of = network._views
    viewed: list[list[Shot]] = []

    def look(shots: list[Shot]) -> list[Shot]:
        viewed.append(shots)
        return views_of(shots)

    monkeypatch.setattr(network, "_views", look)
    shot = pictured(network, kind=kind)
    network.condition([shot])
    network.condition([replace(shot, image=None)])
    assert [len(shots) for shots in fitted] == ([1, 1] if training else [1 + VIEWS, 1])
    completed, *views = fitted[0]
    assert completed.completed == (kind == "point")
    # What points leave open is told before the frame is seen otherwise: views are complete.
    assert len(viewed) == (0 if training else 2)
    assert training or viewed[0][0] is completed
    assert not any(view.sparse.any() for view in views)


def test_skips_are_convolutions_of_maps_joined_with_the_mask() -> None:
    generator = torch.Generator().manual_seed(0)
    decoder = LiteNetwork().decoder
    fine, mask = (torch.randn(2, c, 6, 8, generator=generator) for c in (24, 1))
    with torch.no_grad():
        expected = decoder.skip4(torch.cat([fine, mask], dim=1))
        torch.testing.assert_close(_joined(decoder.skip4, fine, mask), expected)
