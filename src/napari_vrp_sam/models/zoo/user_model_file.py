"""Check of the weights file of a user model."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.weights import catalogue
from napari_vrp_sam.models.weights.catalogue import (
    DENSE_HEAD_PREFIX,
    LITE_KIND,
    MASK_DECODER_PREFIX,
    PROBE_KIND,
    REPOSITORY_KEY,
    VRP_ENCODER_SUFFIXES,
    base_model_name,
)
from napari_vrp_sam.models.weights.headers import Header, read_header

LITE_SIZES = ("dim", "queries", "heads", "decoder_depth", "decoder_mlp")
"""Entries of a `lite` header that determine the shapes of the tensors."""


def check_model(path: Path) -> Header:
    """Check that a safetensors file is complete and holds a model that can be loaded.

    Raises
    ------
    InputError
        If the file is damaged or holds something else.
    """
    header = read_header(path)
    base = base_model_name(header.metadata, path)
    probe = header.metadata.get("kind") == PROBE_KIND
    if not probe and all(spec.name != base for spec in catalogue.BUILT_IN):
        raise InputError(f"{path} is based on '{base}', which is unknown: update napari-vrp-sam.")
    fits = _fits_probe if probe else _fits_lite if base == LITE_KIND else _fits_full_size
    if not fits(header):
        raise InputError(
            f"{path} does not hold weights of a variant of '{base}': choose another file."
        )
    return header


def _fits_lite(header: Header) -> bool:
    packaged = _packaged_lite()
    # The dense head that fine-tuning adds is checked when the model is loaded.
    shapes = {n: s for n, s in header.shapes.items() if not n.startswith(DENSE_HEAD_PREFIX)}
    sizes = {key: value for key, value in packaged.metadata.items() if key in LITE_SIZES}
    if any(header.metadata.get(key, value) != value for key, value in sizes.items()):
        return shapes.keys() == packaged.shapes.keys()
    return shapes == packaged.shapes


def _fits_probe(header: Header) -> bool:
    head = any(name.startswith(DENSE_HEAD_PREFIX) for name in header.shapes)
    return head and REPOSITORY_KEY in header.metadata


def _fits_full_size(header: Header) -> bool:
    # Without a VRP encoder, a fine-tuned mask decoder suffices.
    return any(
        name.endswith(VRP_ENCODER_SUFFIXES) or name.startswith(MASK_DECODER_PREFIX)
        for name in header.shapes
    )


@cache
def _packaged_lite() -> Header:
    spec = next(spec for spec in catalogue.BUILT_IN if spec.packaged_weights)
    with spec.local_weights() as path:
        return read_header(path)
