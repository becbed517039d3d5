"""Devices of this computer, found without importing torch."""

from __future__ import annotations

import ctypes
import platform
from functools import cache
from pathlib import Path

DRIVERS = {"Linux": "libcuda.so.1", "Windows": "nvcuda.dll"}
"""Library of the NVIDIA driver by operating system."""
AMD_DRIVER = Path("/dev/kfd")
"""Device file of AMD GPUs, which PyTorch calls "cuda" as well."""


@cache
def offered_devices() -> tuple[str, ...]:
    """Return the devices to choose from: "auto", "cpu" and the kinds of GPU of this computer."""
    apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    gpus = {"cuda": _nvidia_gpus() > 0 or AMD_DRIVER.exists(), "mps": apple}
    return ("auto", "cpu", *(name for name, available in gpus.items() if available))


def _nvidia_gpus() -> int:
    """Return the number of GPUs that the NVIDIA driver reports; 0 without a driver."""
    try:
        driver = ctypes.CDLL(DRIVERS[platform.system()])
    except (KeyError, OSError):
        return 0
    number = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(number)):
        return 0
    return number.value
