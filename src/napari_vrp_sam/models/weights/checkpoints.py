"""Weights files: safetensors with metadata, written atomically and verified when read."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.weights.downloads import file_sha256
from napari_vrp_sam.models.weights.headers import not_a_weights_file

TORCH_SUFFIXES = frozenset({".pth", ".pt"})


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Named tensors, on the CPU, and what their writer said about them.

    Attributes
    ----------
    tensors : dict of str to Tensor
    metadata : dict of str to str
        Empty for a PyTorch file. `kind` names the model that the tensors belong to.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)


def write_checkpoint(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a safetensors file: either the whole file appears or the old one stays.

    Parameters
    ----------
    path : path-like
        Ends in `.safetensors`.
    tensors : mapping of str to Tensor
        A state dict.
    metadata : mapping of str to str, optional
        Stored in the file's header.

    Raises
    ------
    InputError
        If the suffix is another one or the folder cannot be written to.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"Weights are written as .safetensors, not as '{path.name}'.")
    # Tied and strided tensors are refused by safetensors: each gets a plain copy of its own.
    whole = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(safetensors.torch.save(whole, dict(metadata or {})))
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"Cannot write weights to {path}: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def read_checkpoint(path: str | os.PathLike[str], *, sha256: str | None = None) -> Checkpoint:
    """Read a `.safetensors` file, or a `.pth` / `.pt` file that holds nothing but tensors.

    Parameters
    ----------
    path : path-like
    sha256 : str, optional
        Expected digest of the file, or the first digits of it.

    Raises
    ------
    InputError
        If the file is missing, damaged, of another digest, or no checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no weights file at {path}: check the path.")
    try:
        if sha256 is not None and not file_sha256(path).startswith(sha256):
            raise InputError(
                f"The weights file {path} is damaged or another version (its sha256 differs): "
                "delete it and get it again."
            )
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        if path.suffix in TORCH_SUFFIXES:
            return Checkpoint(_tensors_of(_unpickle(path), path))
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from error
    raise not_a_weights_file(path)


def load_tensors(module: nn.Module, tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Load a state dict of exactly the module's names and shapes.

    Parameters
    ----------
    module : Module
    tensors : mapping of str to Tensor
    source : str
        Named in the error.

    Raises
    ------
    InputError
        If a tensor is missing, left over or of another shape.
    """
    wanted = module.state_dict()
    differing = sorted(
        name
        for name in wanted.keys() | tensors.keys()
        if name not in wanted or name not in tensors or wanted[name].shape != tensors[name].shape
    )
    if differing:
        raise InputError(
            f"{source} does not hold weights of this model: {len(differing)} tensors are missing, "
            f"left over or of another shape, the first is '{differing[0]}'."
        )
    module.load_state_dict(dict(tensors))


AUTHORS_NAMES = {
    "downsample_query.0.": "augmenter.reduction.0.",
    "merge_1.0.": "augmenter.merge.0.",
    "transformer_decoder.transformer_cross_attention_layers_0.0.multihead_attn.": (
        "generator.reference_cross_attention.attention."
    ),
    "transformer_decoder.transformer_cross_attention_layers_0.0.norm.": (
        "generator.reference_cross_attention.norm."
    ),
    "transformer_decoder.transformer_self_attention_layers_0.0.self_attn.": (
        "generator.reference_self_attention.attention."
    ),
    "transformer_decoder.transformer_self_attention_layers_0.0.norm.": (
        "generator.reference_self_attention.norm."
    ),
    "transformer_decoder.transformer_cross_attention_layers.0.multihead_attn.": (
        "generator.target_cross_attention.attention."
    ),
    "transformer_decoder.transformer_cross_attention_layers.0.norm.": (
        "generator.target_cross_attention.norm."
    ),
    "transformer_decoder.transformer_self_attention_layers.0.self_attn.": (
        "generator.target_self_attention.attention."
    ),
    "transformer_decoder.transformer_self_attention_layers.0.norm.": (
        "generator.target_self_attention.norm."
    ),
    "transformer_decoder.supp_q_feat.weight": "generator.queries",
}
"""Beginnings of tensor names in checkpoints of the paper's authors, and ours for them."""


def convert_authors_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The VRP encoder of a checkpoint written by the paper's code, under our names.

    Prefixes of wrappers (`module.`, `vrp_encoder.` and the like) are dropped, and so is
    everything that is not part of the VRP encoder, such as the frozen backbone.
    """
    converted = {}
    for name, tensor in tensors.items():
        start = re.search(r"(?:^|\.)((?:downsample_query|merge_1|transformer_decoder)\..*)", name)
        for theirs, ours in AUTHORS_NAMES.items():
            if start is not None and start[1].startswith(theirs):
                converted[ours + start[1].removeprefix(theirs)] = tensor
    return converted


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return Checkpoint(tensors, file.metadata() or {})
    except safetensors.SafetensorError as error:
        raise InputError(f"The weights file {path} is damaged: {error}.") from error


def _unpickle(path: Path) -> Any:
    # Weights only: a pickle can run any code.
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:
        # A damaged pickle program can fail in any of its instructions, with any error.
        raise InputError(
            f"{path} is damaged, or no PyTorch file that holds tensors only."
        ) from error


def _tensors_of(loaded: Any, path: Path) -> dict[str, Tensor]:
    """The state dict of a PyTorch file, at its root or under the usual names."""
    for key in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    tensors = (
        {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}
        if isinstance(loaded, dict)
        else {}
    )
    if not tensors:
        raise InputError(f"{path} holds no tensors: it is no checkpoint.")
    return tensors
