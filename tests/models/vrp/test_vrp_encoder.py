"""VRP encoder against outputs of the original code (tests/data/vrp_encoder.npz)."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.vrp.feature_augmenter import mask_on_grid, prototype
from napari_vrp_sam.models.vrp.prompt_generator import sine_position_embedding
from napari_vrp_sam.models.vrp.pseudo_mask import correlation
from napari_vrp_sam.models.vrp.vrp_encoder import VRPEncoder, concatenate_shots
from napari_vrp_sam.models.weights.checkpoints import Checkpoint, convert_original_names

REFERENCE = Path(__file__).parents[2] / "data" / "vrp_encoder.npz"
TOLERANCE = 1e-4


def generated(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return numbers that depend only on a tensor's name (NumPy's legacy generator, NEP 19)."""
    seed = zlib.crc32(name.encode()) & 0x7FFFFFFF
    return np.random.RandomState(seed).standard_normal(shape)


def weight(name: str, shape: tuple[int, ...]) -> Tensor:
    values = generated(name, shape)
    if len(shape) > 1:
        values = values / np.sqrt(np.prod(shape[1:]))
    else:
        values = 0.1 * values + (1 if name.endswith("norm.weight") else 0)
    return torch.from_numpy(values.astype(np.float32))


def feature(name: str, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(np.maximum(generated(name, shape), 0).astype(np.float32))


def original_weights(in_channels: int) -> dict[str, Tensor]:
    shapes: dict[str, tuple[int, ...]] = {
        "downsample_query.0.weight": (256, in_channels, 1, 1),
        "merge_1.0.weight": (256, 513, 1, 1),
        "transformer_decoder.supp_q_feat.weight": (50, 256),
    }
    for half in ("_0", ""):
        for layer, attention in (("cross", "multihead_attn"), ("self", "self_attn")):
            prefix = f"transformer_decoder.transformer_{layer}_attention_layers{half}.0."
            shapes |= {
                f"{prefix}{attention}.in_proj_weight": (768, 256),
                f"{prefix}{attention}.in_proj_bias": (768,),
                f"{prefix}{attention}.out_proj.weight": (256, 256),
                f"{prefix}{attention}.out_proj.bias": (256,),
                f"{prefix}norm.weight": (256,),
                f"{prefix}norm.bias": (256,),
            }
    return {name: weight(name, shape) for name, shape in shapes.items()}


def encoder_with_original_weights(in_channels: int) -> VRPEncoder:
    encoder = VRPEncoder(in_channels).eval()
    encoder.load_state_dict(convert_original_names(original_weights(in_channels)))
    return encoder


def mask_of(*boxes: tuple[int, int, int, int]) -> Tensor:
    mask = torch.zeros(1, 96, 96)
    for row0, row1, col0, col1 in boxes:
        mask[:, row0:row1, col0:col1] = 1
    return mask


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    with np.load(REFERENCE) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.mark.parametrize(
    ("case", "widths"), [("resnet50", (512, 1024, 2048)), ("vgg16", (256, 512, 512))]
)
@torch.inference_mode()
def test_one_shot_equals_original_code(
    case: str, widths: tuple[int, int, int], expected: dict[str, Tensor]
) -> None:
    def stages(frame: str) -> Tensor:
        return torch.cat(
            [feature(f"{case}/{frame}_layer{i + 2}", (2, widths[i], 12, 12)) for i in (0, 1)], dim=1
        )

    masks = torch.stack([mask_of((20, 61, 33, 80)), mask_of((5, 30, 4, 90), (50, 80, 60, 77))])
    pseudo_mask = correlation(
        feature(f"{case}/target_layer4", (2, widths[2], 12, 12)),
        feature(f"{case}/reference_layer4_masked", (2, widths[2], 12, 12)),
        mask_on_grid(masks, (12, 12)),
    )
    encoder = encoder_with_original_weights(widths[0] + widths[1])
    prompts = encoder(stages("reference"), masks, stages("target"), pseudo_mask)

    torch.testing.assert_close(pseudo_mask, expected[f"{case}/pseudo_mask"], rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(prompts, expected[f"{case}/prompts"], rtol=0, atol=TOLERANCE)


@torch.inference_mode()
def test_five_shots_equal_original_code(expected: dict[str, Tensor]) -> None:
    case, shots = "resnet50_5shot", 5
    target = torch.cat(
        [feature(f"{case}/target_layer{i}", (2, c, 8, 8)) for i, c in ((2, 512), (3, 1024))], dim=1
    )
    target4 = feature(f"{case}/target_layer4", (2, 2048, 8, 8))
    encoder = encoder_with_original_weights(1536)
    shot_prompts = []
    for k in range(shots):
        masks = torch.stack(
            [
                mask_of((10 + 5 * k, 40 + 5 * k, 20, 60)),
                mask_of((0, 20, 10 * k, 10 * k + 30)),
            ]
        )
        reference = torch.cat(
            [
                feature(f"{case}/reference_layer2/shot{k}", (2, 512, 8, 8)),
                feature(f"{case}/reference_layer3/shot{k}", (2, 1024, 8, 8)),
            ],
            dim=1,
        )
        masked = feature(f"{case}/reference_layer4_masked/shot{k}", (2, 2048, 8, 8))
        pseudo_mask = correlation(target4, masked, mask_on_grid(masks, (8, 8)))
        shot_prompts.append(encoder(reference, masks, target, pseudo_mask))

    prompts = concatenate_shots(torch.stack(shot_prompts, dim=1).flatten(0, 1), shots)
    torch.testing.assert_close(prompts, expected[f"{case}/prompts"], rtol=0, atol=TOLERANCE)


def test_number_of_trainable_parameters() -> None:
    assert sum(p.numel() for p in VRPEncoder(1536).parameters()) == pytest.approx(1.6e6, rel=0.05)


@torch.inference_mode()
def test_one_target_for_several_references() -> None:
    torch.manual_seed(0)
    encoder = VRPEncoder(24, 32, queries=7).eval()
    masks = (torch.rand(3, 1, 40, 30) > 0.5).float()
    references = encoder.encode_reference(torch.rand(3, 24, 5, 4), masks)
    target, pseudo_mask = torch.rand(1, 24, 6, 9), torch.rand(3, 1, 6, 9)

    shared = encoder.prompts(references, target, pseudo_mask)

    each = encoder.prompts(references, target.expand(3, -1, -1, -1), pseudo_mask)
    assert shared.shape == (3, 7, 32)
    torch.testing.assert_close(shared, each)


def test_annotation_smaller_than_a_cell_marks_the_cell() -> None:
    masks = torch.zeros(2, 1, 64, 64)
    masks[0, 0, 1, 50] = 1  # missed by nearest-neighbour interpolation
    masks[1, 0, 16, 16] = 1
    grid = mask_on_grid(masks, (4, 4))
    assert grid[0].nonzero().tolist() == [[0, 0, 3]]
    assert grid[1].nonzero().tolist() == [[0, 1, 1]]


@torch.inference_mode()
def test_empty_annotation_gives_finite_queries() -> None:
    encoder = VRPEncoder(24, 32).eval()
    references = encoder.encode_reference(torch.rand(1, 24, 4, 4), torch.zeros(1, 1, 8, 8))
    assert references.prototype.abs().max() == 0
    assert references.queries.isfinite().all()


def test_every_parameter_has_a_gradient() -> None:
    torch.manual_seed(0)
    encoder = VRPEncoder(24, 32, queries=7)
    prompts = encoder(
        torch.rand(2, 24, 4, 4),
        torch.ones(2, 1, 8, 8),
        torch.rand(2, 24, 4, 4),
        torch.rand(2, 1, 4, 4),
    )
    (prompts * torch.rand_like(prompts)).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_order_of_position_embedding_channels() -> None:
    embedding = sine_position_embedding(3, 5, 16, like=torch.zeros(1)).reshape(3, 5, 16)
    angle = 2 * torch.pi * torch.tensor(2 / (3 + 1e-6))
    assert embedding[1, 0, 0] == pytest.approx(angle.sin().item(), abs=1e-6)
    assert embedding[1, 0, 1] == pytest.approx(angle.cos().item(), abs=1e-6)
    assert embedding[1, 0, 2] == pytest.approx((angle / 10000**0.25).sin().item(), abs=1e-6)
    torch.testing.assert_close(embedding[:, :1, :8].expand(-1, 5, -1), embedding[..., :8])
    torch.testing.assert_close(embedding[:1, :, 8:].expand(3, -1, -1), embedding[..., 8:])


@torch.inference_mode()
@pytest.mark.parametrize(
    ("initialisation", "kinds"),
    [("foreground", "fffff"), ("background", "bbbbb"), ("half", "fffbb")],
)
def test_queries_initialised_with_prototypes(initialisation: str, kinds: str) -> None:
    torch.manual_seed(0)
    encoder = VRPEncoder(24, 32, queries=5, initialisation=initialisation).eval()  # type: ignore[arg-type]
    features, masks = torch.rand(2, 24, 6, 6), torch.zeros(2, 1, 6, 6)
    masks[:, :, :3] = 1
    reduced = encoder.augmenter.reduce(features)
    means = {"f": reduced[:, :, :3].mean((2, 3)), "b": reduced[:, :, 3:].mean((2, 3))}
    first = encoder.initial_queries(reduced, prototype(reduced, masks), masks)
    for number, kind in enumerate(kinds):
        torch.testing.assert_close(first[:, number], means[kind], rtol=1e-3, atol=1e-3)
    prompts = encoder(features, masks, torch.rand(2, 24, 6, 6), torch.rand(2, 1, 6, 6))
    # Equal queries stay equal.
    for one, other in zip(range(4), range(1, 5), strict=True):
        alike = torch.allclose(prompts[:, one], prompts[:, other], atol=1e-5)
        assert alike == (kinds[one] == kinds[other])

    read = VRPEncoder.from_checkpoint(
        Checkpoint(encoder.state_dict(), encoder.as_metadata()), source="a file"
    )
    assert (read.initialisation, read.config) == (initialisation, encoder.config)


def test_unknown_initialisation() -> None:
    with pytest.raises(InputError, match="query initialisation 'zero': use random, "):
        VRPEncoder(24, 32, initialisation="zero")  # type: ignore[arg-type]
    tensors = VRPEncoder(24, 32, initialisation="half").state_dict()
    with pytest.raises(InputError, match="a file holds neither a VRP encoder nor"):
        VRPEncoder.from_checkpoint(Checkpoint(tensors, {"initialisation": "half"}), source="a file")
