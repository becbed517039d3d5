"""Checkpoints: named tensors in safetensors or PyTorch files."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic
from napari_vrp_sam.models.weights.downloads import file_sha256
from napari_vrp_sam.models.weights.headers import (
    missing_file_error,
    not_a_weights_file_error,
    open_safetensors,
)

TORCH_SUFFIXES = frozenset({".pth", ".pt"})


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Named tensors on the CPU, and the metadata of their file.

    Attributes
    ----------
    tensors : dict of str to Tensor
    metadata : dict of str to str
        Empty for a PyTorch file. The entry `kind` names the model that the tensors belong to.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)


def write_checkpoint(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a safetensors file atomically.

    Parameters
    ----------
    path : path-like
        File with the suffix `.safetensors`.
    tensors : mapping of str to Tensor
        State dict of a module.
    metadata : mapping of str to str, optional
        Entries for the header of the file.

    Raises
    ------
    InputError
        If the suffix is wrong or the file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"Weights are written as .safetensors, not as '{path.name}'.")
    # safetensors refuses tensors that share memory or have strides.
    copies = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    with atomic(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(copies, dict(metadata or {})))


def read_checkpoint(path: str | os.PathLike[str], *, sha256: str | None = None) -> Checkpoint:
    """Read a `.safetensors` file, or a `.pth` or `.pt` file that holds only tensors.

    Parameters
    ----------
    path : path-like
    sha256 : str, optional
        Expected digest of the file, or its first digits.

    Raises
    ------
    InputError
        If the file is missing, damaged, not a checkpoint, or has another digest.
    """
    path = Path(path)
    if not path.is_file():
        raise missing_file_error(path)
    try:
        if sha256 is not None and not file_sha256(path).startswith(sha256):
            raise InputError(
                f"The weights file {path} is damaged or another version (its sha256 differs): "
                "delete it and download it again."
            )
        if path.suffix == ".safetensors":
            with open_safetensors(path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                return Checkpoint(tensors, file.metadata() or {})
        if path.suffix in TORCH_SUFFIXES:
            return Checkpoint(_state_dict(_unpickle(path), path))
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from error
    raise not_a_weights_file_error(path)


def load_tensors(module: nn.Module, tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Load a state dict that has exactly the names and shapes of a module.

    Parameters
    ----------
    module : Module
    tensors : mapping of str to Tensor
    source : str
        Name of the file, for the error message.

    Raises
    ------
    InputError
        If a tensor is missing, unexpected or of another shape.
    """
    expected = module.state_dict()
    differing = sorted(
        name
        for name in expected.keys() | tensors.keys()
        if name not in expected
        or name not in tensors
        or expected[name].shape != tensors[name].shape
    )
    if differing:
        raise InputError(
            f"{source} does not hold weights of this model: {len(differing)} tensors are missing, "
            f"unexpected or of another shape, the first is '{differing[0]}'."
        )
    module.load_state_dict(dict(tensors))


def _original_names() -> dict[str, str]:
    names = {"downsample_query.0.": "augmenter.reduction.0.", "merge_1.0.": "augmenter.merge.0."}
    decoder = "transformer_decoder."
    for half, number in (("reference", "_0"), ("target", "")):
        for kind, attention in (("cross", "multihead_attn"), ("self", "self_attn")):
            theirs = f"{decoder}transformer_{kind}_attention_layers{number}.0."
            ours = f"generator.{half}_{kind}_attention."
            names[f"{theirs}{attention}."] = f"{ours}attention."
            names[f"{theirs}norm."] = f"{ours}norm."
    return names | {f"{decoder}supp_q_feat.weight": "generator.queries"}


ORIGINAL_NAMES = _original_names()
"""Prefixes of tensor names in checkpoints of the original VRP-SAM code, and ours for them."""


def convert_original_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the VRP encoder in a checkpoint of the original VRP-SAM code, under our names.

    Prefixes of wrapper modules (such as `module.` and `vrp_encoder.`) are removed, and so are
    tensors of other modules, such as the frozen backbone.
    """
    converted = {}
    for name, tensor in tensors.items():
        start = re.search(r"(?:^|\.)((?:downsample_query|merge_1|transformer_decoder)\..*)", name)
        for theirs, ours in ORIGINAL_NAMES.items():
            if start is not None and start[1].startswith(theirs):
                converted[ours + start[1].removeprefix(theirs)] = tensor
    return converted


def _unpickle(path: Path) -> Any:
    try:
        # With `weights_only`, because a pickle can run any code.
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Where an archive ends too early, torch seeks before its start.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        # A damaged pickle can fail in any of its instructions, with any error.
        raise InputError(
            f"{path} is damaged, or not a PyTorch file that holds only tensors (others could "
            "execute code): save model.state_dict() alone, or export the model with "
            "micro_sam.util.export_custom_sam_model."
        ) from error


def _state_dict(loaded: Any, path: Path) -> dict[str, Tensor]:
    """Return the state dict of a PyTorch file, from its root or under the usual keys."""
    for key in ("state_dict", "model_state", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    items = loaded.items() if isinstance(loaded, dict) else ()
    tensors = {str(name): value for name, value in items if isinstance(value, Tensor)}
    if not tensors:
        raise InputError(f"{path} holds no tensors: it is not a checkpoint.")
    return tensors
