"""Dense head: its logits, its share in the result, and its weights file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.base import EncodedReference, FrameFeatures
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.heads.dense_head import HeadSettings
from napari_vrp_sam.models.heads.share import agreement, calibrate_head, mix_with_head
from napari_vrp_sam.models.lite.dense_head import LiteHead
from napari_vrp_sam.models.lite.model import LiteModel
from napari_vrp_sam.models.lite.network import LiteNetwork
from napari_vrp_sam.models.lite.parts import LiteConfig
from napari_vrp_sam.models.padding import resize_to_frame
from napari_vrp_sam.models.weights.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from napari_vrp_sam.training.lite_file import half_precision_weights, lite_header

SIZE = (40, 72)


@pytest.fixture(scope="module")
def network() -> LiteNetwork:
    torch.manual_seed(0)
    config = LiteConfig(dim=32, queries=4, heads=2, decoder_depth=1, decoder_mlp=64)
    return LiteNetwork(config).eval()


@pytest.fixture
def head(network: LiteNetwork) -> LiteHead:
    torch.manual_seed(1)
    return LiteHead.from_network(network, (3, 8)).requires_grad_(requires_grad=False)


@pytest.fixture
def square() -> Tensor:
    mask = torch.zeros(SIZE)
    mask[8:30, 10:40] = 1
    return mask


def reference_of(head_mask: Tensor, mask: Tensor, kind: str = "mask") -> EncodedReference:
    """A reference whose last map are a head's logits of given masks (K, H, W)."""
    padded = torch.zeros(1, len(head_mask), 64, 96)
    padded[..., : SIZE[0], : SIZE[1]] = 8 * (2 * head_mask - 1)
    features = FrameFeatures(SIZE, torch.zeros(1, 1, 1, 1), (padded,))
    return EncodedReference(features, mask, 3, kind)


def test_logits_have_half_the_padded_size_and_can_be_resized_to_the_frame(head: LiteHead) -> None:
    logits = head(torch.rand(2, 3, *SIZE))
    assert logits.shape == (2, 2, 32, 48)  # padded to 64 x 96
    assert resize_to_frame(logits, SIZE).shape == (2, 2, *SIZE)


def test_a_head_starts_from_a_copy_of_the_backbone(network: LiteNetwork) -> None:
    head = LiteHead.from_network(network, (1,))
    before = {name: t.clone() for name, t in network.backbone.state_dict().items()}
    for name, tensor in head.backbone.state_dict().items():
        torch.testing.assert_close(tensor, before[name])
    head.train()
    assert not any(m.training for m in head.backbone.modules())
    head(torch.rand(1, 3, 64, 64)).sum().backward()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.fill_(0.1)
    for name, tensor in network.backbone.state_dict().items():
        torch.testing.assert_close(tensor, before[name])


def test_a_head_that_reproduces_the_annotation_has_its_full_share(
    head: LiteHead, square: Tensor
) -> None:
    head.share = 0.6
    reference = reference_of(torch.stack([1 - square, square]), square)
    calibration = calibrate_head(
        ClassCalibration(0.3, 0.5, 0.1, 0.5), head, [reference], [square - 0.5]
    )
    assert (calibration.head_share, calibration.head_channel, calibration.head_agreement) == (
        0.6,
        1,
        1.0,
    )
    assert (calibration.decoder_share, calibration.offset) == (0.3, 0.1)
    assert "fine-tuned head 60%" in str(calibration)


def test_a_head_that_does_not_reproduce_the_annotation_has_no_share(
    head: LiteHead, square: Tensor
) -> None:
    corner = torch.zeros_like(square)
    corner[:9, :12] = 1
    reference = reference_of(torch.stack([corner, torch.zeros_like(square)]), square)
    calibration = ClassCalibration(0.3)
    assert calibrate_head(calibration, head, [reference], [square - 0.5]) is calibration


