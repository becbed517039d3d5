"""Choice of the device that a model runs on."""

from __future__ import annotations

import os
from collections.abc import Iterable
from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor

from napari_vrp_sam.errors import InputError

M = TypeVar("M")

# The threads of OpenMP do not exist in a forked child, which would wait for them for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Return the device with a given name.

    Parameters
    ----------
    device : str or torch.device, default "auto"
        "cpu", "cuda", "cuda:1", "mps", or "auto" for the fastest available device.

    Raises
    ------
    InputError
        If the name is unknown or the device is not available.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = None
    if chosen is None or chosen.type not in {"cpu", "cuda", "mps"}:
        raise InputError(f"Unknown device '{device}': choose 'auto', 'cpu', 'cuda' or 'mps'.")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise InputError(f"PyTorch finds no CUDA device '{device}': choose 'auto' or 'cpu'.")
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise InputError("PyTorch finds no Apple GPU ('mps'): choose 'auto' or 'cpu'.")
    return chosen


def device_name(device: torch.device) -> str:
    """Return the name of a device for users, such as "CPU" or "NVIDIA H200"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return {"cpu": "CPU", "mps": "Apple GPU"}.get(device.type, str(device))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error reports a lack of memory, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        words in text for words in ("out of memory", "can't allocate memory", "alloc_failed")
    )


def copy_to_device(model: M, tensors: Iterable[Tensor], device: torch.device) -> M:
    """Copy a model with all its parameters and buffers to another device."""
    # Not moved after it is copied: a GPU may have no room for a second model.
    moved = {id(tensor): _moved(tensor, device) for tensor in tensors}
    return deepcopy(model, moved)


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a parameter or buffer to another device."""
    copied = tensor.detach().to(device)
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(copied, requires_grad=tensor.requires_grad)
    return copied
