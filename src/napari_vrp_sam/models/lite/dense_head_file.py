"""The dense head in a weights file of `lite`."""

from __future__ import annotations

import json
from collections.abc import Mapping

from torch import Tensor

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.lite.dense_head import (
    CLASSES_KEY,
    SHARE_KEY,
    DenseHead,
)
from napari_vrp_sam.models.weights.catalogue import HEAD_PREFIX
from napari_vrp_sam.models.weights.checkpoints import load_tensors


def head_tensors(head: DenseHead) -> dict[str, Tensor]:
    """The weights in half precision, by the names that they have in the file."""
    return {
        HEAD_PREFIX + name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in head.state_dict().items()
    }


def head_card(head: DenseHead) -> dict[str, str]:
    """What the file has to say about the head, so that it can be loaded."""
    return {CLASSES_KEY: ",".join(map(str, head.class_ids)), SHARE_KEY: str(head.share)}


def read_head(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> DenseHead:
    """Read back what `head_tensors` and `head_card` gave.

    Raises
    ------
    InputError
        If they do not belong together.
    """
    try:
        class_ids = [int(part) for part in metadata[CLASSES_KEY].split(",")]
        held_out = json.loads(metadata.get("metrics", "{}")).get("held_out_iou_after")
        head = DenseHead(class_ids, float(metadata[SHARE_KEY]), held_out)
    except (KeyError, ValueError) as error:
        raise InputError(f"The weights file of 'lite' is damaged: {error}.") from error
    own = {name.removeprefix(HEAD_PREFIX): tensor for name, tensor in tensors.items()}
    load_tensors(head, own, source="The weights file of 'lite'")
    return head.requires_grad_(requires_grad=False)
