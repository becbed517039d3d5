"""Which weights a model has, as a digest."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.weights.downloads import file_sha256
from napari_vrp_sam.models.zoo.registry import model_spec, weights_file


def weights_digest(model: str | Path) -> str:
    """The sha256 of the weights of a model, given by name or as a file.

    Raises
    ------
    InputError
        If there is no such model or file.
    """
    own = weights_file(str(model))
    if own is not None:
        if not own.is_file():
            raise InputError(f"There is no weights file at {own}: check the path.")
        return file_sha256(own)
    spec = model_spec(str(model))
    if spec.sam_weights is not None:
        return spec.sam_weights.sha256
    packaged = resources.files("napari_vrp_sam") / spec.packaged_weights
    with resources.as_file(packaged) as path:
        return file_sha256(path)
