"""Floating-point formats of a model's computations."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, get_args

import torch

from napari_vrp_sam.errors import InputError

Precision = Literal["auto", "float32", "bfloat16", "float16"]
"""Floating-point format; "auto" is half precision where a device computes fast in it."""


def half_precision_dtype(device: torch.device, precision: Precision) -> torch.dtype | None:
    """Return the half-precision format to use on a device; None for single precision.

    Raises
    ------
    InputError
        If the precision is unknown.
    """
    if precision not in get_args(Precision):
        raise InputError(
            f"Unknown precision {precision!r}: use 'auto', 'float32', 'bfloat16' or 'float16'."
        )
    if precision == "float32":
        return None
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float16
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float16
    return torch.bfloat16 if device.type == "cpu" and _cpu_multiplies_bfloat16() else None


def mixed_precision(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """Return a context in which matrix products and convolutions use the given precision."""
    dtype = half_precision_dtype(device, precision)
    if dtype is not None:
        return torch.autocast(device.type, dtype)
    # Single precision holds inside an enclosing autocast context too.
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def _cpu_multiplies_bfloat16() -> bool:
    # CPUs without these instructions emulate bfloat16, which is many times slower.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
