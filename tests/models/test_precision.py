from __future__ import annotations

from typing import Any

import pytest
import torch

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.precision import half_precision_dtype, mixed_precision

CPU, MPS = torch.device("cpu"), torch.device("mps")


@pytest.mark.parametrize(
    ("device", "precision", "dtype"),
    [
        (CPU, "float32", None),
        (CPU, "bfloat16", torch.bfloat16),
        (CPU, "float16", torch.float16),
        (MPS, "auto", None),
    ],
)
def test_dtype_of_precision(
    device: torch.device, precision: Any, dtype: torch.dtype | None
) -> None:
    assert half_precision_dtype(device, precision) is dtype


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [({"avx512_bf16": True}, torch.bfloat16), ({"amx_bf16": True}, torch.bfloat16), ({}, None)],
)
def test_auto_on_cpu_depends_on_its_instructions(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], dtype: torch.dtype | None
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert half_precision_dtype(CPU, "auto") is dtype


@pytest.mark.parametrize(("capability", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_auto_on_gpu_depends_on_bfloat16_support(
    monkeypatch: pytest.MonkeyPatch, capability: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: capability)
    assert half_precision_dtype(torch.device("cuda"), "auto") is dtype


def test_single_precision_inside_another_context() -> None:
    a = torch.ones(2, 2)
    assert (a @ a).dtype == torch.float32
    with mixed_precision(CPU, "bfloat16"):
        assert (a @ a).dtype == torch.bfloat16
        with mixed_precision(CPU, "float32"):
            assert (a @ a).dtype == torch.float32


def test_unknown_precision() -> None:
    with pytest.raises(InputError, match="Unknown precision 'half'"):
        half_precision_dtype(CPU, "half")  # type: ignore[arg-type]
