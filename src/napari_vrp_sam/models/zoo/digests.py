"""Digest of a model's weights."""

from __future__ import annotations

from pathlib import Path

from napari_vrp_sam.models.weights.downloads import file_sha256
from napari_vrp_sam.models.weights.headers import missing_file_error
from napari_vrp_sam.models.zoo.registry import model_spec, weights_file


def weights_digest(model: str | Path) -> str:
    """Return a text that identifies the weights of a model, given by name or as a file.

    It is a digest; for a file of the Hugging Face Hub, which lists none in advance, its address.

    Raises
    ------
    InputError
        If the model or file does not exist.
    """
    path = weights_file(str(model))
    if path is not None:
        if not path.is_file():
            raise missing_file_error(path)
        return file_sha256(path)
    spec = model_spec(str(model))
    if spec.sam_weights is not None:
        return spec.sam_weights.digest
    if spec.backbone_weights is not None:
        return spec.backbone_weights.url
    with spec.local_weights() as packaged:
        return file_sha256(packaged)
