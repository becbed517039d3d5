"""How far the mask decoder is trusted, by what it makes of its own annotation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_vrp_sam.models.base import FrameFeatures
from napari_vrp_sam.models.lite.decoder_share import MAX_INCOMPLETE_SHARE, MAX_SHARE, decoder_share
from napari_vrp_sam.models.lite.network import Conditioning
from napari_vrp_sam.models.probe.encoded_shots import Shot, make_shot

SIDE = 32


class Answers:
    """A network whose pseudo-mask and decoder answer what they are told, whatever they see."""

    def __init__(self, pseudo_mask: Tensor, decoded: Tensor) -> None:
        self.pseudo_mask, self.decoded = pseudo_mask, decoded

    def prompt(self, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
        return torch.zeros(0), torch.zeros(0), logits(self.pseudo_mask)

    def decode(self, *_: Any) -> tuple[Tensor, Tensor]:
        return logits(self.decoded), torch.zeros(1, 1)


def logits(mask: Tensor) -> Tensor:
    return 4 * F.avg_pool2d(mask, 2)[:, None] - 2


def columns(count: int) -> Tensor:
    mask = torch.zeros(1, SIDE, SIDE)
    mask[..., :count] = 1
    return mask


def shot(mask: Tensor, ignored: Tensor | None = None, kind: str = "mask") -> Shot:
    maps = (torch.zeros(1, 1, SIDE // 2, SIDE // 2),)
    features = FrameFeatures((SIDE, SIDE), maps[0], maps)
    return make_shot(features, maps, mask, [kind], ignored=ignored)


def share(pseudo_mask: Tensor, decoded: Tensor, *shots: Shot) -> float:
    given: Any = Answers(pseudo_mask, decoded)
    nothing: Any = None
    return decoder_share(given, Conditioning(shots, (), nothing, nothing, ()))


def test_a_decoder_that_keeps_up_gets_the_most_and_one_that_fails_nothing() -> None:
    truth = columns(16)
    assert share(truth, truth, shot(truth)) == pytest.approx(MAX_SHARE)
    assert share(truth, 1 - truth, shot(truth)) == 0
    # Half of the class where the probe has all of it.
    assert share(truth, columns(8), shot(truth)) == pytest.approx(MAX_SHARE * 0.25)
    # What the probe does not reproduce either, is not held against the decoder.
    assert share(columns(8), columns(8), shot(truth)) == pytest.approx(MAX_SHARE)
    assert share(columns(8), truth, shot(truth)) == pytest.approx(MAX_SHARE)


@pytest.mark.parametrize("kind", ["point", "scribble", "box"])
def test_the_decoder_counts_for_more_where_the_annotation_is_incomplete(kind: str) -> None:
    truth = columns(16)
    marked = shot(truth, kind=kind)
    assert share(truth, truth, marked) == pytest.approx(MAX_INCOMPLETE_SHARE)
    assert share(truth, columns(8), marked) == pytest.approx(MAX_INCOMPLETE_SHARE * 0.5)
    assert share(truth, columns(8), shot(truth), marked) == pytest.approx(
        MAX_INCOMPLETE_SHARE * 0.5
    )


def test_a_probe_that_finds_nothing_leaves_it_to_the_decoder() -> None:
    truth = columns(16)
    assert share(columns(0), truth, shot(truth)) == pytest.approx(MAX_SHARE)
    assert share(columns(0), columns(0), shot(truth)) == 0


def test_ignored_pixels_do_not_count() -> None:
    truth, ignored = columns(16), columns(24) - columns(8)
    assert share(truth, columns(8), shot(truth, ignored)) == pytest.approx(MAX_SHARE)
    assert share(truth, columns(28), shot(truth, ignored)) < MAX_SHARE


def test_several_references_count_together() -> None:
    few, many = columns(8), columns(16)
    # The decoder has all of one reference, and half of the union on the other.
    expected = MAX_SHARE * (1.5 / 1.5) ** 2
    assert share(many, many, shot(few), shot(many)) == pytest.approx(expected)
    assert share(many, few, shot(many), shot(many)) == pytest.approx(MAX_SHARE * 0.25)
