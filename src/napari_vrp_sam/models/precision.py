"""Number formats that models compute in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, get_args

import torch

from napari_vrp_sam.errors import InputError

Precision = Literal["auto", "float32", "bfloat16", "float16"]
"""What a model computes in; "auto" is half precision where the device is quick in it."""


def half_type(device: torch.device, precision: Precision) -> torch.dtype | None:
    """The half-precision format to compute in on a device; None for single precision.

    Raises
    ------
    InputError
        If there is no such format.
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
    return torch.bfloat16 if device.type == "cpu" and _quick_on_processor() else None


def mixed(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """A block in which matrix products and convolutions are computed in half precision, or none."""
    dtype = half_type(device, precision)
    # Off inside of another one too: what is asked for counts.
    if dtype is None:
        return torch.autocast(device.type, enabled=False) if _casts(device) else nullcontext()
    return torch.autocast(device.type, dtype)


def _casts(device: torch.device) -> bool:
    return torch.is_autocast_enabled(device.type)


def _quick_on_processor() -> bool:
    """Whether the processor multiplies bfloat16 itself; others imitate it many times slower."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