def test_sparse_annotations_are_compared_at_their_marks_only(
    head: LiteHead, square: Tensor
) -> None:
    point = torch.zeros_like(square)
    point[10:14, 12:16] = 1
    reference = reference_of(torch.stack([square, 1 - square]), point, "point")
    assert (
        calibrate_head(ClassCalibration(0.0), head, [reference], [square - 0.5]).head_share
        == head.share
    )


def test_a_frame_on_which_head_and_base_disagree_keeps_the_base(square: Tensor) -> None:
    calibration = ClassCalibration(0.0, head_share=1.0, head_agreement=0.9)
    base = (8 * (2 * square - 1))[None]
    similar = base.roll(1, dims=1)
    torch.testing.assert_close(mix_with_head(base, similar, [calibration]), similar)
    elsewhere = base.flip(2).roll(25, dims=1)
    torch.testing.assert_close(mix_with_head(base, elsewhere, [calibration]), base)
    half = base.roll(6, dims=1)
    result = mix_with_head(base, half, [calibration])
    assert not torch.allclose(result, base)
    assert not torch.allclose(result, half)
    assert agreement(base[0] > 9, base[0] > 9) == 1.0  # nothing on either


def test_a_model_with_a_head_survives_its_weights_file(
    network: LiteNetwork, head: LiteHead, tmp_path: Path
) -> None:
    path = tmp_path / "tuned.safetensors"
    tensors = {**half_precision_weights(network), **head.tensors()}
    metrics = {"metrics": '{"held_out_iou_after": 0.75}'}
    write_checkpoint(path, tensors, {**lite_header(network), **head.metadata(), **metrics})
    model = LiteModel.from_checkpoint(read_checkpoint(path))
    assert model.head is not None
    assert (model.head.class_ids, model.head.share) == ((3, 8), head.share)
    assert model.head.expected_iou == 0.75
    frame = torch.rand(1, 3, *SIZE)
    features = model.encode(frame)
    assert len(features.semantic) == 8
    torch.testing.assert_close(features.semantic[-1], head(frame), atol=0.1, rtol=0.1)


def test_a_damaged_head_raises(network: LiteNetwork, head: LiteHead) -> None:
    tensors = {**half_precision_weights(network), **head.tensors()}
    with pytest.raises(InputError, match="damaged"):
        LiteModel.from_checkpoint(Checkpoint(tensors, lite_header(network)))
    del tensors["dense.output.3.bias"]
    with pytest.raises(InputError, match="weights file"):
        LiteModel.from_checkpoint(Checkpoint(tensors, {**lite_header(network), **head.metadata()}))


def test_probabilities_lie_between_base_and_head(network: LiteNetwork, head: LiteHead) -> None:
    """Includes preparing, prompting and decoding."""
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.random((3, *SIZE), dtype=np.float32))
    mask = torch.zeros(SIZE)
    mask[4:30, 8:50] = 1
    image[:, mask > 0] += 1.0

    class Square(LiteHead):
        def forward(self, frames: Tensor) -> Tensor:
            head_logits = torch.full((1, 2, 32, 48), -8.0)
            head_logits[..., 2:15, 4:25] = 8.0
            return head_logits

    model = LiteModel(network, decoder_share=0.0, head=Square(HeadSettings((3, 8), share=1.0)))
    features = model.encode(image[None])
    (prepared,) = model.prepare([EncodedReference(features, mask, 3, "mask", 0, None, image)])
    assert prepared.calibration.head_share == 1.0

    def with_share(share: float) -> Tensor:
        one = replace(prepared, calibration=replace(prepared.calibration, head_share=share))
        return model.decode(features, model.prompt(features, [one]))

    head_logits = resize_to_frame(features.semantic[-1], SIZE)[0, :1]
    torch.testing.assert_close(with_share(1.0), head_logits)
    torch.testing.assert_close(with_share(0.5), (with_share(0.0) + head_logits) / 2)
