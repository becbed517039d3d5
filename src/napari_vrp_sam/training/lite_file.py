"""The weights file of `lite`."""

from __future__ import annotations

import os
from collections.abc import Mapping

from torch import Tensor

from napari_vrp_sam.models.lite.network import LiteNetwork
from napari_vrp_sam.models.weights.checkpoints import write_checkpoint


def save(path: str | os.PathLike[str], network: LiteNetwork, metadata: Mapping[str, str]) -> None:
    """Write the weights of `lite` in half precision."""
    write_checkpoint(path, lite_tensors(network), {**lite_card(network), **metadata})


def lite_tensors(network: LiteNetwork) -> dict[str, Tensor]:
    """All weights, in half precision."""
    return {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }


def lite_card(network: LiteNetwork) -> dict[str, str]:
    """What the header of the file has to say, so that it can be loaded."""
    header = {"kind": "lite", "architecture": "EfficientNet-Lite0, SAM-shaped"}
    return {**network.config.as_metadata(), **header}
