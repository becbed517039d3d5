"""Writer of the weights file of `lite`."""

from __future__ import annotations

import os
from collections.abc import Mapping

from torch import Tensor

from napari_vrp_sam.models.lite.network import LiteNetwork
from napari_vrp_sam.models.weights.checkpoints import write_checkpoint


def save(path: str | os.PathLike[str], network: LiteNetwork, metadata: Mapping[str, str]) -> None:
    """Write the weights of `lite` in half precision, with metadata in the file's header."""
    write_checkpoint(path, half_precision_weights(network), {**lite_header(network), **metadata})


def half_precision_weights(network: LiteNetwork) -> dict[str, Tensor]:
    """Return the state dict with floating-point tensors in float16."""
    return {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in network.state_dict().items()
    }


def lite_header(network: LiteNetwork) -> dict[str, str]:
    """Return the metadata that is needed to load the file."""
    header = {"kind": "lite", "architecture": "EfficientNet-Lite0, SAM-shaped"}
    return {**network.config.as_metadata(), **header}
