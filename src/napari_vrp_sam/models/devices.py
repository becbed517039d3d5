"""Where a model runs."""

from __future__ import annotations

import torch

from napari_vrp_sam.errors import InputError


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """The device of a name.

    Parameters
    ----------
    device : str or torch.device, default "auto"
        "cpu", "cuda", "cuda:1", "mps", or "auto" for the fastest one that is there.

    Raises
    ------
    InputError
        If there is no such device here.
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
        raise InputError(f"PyTorch finds no CUDA device '{device}' here: choose 'auto' or 'cpu'.")
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise InputError("PyTorch finds no Apple GPU ('mps') here: choose 'auto' or 'cpu'.")
    return chosen
